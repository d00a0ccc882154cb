# SPDX-License-Identifier: GPL-3.0-or-later
"""An interferer: a recording that is transmitted again and again."""

import numpy as np

from gr_semantic.errors import UserError
from gr_semantic.recording.sigmf_file import Recording
from gr_semantic.virtual_pluto.config import InterfererConfig, PathConfig
from gr_semantic.virtual_pluto.path import Tuning

_CHUNK_SAMPLES = 1 << 16
_MEASURED_SAMPLES = 1 << 24


class OnAirRecording:
    """The samples of a recording at unit mean power, looped; they are read as they are needed.

    Raises:
        UserError: no usable recording, no sample rate, or nothing but zeros in it.
    """

    def __init__(self, config: InterfererConfig):
        self.config = config
        self.path = PathConfig(gain_db=0.0)
        self._recording = Recording(config.file)
        self._chunks = iter(())
        self._left = np.zeros(0, np.complex64)
        try:
            rate_hz = config.sample_rate_hz or self._recording.sample_rate_hz
            if rate_hz is None:
                raise UserError(f"{config.file}: names no core:sample_rate: give the interferer's sample_rate_hz")
            self._scale = np.float32(1 / np.sqrt(self._mean_power()))
        except BaseException:
            self.close()
            raise
        self.tuning = Tuning(float("nan"), rate_hz, config.frequency_hz, rate_hz)
        self._position = 0.0

    def close(self) -> None:
        self._recording.close()

    def advance(self, seconds: float) -> np.ndarray:
        """The samples of the next so many seconds, complex64."""
        self._position += seconds * self.tuning.rate_hz
        count = int(self._position)
        self._position -= count
        pieces = []
        while count > 0:
            if not len(self._left):
                self._left = next(self._chunks, self._left)
            if not len(self._left):
                self._chunks = self._recording.chunks(_CHUNK_SAMPLES)
                continue
            pieces.append(self._left[:count])
            count -= len(pieces[-1])
            self._left = self._left[len(pieces[-1]) :]
        return np.nan_to_num(np.concatenate([np.zeros(0, np.complex64), *pieces])) * self._scale

    def _mean_power(self):
        total, count = 0.0, 0
        for chunk in self._recording.chunks(_CHUNK_SAMPLES):
            total += float(np.sum(np.abs(np.nan_to_num(chunk)).astype(np.float64) ** 2))
            count += len(chunk)
            if count >= _MEASURED_SAMPLES:
                break
        if not (total > 0 and np.isfinite(total)):
            raise UserError(f"{self.config.file}: holds no signal to interfere with")
        return total / count
