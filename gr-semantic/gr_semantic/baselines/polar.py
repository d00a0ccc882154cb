# SPDX-License-Identifier: GPL-3.0-or-later
"""Polar codes of GNU Radio's gr-fec, called on arrays: the encoder and decoder objects that its blocks wrap."""

import ctypes
from functools import lru_cache

import numpy as np
from gnuradio import fec
from gnuradio.fec.polar.channel_construction_bec import bhattacharyya_bounds

_LIST_SIZES = ((128, 8), (256, 4), (512, 2))  # up to this length: paths; longer: successive cancellation alone
_SHORTEST_ENCODED = 32  # bits; below, gr-fec 3.10.5's encoder returns zeros (its decoders work)
# gr-fec's construction asks for the SNR of a bit on the air (Es/N0) that a code is meant for: rate and dB.
_DESIGN_SNR_DB = ((0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875), (-6.5, -4.0, -2.0, 0.0, 1.5, 3.0, 4.5))

_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class PolarCode:
    """One polar code of gr-fec: encoder, and decoder by successive cancellation (with a list for short words).

    length: bits on the air, a power of two. info_bits: of one word. Lists: 8 paths up to 128 bits, 4 for 256, 2 for
    512, none above, where they cost most and bring least.
    """

    def __init__(self, length: int, info_bits: int):
        self.length, self.info_bits = length, info_bits
        self.frozen = _frozen(length, info_bits)
        values = [0] * len(self.frozen)
        self.encoder = fec.polar_encoder.make(length, info_bits, self.frozen, values, False)
        paths = next((paths for longest, paths in _LIST_SIZES if length <= longest), 1)
        if paths > 1:
            self.decoder = fec.polar_decoder_sc_list.make(paths, length, info_bits, self.frozen, values)
        else:
            self.decoder = fec.polar_decoder_sc.make(length, info_bits, self.frozen, values)

    def encode(self, bits: np.ndarray) -> np.ndarray:
        """Coded words (uint8, words x length) of information bits (uint8, words x info_bits)."""
        if self.length < _SHORTEST_ENCODED:
            return (np.asarray(bits) @ self._generator() % 2).astype(np.uint8)
        return _each(self.encoder, np.ascontiguousarray(bits, np.uint8), self.info_bits, self.length)

    def _generator(self) -> np.ndarray:
        """info_bits x length: what the encoder does to each information bit; Kronecker power of [[1, 0], [1, 1]], its
        columns in gr-fec's bit-reversed order.
        """
        power = np.ones((1, 1), int)
        for _ in range(self.length.bit_length() - 1):
            power = np.kron(power, [[1, 0], [1, 1]])
        width = self.length.bit_length() - 1
        reversed_order = [int(f"{place:0{width}b}"[::-1], 2) for place in range(self.length)]
        return np.delete(power, self.frozen, axis=0)[:, reversed_order]

    def decode(self, soft: np.ndarray) -> np.ndarray:
        """Information bits (uint8, words x info_bits) of log-likelihood ratios log P(0) / P(1) (words x length)."""
        # gr-fec's sign is the other one: a positive value is a 1.
        return _each(self.decoder, np.ascontiguousarray(-soft, np.float32), self.length, self.info_bits)


@lru_cache(maxsize=256)
def polar_code(length: int, info_bits: int) -> PolarCode:
    """The code of this size; made once."""
    return PolarCode(length, info_bits)


def _frozen(length: int, info_bits: int) -> list[int]:
    design_snr_db = float(np.interp(info_bits / length, *_DESIGN_SNR_DB))
    unreliable = np.argsort(-bhattacharyya_bounds(design_snr_db, length), kind="stable")
    return sorted(unreliable[: length - info_bits].tolist())


def _each(coder, words: np.ndarray, inputs: int, outputs: int) -> np.ndarray:
    """coder.generic_work on every row. It takes raw pointers, so shapes are checked here."""
    if words.ndim != 2 or words.shape[1] != inputs:
        raise ValueError(f"polar code: words of shape {words.shape}, expected (words, {inputs})")
    result = np.zeros((len(words), outputs), np.uint8)
    for word, out in zip(words, result, strict=True):
        coder.generic_work(_capsule(word.ctypes.data, None, None), _capsule(out.ctypes.data, None, None))
    return result
