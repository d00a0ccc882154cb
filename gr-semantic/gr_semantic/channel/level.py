# SPDX-License-Identifier: GPL-3.0-or-later
"""Gain and noise, whose levels may follow a trajectory."""

import numpy as np

from gr_semantic.channel.streaming import BlockTable, Impairment, generator, scale
from gr_semantic.channel.trajectory import SnrTrajectory

HOLD_SAMPLES = 64  # a trajectory is read once in so many samples, but jumps are where they are
_BLOCK_SAMPLES = 4096


class _Amplitude:
    """sqrt(10 ** (sign * level_db / 10)) at each sample; level_db is a number or an SnrTrajectory."""

    def __init__(self, level_db, sign: int, sample_rate_hz: float):
        def lin(db):
            return np.power(10.0, sign * np.asarray(db) / 20.0).astype(np.float32)

        def block(index):
            first = index * _BLOCK_SAMPLES
            jumps = any(first <= time_s * sample_rate_hz < first + _BLOCK_SAMPLES for time_s, _, _ in level_db.jumps)
            hold = 1 if jumps else HOLD_SAMPLES
            read = first + np.arange(0, _BLOCK_SAMPLES, hold)
            return np.repeat(lin(level_db.at(read / sample_rate_hz)), hold)

        moving = isinstance(level_db, SnrTrajectory)
        self._constant = None if moving else lin(level_db)
        self._table = BlockTable(_BLOCK_SAMPLES, block) if moving else None

    def values(self, start: int, count: int):
        return self._constant if self._table is None else self._table.values(start, count)


class Gain(Impairment):
    """Multiplies the samples by 10 ** (gain_db / 20).

    Args:
        gain_db: a number, or an SnrTrajectory (read every 64 samples; jumps are exact): then the signal fades.
    """

    def __init__(self, gain_db: float | SnrTrajectory):
        self.gain_db = gain_db

    def start(self, sample_rate_hz):
        self._sample_rate_hz = sample_rate_hz
        self._position = 0
        self.set_gain_db(self.gain_db)

    def set_gain_db(self, gain_db: float | SnrTrajectory) -> None:
        """Change the gain from the next sample on."""
        self.gain_db = gain_db
        self._amplitude = _Amplitude(gain_db, +1, self._sample_rate_hz)

    def process(self, samples):
        start, self._position = self._position, self._position + len(samples)
        if not isinstance(self.gain_db, SnrTrajectory) and self.gain_db == 0:
            return samples
        return scale(samples, self._amplitude.values(start, len(samples)))


class Noise(Impairment):
    """Adds white complex Gaussian noise of variance 10 ** (-snr_db / 10) per sample.

    With the unitary FFT and unit symbol power that is an SNR of snr_db on every data carrier. The signal stays, the
    noise moves.

    Args:
        snr_db: a number, an SnrTrajectory (read every 64 samples; jumps are exact), or None for no noise.
        seed: of the noise.
    """

    def __init__(self, snr_db: float | SnrTrajectory | None, seed: int | np.random.SeedSequence = 0):
        self.snr_db = snr_db
        self._seed = seed

    def start(self, sample_rate_hz):
        self._sample_rate_hz = sample_rate_hz
        self._position = 0
        self._random = generator(self._seed)
        self.set_snr_db(self.snr_db)

    def set_snr_db(self, snr_db: float | SnrTrajectory | None) -> None:
        """Change the level from the next sample on."""
        self.snr_db = snr_db
        self._amplitude = None if snr_db is None else _Amplitude(snr_db, -1, self._sample_rate_hz)

    def process(self, samples):
        start, self._position = self._position, self._position + len(samples)
        if self._amplitude is None:
            return samples
        noise = self._random.standard_normal(2 * len(samples), dtype=np.float32).view(np.complex64)
        deviation_lin = self._amplitude.values(start, len(samples)) * np.float32(np.sqrt(0.5))
        return samples + scale(noise, deviation_lin)
