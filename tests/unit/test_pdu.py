# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pmt
import pytest

from gr_semantic.blocks.pdu import PduError, is_tick, make_pdu, read_pdu, require, tick


def test_round_trip_keeps_values_and_types():
    meta = {
        "kind": "data",
        "slot": 7,
        "snr_db": -3.25,
        "ok": True,
        "nothing": None,
        "noise_var": np.ones(4, np.float32),
    }
    vector = np.array([1 + 2j, -3j], np.complex64)
    read, read_vector = read_pdu(make_pdu(meta, vector))
    assert read.keys() == meta.keys()
    np.testing.assert_array_equal(read.pop("noise_var"), meta.pop("noise_var"))
    assert read == meta and [type(value) for value in read.values()] == [type(meta[key]) for key in read]
    assert read_vector.dtype == np.complex64
    np.testing.assert_array_equal(read_vector, vector)


@pytest.mark.parametrize(
    "vector", [None, np.array([], np.int32), np.array([-5, 2**31 - 1], np.int32), np.zeros(3, np.float32)]
)
def test_vectors(vector):
    read = read_pdu(make_pdu({}, vector))[1]
    assert read is None if vector is None else (read.dtype == vector.dtype and np.array_equal(read, vector))


def test_numpy_scalars_travel_as_python_numbers():
    meta, _ = read_pdu(make_pdu({"a": np.float32(0.5), "b": np.int64(-4), "c": np.bool_(True)}))
    assert meta == {"a": 0.5, "b": -4, "c": True} and type(meta["b"]) is int


@pytest.mark.parametrize(
    "message",
    [
        pmt.PMT_NIL,
        pmt.from_long(3),
        pmt.cons(pmt.from_long(3), pmt.PMT_NIL),
        pmt.cons(pmt.make_dict(), pmt.intern("text")),
        pmt.cons(pmt.dict_add(pmt.make_dict(), pmt.from_long(1), pmt.from_long(2)), pmt.PMT_NIL),
    ],
)
def test_what_is_no_pdu_is_refused(message):
    with pytest.raises(PduError):
        read_pdu(message)


@pytest.mark.parametrize("value", [np.zeros((2, 2), np.complex64), np.zeros(3, np.float64), object()])
def test_what_cannot_travel_is_refused(value):
    with pytest.raises(PduError, match="thing"):
        make_pdu({"thing": value})


def test_require_names_the_key():
    assert require({"snr_db": 3}, "snr_db", float) == 3.0
    for meta in ({}, {"snr_db": "3"}, {"snr_db": True}, {"snr_db": float("nan")}, {"snr_db": None}):
        with pytest.raises(PduError, match="snr_db"):
            require(meta, "snr_db", float)


def test_tick():
    assert is_tick(read_pdu(make_pdu(tick(3)))[0]) and not is_tick({"kind": "data"})
