# SPDX-License-Identifier: GPL-3.0-or-later
"""The limit of any code for one class decision: M-ary simplex signals of the same energy over the same channel uses.

Energy: an image's L complex symbols have unit mean power, so E = L; each meets complex noise of N0 = 10^(-snr_db / 10).
Only E / N0 = L * 10^(snr_db / 10) matters. Sources: J. G. Proakis, Digital Communications (orthogonal and simplex
signals); C. L. Weber, Elements of Detection and Signal Design (their optimality). See docs/learning.md.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ive, ndtr

from .channels import RICIAN_K_LIN
from .errors import CodecError

_REACH = 10.0  # standard deviations; the normal density beyond is below 1e-22
_STEP = 0.02
_LOG_GAIN = np.linspace(-40.0, 6.0, 4601)  # natural logarithm of the power gains that an average over fades sums up


def simplex_accuracy(classes: int, energy_to_noise) -> np.ndarray:
    """Probability of a right decision among `classes` equally likely simplex signals in white Gaussian noise.

    energy_to_noise: E / N0 of one signal, linear, any shape. M simplex signals of energy E do as well as M orthogonal
    ones of energy E M / (M - 1): the correlator of the sent signal, a normal variable with mean sqrt(2 E' / N0), must
    exceed M - 1 others with mean 0. Returns float64 of the same shape, from 1 / M up to 1.
    """
    if classes < 2:
        raise CodecError(f"limit: {classes} classes; a decision needs 2 or more")
    energy = np.asarray(energy_to_noise, np.float64)
    mean = np.sqrt(2 * energy * classes / (classes - 1))[..., None]
    # The trapezoidal rule converges geometrically for such integrands: halving the step changes nothing above 1e-12.
    offset = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    density = np.exp(-0.5 * offset**2) / np.sqrt(2 * np.pi)
    return (density * ndtr(mean + offset) ** (classes - 1)).sum(-1) * _STEP


def faded_simplex_accuracy(classes: int, energy_to_noise: float, fading: str) -> float:
    """The same, averaged over one fade an image that the receiver knows: "rayleigh" or "rician" (K of channels.py).

    energy_to_noise: the average E / N0; power gains have mean 1.
    """
    gain = np.exp(_LOG_GAIN)
    k = RICIAN_K_LIN if fading == "rician" else 0.0
    root = 2 * np.sqrt(k * (k + 1) * gain)
    density = (k + 1) * np.exp(root - k - (k + 1) * gain) * ive(0, root)
    accuracy = simplex_accuracy(classes, energy_to_noise * gain)
    return float((density * gain * accuracy).sum() * (_LOG_GAIN[1] - _LOG_GAIN[0]))


def accuracy_limit(clean_accuracy: float, classes: int, snr_db: float, budget: int, channel: str = "awgn") -> float:
    """What the best code of this budget could reach: clean accuracy x probability that its decision arrives.

    channel: one of channels.KINDS. For "selective" (unit mean power gain in every code word) the AWGN value counts:
    power spread evenly over the symbols arrives with the same energy.
    """
    energy = budget * 10 ** (snr_db / 10)
    if channel in ("rayleigh", "rician"):
        return clean_accuracy * faded_simplex_accuracy(classes, energy, channel)
    return clean_accuracy * float(simplex_accuracy(classes, energy))


def add_limits(result: dict, classes: int) -> dict:
    """The evaluation with two more fields in each point: `limit` (0..1) and `below_limit_points` (100 x difference)."""
    points = []
    for point in result["points"]:
        limit = accuracy_limit(result["clean_accuracy"], classes, point["snr_db"], point["budget"], point["channel"])
        points.append(point | {"limit": limit, "below_limit_points": 100 * (limit - point["accuracy"])})
    return result | {"points": points}
