# SPDX-License-Identifier: GPL-3.0-or-later
"""Complex samples to a Pluto's 16-bit integers and back."""

import numpy as np

TX_FULL_SCALE = 32767  # the converter takes the upper 12 of 16 bits
RX_FULL_SCALE = 2048  # and gives 12 bits, sign-extended


def to_int16(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Interleaved I and Q (int16, 2 n) of samples (complex64, n, full scale 1.0), and how many values were clipped."""
    values = np.ascontiguousarray(samples, np.complex64).view(np.float32)
    if not values.any():  # between bursts
        return np.zeros(len(values), np.int16), 0
    values = values * np.float32(TX_FULL_SCALE)
    clipped, limit = 0, TX_FULL_SCALE + 0.5
    if max(values.max(), -values.min()) > limit:
        clipped = int(np.count_nonzero(np.abs(values) > limit))
        np.clip(values, -TX_FULL_SCALE, TX_FULL_SCALE, out=values)
    return np.rint(values, out=values).astype(np.int16), clipped


def from_int16(values: np.ndarray) -> np.ndarray:
    """Samples (complex64, n, full scale 1.0) of interleaved I and Q (int16, 2 n)."""
    return (values.astype(np.float32) * np.float32(1 / RX_FULL_SCALE)).view(np.complex64)
