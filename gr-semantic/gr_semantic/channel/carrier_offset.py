# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrier frequency offset."""

import math

import numpy as np

from gr_semantic.channel.streaming import BlockTable, Impairment, multiply
from gr_semantic.errors import UserError

_BLOCK_SAMPLES = 4096


class PhaseRamp:
    """exp(j 2 pi (frequency_hz * n / sample_rate_hz + cycles)) by sample index n >= 0; complex64."""

    def __init__(self, frequency_hz: float, sample_rate_hz: float, cycles: float = 0.0):
        self._step_cycles = frequency_hz / sample_rate_hz
        self._cycles = cycles
        self._turn = np.exp(2j * np.pi * (self._step_cycles * np.arange(_BLOCK_SAMPLES) % 1.0))
        self._table = BlockTable(_BLOCK_SAMPLES, self._block)
        self.values = self._table.values

    def cycles_at(self, n: int) -> float:
        """The phase at sample n, in cycles 0..1."""
        return math.fmod(self._cycles + math.fmod(self._step_cycles * n, 1.0), 1.0)

    def _block(self, index):
        first = np.exp(2j * np.pi * self.cycles_at(index * _BLOCK_SAMPLES))
        return (first * self._turn).astype(np.complex64)


class CarrierOffset(Impairment):
    """Turns sample n by 2 pi cfo_hz n / sample_rate_hz.

    Raises:
        UserError: ``start`` or ``set_cfo_hz``, if abs(cfo_hz) is above half the sample rate.
    """

    def __init__(self, cfo_hz: float):
        self.cfo_hz = cfo_hz

    def start(self, sample_rate_hz):
        self._sample_rate_hz = sample_rate_hz
        self._position = 0
        self._ramp = self._new_ramp(self.cfo_hz, 0.0)

    def set_cfo_hz(self, cfo_hz: float) -> None:
        """Change the frequency from the next sample on; the phase goes on without a step."""
        self._ramp = self._new_ramp(cfo_hz, self._ramp.cycles_at(self._position))
        self.cfo_hz, self._position = cfo_hz, 0

    def process(self, samples):
        start, self._position = self._position, self._position + len(samples)
        return multiply(samples, self._ramp.values(start, len(samples)))

    def _new_ramp(self, cfo_hz, cycles):
        if not abs(cfo_hz) <= self._sample_rate_hz / 2:
            limit_hz = self._sample_rate_hz / 2
            raise UserError(f"cfo_hz is {cfo_hz:g}, expected -{limit_hz:g} to {limit_hz:g} (half the sample rate)")
        return PhaseRamp(cfo_hz, self._sample_rate_hz, cycles)
