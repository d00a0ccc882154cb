# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase and sampling-clock tracking over the symbols of a frame, from all known cells at once; a batch of frames a
call.

Common phase: a straight line (what is left of the carrier offset) plus a random walk (oscillator noise), smoothed in
both directions, so that the pilots of one symbol need not carry the phase of that symbol alone: at low SNR they could
not. Sampling clock: the phase slope over the carriers grows in proportion to time; one number a frame.
"""

import numpy as np
from scipy.fft import fft
from scipy.linalg import solveh_banded

_SRO_PRIOR = 40e-6  # clocks of the radios that this is made for stay within this (standard deviation of the prior)


def common_phase(observed: np.ndarray, noise_var: np.ndarray, step_rad: float) -> np.ndarray:
    """Phase of every symbol (float64, rad, frames x symbols).

    observed: complex correlation of each symbol's known cells with what was expected, scaled to 1 for no error
    (frames x symbols, at least 2 symbols); noise_var: complex noise variance of each of them; step_rad: standard
    deviation of the random walk from symbol to symbol.
    """
    frames, count = observed.shape
    symbol = np.arange(count)
    # The line first, by a method that noise cannot wrap: the peak of the weighted sequence's spectrum.
    weights = 1 / np.maximum(noise_var, 1e-9)
    size = 16 * (1 << (count - 1).bit_length())
    spectrum = fft(observed * weights, size, axis=1)
    peak = np.argmax(spectrum.real**2 + spectrum.imag**2, axis=1)
    rate = 2 * np.pi * np.where(peak < size // 2, peak, peak - size) / size
    line = rate[:, None] * symbol + np.angle(spectrum[np.arange(frames), peak])[:, None]
    # Close to the line an angle is its noise, with half the complex variance: refine it by weighted least squares, ...
    weights = 2 * (observed.real**2 + observed.imag**2) * weights + 1e-12
    total = np.sum(weights, axis=1, keepdims=True)
    time = symbol - np.sum(weights * symbol, axis=1, keepdims=True) / total
    rest = np.angle(observed * np.exp(-1j * line))
    slope = np.sum(weights * time * rest, axis=1, keepdims=True) / np.sum(weights * time**2, axis=1, keepdims=True)
    line += np.sum(weights * rest, axis=1, keepdims=True) / total + slope * time
    # ... then the walk around it: a tridiagonal system, all frames in one with nothing between them.
    rest = np.angle(observed * np.exp(-1j * line))
    tie = np.full((frames, count), 1 / step_rad**2)
    tie[:, 0] = 0  # entry i ties symbols i - 1 and i
    diagonal = weights + tie
    diagonal[:, :-1] += tie[:, 1:]
    walk = solveh_banded(
        np.stack([-tie.ravel(), diagonal.ravel()]),
        (weights * rest).ravel(),
        overwrite_ab=True,
        check_finite=False,
    )
    return line + walk.reshape(frames, count)


def clock_offset(precision: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Sampling-clock offset as the delay that builds up, in samples per sample (frames; positive: later and later).

    With lever = each known cell's phase (rad) for an offset of 1, and its noise variance after division by what
    was expected: precision = sum of lever**2 / variance, evidence = sum of lever * imaginary part / variance (frames).
    """
    return 2 * evidence / (2 * precision + 1 / _SRO_PRIOR**2)
