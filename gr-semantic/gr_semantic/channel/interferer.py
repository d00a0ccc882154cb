# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals of others in the band."""

import numpy as np

from gr_semantic.channel.carrier_offset import PhaseRamp
from gr_semantic.channel.streaming import Impairment, scale
from gr_semantic.errors import UserError


class Interferer(Impairment):
    """Adds given samples, looped, at a mean power of 10 ** (power_db / 10).

    Args:
        samples: 1-D complex, at the channel's sample rate; scaled to unit mean power first.
        power_db: over the unit power of a data carrier's symbols (and so of one sample's).

    Raises:
        UserError: no samples, samples that are not finite, or all zero.
    """

    def __init__(self, samples: np.ndarray, power_db: float):
        samples = np.asarray(samples, np.complex64).ravel()
        power_lin = np.mean(np.abs(samples.astype(np.complex128)) ** 2) if len(samples) else 0.0
        if not (np.isfinite(power_lin) and power_lin > 0):
            raise UserError("interferer: needs at least one sample, all finite, not all zero")
        self._samples = (samples * np.sqrt(10 ** (power_db / 10) / power_lin)).astype(np.complex64)

    def start(self, sample_rate_hz):
        self._position = 0

    def process(self, samples):
        index = np.arange(self._position, self._position + len(samples)) % len(self._samples)
        self._position = (self._position + len(samples)) % len(self._samples)
        return samples + self._samples[index]


class Tone(Impairment):
    """Adds a tone at ``frequency_hz`` (of the complex baseband) and a power of 10 ** (power_db / 10).

    Raises:
        UserError: in ``start``, if the frequency is beyond half the sample rate.
    """

    def __init__(self, frequency_hz: float, power_db: float):
        self._frequency_hz = frequency_hz
        self._amplitude = np.float32(10 ** (power_db / 20))

    def start(self, sample_rate_hz):
        if not abs(self._frequency_hz) <= sample_rate_hz / 2:
            limit_hz = sample_rate_hz / 2
            raise UserError(f"interferer_hz is {self._frequency_hz:g}, expected -{limit_hz:g} to {limit_hz:g}")
        self._position = 0
        self._ramp = PhaseRamp(self._frequency_hz, sample_rate_hz)

    def process(self, samples):
        start, self._position = self._position, self._position + len(samples)
        return samples + scale(self._ramp.values(start, len(samples)), self._amplitude)
