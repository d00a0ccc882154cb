# SPDX-License-Identifier: GPL-3.0-or-later
"""Pseudo-noise bits: the one source of every known sequence in the waveform."""

from functools import lru_cache

import numpy as np

PERIOD = 2**15 - 1


@lru_cache(maxsize=1)
def _one_period() -> np.ndarray:
    """One period of the Fibonacci LFSR x^15 + x^14 + 1 from the all-ones state (uint8, 32767 bits)."""
    bits = np.ones(PERIOD, dtype=np.uint8)
    for i in range(15, PERIOD):
        bits[i] = bits[i - 15] ^ bits[i - 14]
    return bits


def bits(offset: int, count: int) -> np.ndarray:
    """`count` PN bits (uint8) that start `offset` bits into the period; the sequence repeats."""
    return np.take(_one_period(), np.arange(offset, offset + count), mode="wrap")


def qpsk(offset: int, count: int) -> np.ndarray:
    """`count` unit-power QPSK values (complex128): bit 2i sets the sign of I, bit 2i+1 the sign of Q (0 -> +, 1
    -> -).
    """
    signs = 1.0 - 2.0 * bits(offset, 2 * count).reshape(count, 2)
    return (signs[:, 0] + 1j * signs[:, 1]) / np.sqrt(2)
