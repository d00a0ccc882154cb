# SPDX-License-Identifier: GPL-3.0-or-later
"""CRC-24 (polynomial 0x864CFB, initial value 0xB704CE, as in RFC 4880), on bits, most significant first.

The non-zero initial value matters: an all-zero word, which is what a decoder returns for silence, does not pass.
"""

from functools import lru_cache

import numpy as np

LENGTH = 24
_POLYNOMIAL = 0x864CFB
_INITIAL = 0xB704CE


def _register(bits: list[int], register: int) -> np.ndarray:
    for bit in bits:
        feedback = (register >> 23) ^ bit
        register = (register << 1) & 0xFFFFFF
        if feedback & 1:
            register ^= _POLYNOMIAL
    return np.array([(register >> (23 - i)) & 1 for i in range(LENGTH)], dtype=np.uint8)


@lru_cache(maxsize=8)
def _affine(length: int) -> tuple[np.ndarray, np.ndarray]:
    """The CRC of `length` bits as a GF(2) matrix (float32, length x 24) and constant (uint8, 24)."""
    unit = [[int(i == j) for i in range(length)] for j in range(length)]
    return np.stack([_register(bits, 0) for bits in unit]).astype(np.float32), _register([0] * length, _INITIAL)


def crc24(bits: np.ndarray) -> np.ndarray:
    """CRCs of words of bits (uint8, ... x length) as bits (uint8, ... x 24)."""
    matrix, constant = _affine(bits.shape[-1])
    return (bits.astype(np.float32) @ matrix).astype(np.uint8) & 1 ^ constant  # sums are small integers: exact
