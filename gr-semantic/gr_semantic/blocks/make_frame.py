# SPDX-License-Identifier: GPL-3.0-or-later
"""From a message on ``symbols`` to the samples of its frame."""

import dataclasses

import numpy as np

from gr_semantic.blocks.pdu import PduError, require
from gr_semantic.modem import Header, Waveform, modulate

_HEADER_FIELDS = {field.name: field.type for field in dataclasses.fields(Header)}


def make_frame(waveform: Waveform, meta: dict, symbols: np.ndarray | None) -> np.ndarray:
    """Samples (complex64) of one frame.

    Args:
        meta: the header's fields, and more.
        symbols: complex64, N*L row-major (data), or None (feedback).

    Raises:
        PduError, ValueError: a field is missing or wrong, or the symbols do not fit.
    """
    header = Header(**{key: require(meta, key, kind) for key, kind in _HEADER_FIELDS.items() if key in meta})
    if header.kind == "data":
        budget, count = require(meta, "budget", int), require(meta, "image_count", int)
        if symbols is None or symbols.dtype != np.complex64 or len(symbols) != budget * count:
            raise PduError(f"frame {header.sequence} holds no symbols for {count} images of {budget} symbols")
        if not np.isfinite(symbols).all():
            raise PduError(f"frame {header.sequence} has symbols that are not finite")
        symbols = symbols.reshape(count, budget)
    return modulate(waveform, header, symbols)
