# SPDX-License-Identifier: GPL-3.0-or-later
"""What no code of a budget can surpass over a medium: simplex signals, averaged over the medium's fades."""

import numpy as np

from semantic_models.limit import simplex_accuracy

from ..modem import Waveform
from .air import Medium

_DRAWS = 2000


def power_gains(wf: Waveform, medium: Medium, seed: int = 0) -> np.ndarray:
    """Mean power gain over the data carriers in each of _DRAWS fades (float64), measured with impulses."""
    if not medium.fades:
        return np.ones(1)
    window = 4 * wf.fft_len
    channel = medium.config(None, window).build(medium.sample_rate_hz, seed)
    impulses = np.zeros((_DRAWS, window), np.complex64)
    impulses[:, 0] = 1
    response = np.fft.fft(channel.process(impulses.reshape(-1)).reshape(impulses.shape), axis=1)[:, ::4]
    return (np.abs(response[:, wf.bins[wf.data_index]]) ** 2).mean(axis=1)


def limit_accuracy(clean_accuracy: float, classes: int, snr_db: float, budget: int, gains: np.ndarray) -> float:
    """Clean accuracy times the probability that the decision arrives."""
    return clean_accuracy * float(simplex_accuracy(classes, budget * 10 ** (snr_db / 10) * gains).mean())
