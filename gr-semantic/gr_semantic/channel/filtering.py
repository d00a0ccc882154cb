# SPDX-License-Identifier: GPL-3.0-or-later
"""FIR filters whose taps may move along a line, and the fractional-delay kernel.

Samples stand as planes, float32 with the real parts in row 0 and the imaginary parts in row 1.
"""

import numpy as np


def windowed_sinc(time: np.ndarray, half_width: int, beta: float) -> np.ndarray:
    """sinc(time) under a Kaiser window that is zero beyond +-half_width samples; float64, shape of ``time``."""
    inside = np.clip(1 - (time / half_width) ** 2, 0, None)
    return np.where(np.abs(time) < half_width, np.sinc(time) * np.i0(beta * np.sqrt(inside)) / np.i0(beta), 0.0)


def to_planes(samples: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Planes ``before`` (2 x m), followed by complex64 samples (n): float32 2 x (m + n)."""
    planes = np.empty((2, before.shape[1] + len(samples)), np.float32)
    planes[:, : before.shape[1]] = before
    planes[0, before.shape[1] :] = samples.real
    planes[1, before.shape[1] :] = samples.imag
    return planes


def to_samples(planes: np.ndarray) -> np.ndarray:
    """Planes 2 x ... as 1-D complex64."""
    samples = np.empty(planes[0].size, np.complex64)
    samples.real, samples.imag = planes[0].ravel(), planes[1].ravel()
    return samples


def fir(windows: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Filter each segment with its own taps.

    Args:
        windows: float32 planes 2 x segments x (taps - 1 + length): a segment's samples and the ones just before it.
        taps: segments x taps, float32 or complex64; tap 0 weighs the newest sample.

    Returns:
        float32 planes 2 x segments x length.
    """
    count = taps.shape[1]
    length = windows.shape[2] - count + 1
    by_real = np.zeros((2, windows.shape[1], length), np.float32)
    by_imag = np.zeros_like(by_real) if np.iscomplexobj(taps) else None
    product = np.empty_like(by_real)
    for lag in range(count):
        delayed = windows[:, :, count - 1 - lag : count - 1 - lag + length]
        np.multiply(delayed, taps[:, lag, None].real, out=product)
        np.add(by_real, product, out=by_real)
        if by_imag is not None:
            np.multiply(delayed, taps[:, lag, None].imag, out=product)
            np.add(by_imag, product, out=by_imag)
    if by_imag is not None:
        by_real[0] -= by_imag[1]
        by_real[1] += by_imag[0]
    return by_real


def sliding_fir(windows: np.ndarray, taps: np.ndarray, change: np.ndarray) -> np.ndarray:
    """As ``fir``, with taps that move linearly from ``taps`` at a segment's start to ``taps + change`` at its end."""
    still = fir(windows, taps)
    moving = fir(windows, change)
    length = still.shape[2]
    return still + moving * (np.arange(length, dtype=np.float32) / np.float32(length))
