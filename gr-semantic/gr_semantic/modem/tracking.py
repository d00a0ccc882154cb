# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase and sampling-clock tracking over the symbols of a frame, from all known cells at once.

Common phase: a straight line (what is left of the carrier offset) plus a random walk (oscillator noise), smoothed in
both directions, so that the pilots of one symbol need not carry the phase of that symbol alone: at low SNR they could
not. Sampling clock: the phase slope over the carriers grows in proportion to time; one number a frame.
"""

import numpy as np
from scipy.linalg import solveh_banded

_SRO_PRIOR = 40e-6  # clocks of the radios that this is made for stay within this (standard deviation of the prior)


def common_phase(observed: np.ndarray, noise_var: np.ndarray, step_rad: float) -> np.ndarray:
    """Phase of every symbol (float64, rad, symbols).

    observed: complex correlation of each symbol's known cells with what was expected, scaled to 1 for no error
    (symbols); noise_var: complex noise variance of each of them; step_rad: standard deviation of the random walk from
    symbol to symbol.
    """
    count = len(observed)
    # The line first, from differences that noise cannot wrap: the peak of the sequence's spectrum, weighted.
    weights = 1 / np.maximum(noise_var, 1e-9)
    size = 16 * (1 << (count - 1).bit_length())
    spectrum = np.fft.fft(observed * weights, size)
    peak = int(np.argmax(np.abs(spectrum)))
    rate = 2 * np.pi * (peak if peak < size // 2 else peak - size) / size
    line = rate * np.arange(count) + np.angle(spectrum[peak])
    # Close to the line an angle is its noise, with half the complex variance: refine the line by weighted least
    # squares, ...
    weights = 2 * np.abs(observed) ** 2 * weights
    time = np.arange(count) - np.average(np.arange(count), weights=weights)
    rest = np.angle(observed * np.exp(-1j * line))
    spread = np.sum(weights * time**2)
    line += np.average(rest, weights=weights) + (time * np.sum(weights * time * rest) / spread if count > 2 else 0.0)
    # ... then the walk around it: a tridiagonal system.
    rest = np.angle(observed * np.exp(-1j * line))
    tie = 1 / step_rad**2
    diagonal = weights + tie * (np.minimum(np.arange(count), 1) + np.minimum(np.arange(count)[::-1], 1))
    banded = np.stack([np.full(count, -tie), diagonal])
    walk = solveh_banded(banded, weights * rest, check_finite=False) if count > 1 else rest
    return line + walk


def clock_offset(residual: np.ndarray, weights: np.ndarray, lever: np.ndarray) -> float:
    """Sampling-clock offset as the delay that builds up, in samples per sample (positive: the signal comes later and
    later).

    All arguments have one entry for each known cell: residual: the cell after channel and common phase, expected to
    be 1 (complex); weights: 1 / its complex noise variance; lever: its phase (rad) for an offset of 1 (-2 pi k / N
    times the samples since the reference).
    """
    precision = 2 * np.sum(weights * lever**2)
    return float(2 * np.sum(weights * lever * residual.imag) / (precision + 1 / _SRO_PRIOR**2))
