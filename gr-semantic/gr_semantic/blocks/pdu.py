# SPDX-License-Identifier: GPL-3.0-or-later
"""PDUs between the blocks: a Python dict and a numpy vector to a PMT pair, and back.

``docs/architecture.md`` ("Messages between blocks") lists what each port carries.
"""

import numpy as np
import pmt

# PMT vectors are built from lists: three to four times faster than from a numpy array.
_MAKE_VECTOR = {
    np.dtype(np.complex64): pmt.init_c32vector,
    np.dtype(np.float32): pmt.init_f32vector,
    np.dtype(np.int32): pmt.init_s32vector,
}
_READ_VECTOR = (
    (pmt.is_c32vector, pmt.c32vector_elements, np.complex64),
    (pmt.is_s32vector, pmt.s32vector_elements, np.int32),
    (pmt.is_f32vector, pmt.f32vector_elements, np.float32),
)


class PduError(ValueError):
    """A message that is not the PDU that the port expects; the text names what is wrong."""


def make_pdu(meta: dict, vector: np.ndarray | None = None):
    """PMT pair of a meta dict and a vector.

    Args:
        meta: str keys; values are bool, int, float, str, None or 1-D arrays (complex64, float32, int32).
        vector: 1-D complex64, float32 or int32 array, or None for a PDU without data.
    """
    packed = pmt.make_dict()
    for key, value in meta.items():
        packed = pmt.dict_add(packed, pmt.intern(key), _to_pmt(key, value))
    return pmt.cons(packed, pmt.PMT_NIL if vector is None else _vector_to_pmt("vector", vector))


def read_pdu(message) -> tuple[dict, np.ndarray | None]:
    """The meta dict and the vector (complex64, float32 or int32; None if there is none) of a PDU.

    Raises:
        PduError: not a pair, the first half not a dict with str keys, or a vector of another type.
    """
    if not pmt.is_pair(message):
        raise PduError("the message is not a PDU (a pair of a dict and a vector)")
    head, tail = pmt.car(message), pmt.cdr(message)
    if not pmt.is_dict(head):
        raise PduError("the first half of the PDU is not a dict")
    meta = {}
    for item in _items(head):
        key = pmt.car(item)
        if not pmt.is_symbol(key):
            raise PduError(f"a key of the PDU's dict is not a symbol: {key}")
        meta[pmt.symbol_to_string(key)] = _from_pmt(pmt.cdr(item))
    return meta, None if pmt.is_null(tail) else _vector_from_pmt(tail)


def require(meta: dict, key: str, kind: type):
    """``meta[key]`` as ``kind`` (int, float or str).

    Raises:
        PduError: the key is missing, its value is of another kind, or a float is not finite.
    """
    if key not in meta:
        raise PduError(f"the PDU lacks the key '{key}'")
    value = meta[key]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise PduError(f"the PDU's key '{key}' is {value!r}, expected a {kind.__name__}")
    if kind is float and not np.isfinite(value):
        raise PduError(f"the PDU's key '{key}' is {value}, expected a finite number")
    return value


def is_tick(meta: dict) -> bool:
    """Whether the PDU marks the end of a slot instead of carrying a frame."""
    return meta.get("kind") == "tick"


def tick(slot: int) -> dict:
    """The meta of a tick: every frame that starts in this slot has been sent before it."""
    return {"kind": "tick", "slot": slot}


def _items(pmt_dict):
    items = pmt.dict_items(pmt_dict)
    while pmt.is_pair(items):
        yield pmt.car(items)
        items = pmt.cdr(items)


def _to_pmt(key, value):
    if value is None:
        return pmt.PMT_NIL
    if isinstance(value, (bool, np.bool_)):
        return pmt.from_bool(bool(value))
    if isinstance(value, (int, np.integer)):
        return pmt.from_long(int(value))
    if isinstance(value, (float, np.floating)):
        return pmt.from_double(float(value))
    if isinstance(value, str):
        return pmt.intern(value)
    if isinstance(value, np.ndarray):
        return _vector_to_pmt(key, value)
    raise PduError(f"'{key}' cannot travel in a PDU: {type(value).__name__}")


def _vector_to_pmt(key, vector):
    make = _MAKE_VECTOR.get(vector.dtype)
    if make is None or vector.ndim != 1:
        raise PduError(f"'{key}' cannot travel in a PDU: {vector.ndim}-D {vector.dtype} array")
    return make(len(vector), vector.tolist())


def _from_pmt(value):
    if pmt.is_null(value):
        return None
    if pmt.is_bool(value):
        return pmt.to_bool(value)
    if pmt.is_integer(value):
        return pmt.to_long(value)
    if pmt.is_uint64(value):
        return pmt.to_uint64(value)
    if pmt.is_real(value):
        return pmt.to_double(value)
    if pmt.is_symbol(value):
        return pmt.symbol_to_string(value)
    return _vector_from_pmt(value)


def _vector_from_pmt(value):
    for matches, elements, dtype in _READ_VECTOR:
        if matches(value):
            return np.array(elements(value), dtype=dtype)
    raise PduError("the PDU holds a vector of an unknown type (expected complex64, float32 or int32)")
