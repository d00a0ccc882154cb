# SPDX-License-Identifier: GPL-3.0-or-later
"""CRC-24 (polynomial 0x864CFB, initial value 0xB704CE, as in RFC 4880), on bits, most significant first.

The non-zero initial value matters: an all-zero word, which is what a decoder returns for silence, does not pass.
"""

import numpy as np

LENGTH = 24
_POLYNOMIAL = 0x864CFB
_INITIAL = 0xB704CE


def crc24(bits: np.ndarray) -> np.ndarray:
    """CRC of a bit vector (uint8, any length) as 24 bits (uint8)."""
    register = _INITIAL
    for bit in bits.tolist():
        feedback = (register >> 23) ^ bit
        register = (register << 1) & 0xFFFFFF
        if feedback & 1:
            register ^= _POLYNOMIAL
    return np.array([(register >> (23 - i)) & 1 for i in range(LENGTH)], dtype=np.uint8)
