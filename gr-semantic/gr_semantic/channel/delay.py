# SPDX-License-Identifier: GPL-3.0-or-later
"""A constant delay."""

import numpy as np

from gr_semantic.channel.filtering import fir, to_planes, to_samples, windowed_sinc
from gr_semantic.channel.streaming import Impairment
from gr_semantic.errors import UserError

_HALF_WIDTH = 16
_BETA = 7.5  # flat to 0.42 of the sample rate, images 75 dB down


class Delay(Impairment):
    """Delays the stream by ``delay_samples`` >= 0; zeros come out before.

    A delay that is not whole takes a 32-tap filter, flat to 0.42 of the sample rate, and latency_samples = 16 more.
    """

    def __init__(self, delay_samples: float):
        if not (delay_samples >= 0 and np.isfinite(delay_samples)):
            raise UserError(f"delay_samples is {delay_samples}, expected a finite number of 0 or more")
        self._whole = int(delay_samples)
        fraction = delay_samples - self._whole
        self._taps = None
        if fraction:
            self.latency_samples = _HALF_WIDTH
            taps = windowed_sinc(np.arange(2 * _HALF_WIDTH + 1) - _HALF_WIDTH - fraction, _HALF_WIDTH, _BETA)
            self._taps = (taps / taps.sum()).astype(np.float32)[None]

    def start(self, sample_rate_hz):
        self._waiting = np.zeros(self._whole, np.complex64)
        self._before = None if self._taps is None else np.zeros((2, self._taps.shape[1] - 1), np.float32)

    def process(self, samples):
        count = len(samples)
        if self._whole:
            queue = np.concatenate([self._waiting, samples])
            samples, self._waiting = queue[:count], queue[count:]
        if self._taps is None:
            return samples
        planes = to_planes(samples, self._before)
        self._before = planes[:, count:]
        return to_samples(fir(planes[:, None], self._taps))
