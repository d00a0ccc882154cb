# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase noise of an oscillator, free-running or held by a loop."""

import math

import numpy as np

from gr_semantic.channel.streaming import BlockTable, Impairment, generator, multiply
from gr_semantic.errors import UserError

_ROW = 64  # the recursion runs over rows of 64 samples, 64 rows a block


class PhaseNoise(Impairment):
    """Turns the samples by a random phase: a Wiener process, high-passed if the oscillator is in a loop.

    Free-running (loop_bandwidth_hz = 0): each sample adds a Gaussian step of variance 2 pi linewidth_hz /
    sample_rate_hz; a carrier's spectrum is Lorentzian, full width linewidth_hz at half maximum; the phase starts at 0.
    In a first-order loop: the same steps, and the phase decays with exp(-2 pi loop_bandwidth_hz t); its variance is
    linewidth_hz / (2 loop_bandwidth_hz) rad^2 from the first sample on, its spectrum is flat up to the loop bandwidth.

    Args:
        linewidth_hz: >= 0.
        loop_bandwidth_hz: >= 0; 0 is free-running.
        seed: of the steps.
    """

    def __init__(self, linewidth_hz: float, loop_bandwidth_hz: float = 0.0, seed: int | np.random.SeedSequence = 0):
        if not linewidth_hz >= 0 or not loop_bandwidth_hz >= 0:
            raise UserError(
                f"phase noise: linewidth_hz is {linewidth_hz}, loop_bandwidth_hz {loop_bandwidth_hz}; expected >= 0"
            )
        self._linewidth_hz = linewidth_hz
        self._loop_bandwidth_hz = loop_bandwidth_hz
        self._seed = seed

    def start(self, sample_rate_hz):
        self._position = 0
        self._random = generator(self._seed)
        decay = math.exp(-2 * np.pi * self._loop_bandwidth_hz / sample_rate_hz)
        variance = 2 * np.pi * self._linewidth_hz / sample_rate_hz
        if decay < 1:
            # Exact discretisation of the continuous process, and its stationary start.
            stationary = self._linewidth_hz / (2 * self._loop_bandwidth_hz)
            variance = stationary * (1 - decay**2)
            self._phase = math.sqrt(stationary) * self._random.standard_normal()
        else:
            self._phase = 0.0
        self._deviation = math.sqrt(variance)
        self._decay_row = decay ** np.arange(1, _ROW + 1)
        self._within_row = _powers(decay)
        self._across_rows = _powers(decay**_ROW)
        self._table = BlockTable(_ROW * _ROW, self._block)

    def process(self, samples):
        start, self._position = self._position, self._position + len(samples)
        return multiply(samples, self._table.values(start, len(samples)))

    def _block(self, index):
        """The next 4096 values of exp(j phase): phase[n] = decay * phase[n - 1] + step[n], rows in parallel."""
        steps = self._deviation * self._random.standard_normal((_ROW, _ROW))
        local = steps @ self._within_row.T
        entering = self._across_rows @ np.concatenate([[self._phase], local[:-1, -1]])
        phase = (local + entering[:, None] * self._decay_row).ravel()
        self._phase = math.remainder(phase[-1], 2 * np.pi) if self._loop_bandwidth_hz == 0 else phase[-1]
        return np.exp(1j * phase).astype(np.complex64)


def _powers(base: float) -> np.ndarray:
    """Lower triangular matrix base ** (row - column)."""
    lag = np.subtract.outer(np.arange(_ROW), np.arange(_ROW))
    return np.where(lag >= 0, base ** np.maximum(lag, 0), 0.0)
