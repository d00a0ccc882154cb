# SPDX-License-Identifier: GPL-3.0-or-later
"""Difference between the sample clocks of transmitter and receiver."""

import math

import numpy as np

from gr_semantic.channel.filtering import sliding_fir, to_planes, to_samples, windowed_sinc
from gr_semantic.channel.streaming import Impairment
from gr_semantic.errors import UserError

MAX_PPM = 1000.0
_HALF_WIDTH = 16
_TAPS = 2 * _HALF_WIDTH
_BETA = 7.5  # flat to 0.42 of the sample rate, images 75 dB down
_PHASES = 1024  # of the kernel's table, between which it is linear
_MARGIN = 32  # phases beyond 0..1: within a segment the fraction may pass the next whole sample
_MAX_MOVE = 0.01  # samples by which the fraction moves in a segment, over which taps are taken as linear


def _kernel_table() -> np.ndarray:
    """Phases x taps float64: row i is the filter for the fraction (i - margin) / phases."""
    fraction = np.arange(-_MARGIN, _PHASES + _MARGIN + 2) / _PHASES
    taps = windowed_sinc(np.arange(_TAPS) - _HALF_WIDTH + fraction[:, None], _HALF_WIDTH, _BETA)
    return taps / taps.sum(axis=1, keepdims=True)


class SampleRateOffset(Impairment):
    """Resamples to a receiver whose clock is ``sro_ppm`` faster than the transmitter's.

    (1 + sro_ppm / 1e6) samples come out for one in: output sample m is the input at m / (1 + sro_ppm / 1e6) -
    latency_samples, by a 32-tap windowed sinc.

    Args:
        sro_ppm: -1000..1000.

    Raises:
        UserError: sro_ppm out of range.
    """

    latency_samples = _HALF_WIDTH

    def __init__(self, sro_ppm: float):
        self._check(sro_ppm)
        self.sro_ppm = sro_ppm
        self._kernel = _kernel_table()

    def start(self, sample_rate_hz):
        self._input = np.zeros((2, _TAPS - 1), np.float32)  # planes from input index _input_start on
        self._input_start = 1 - _TAPS
        self._produced = 0  # since _origin
        self._origin = 0  # output index at which the present sro_ppm began
        self._origin_drift = 0.0
        self._set_drift(self.sro_ppm)

    def set_sro_ppm(self, sro_ppm: float) -> None:
        """Change the offset from the next output sample on, without a step in time."""
        self._check(sro_ppm)
        self._origin_drift += self._produced * self._drift
        self._origin += self._produced
        self._produced = 0
        self.sro_ppm = sro_ppm
        self._set_drift(sro_ppm)

    def process(self, samples):
        self._input = to_planes(samples, self._input)
        received = self._input_start + self._input.shape[1]
        size = self._segment_samples
        first, offset = divmod(self._produced, size)
        places, fractions = self._places(first + np.arange(len(samples) * 1.001 // size + 3))
        end = first * size + int(np.clip(received - places, 0, size).sum())
        count = end - self._produced
        if count <= 0:
            return np.zeros(0, np.complex64)
        segments = -(-end // size) - first
        taps = self._taps(fractions[:segments])
        change = self._taps(fractions[:segments] + size * self._drift) - taps
        out = sliding_fir(self._windows(places[:segments]), taps.astype(np.float32), change.astype(np.float32))
        self._produced = end
        self._forget()
        return to_samples(out)[offset : offset + count]

    def input_limit(self, room):
        return max(0, int((room - 3) / (1 + 2 * MAX_PPM / 1e6)))

    @staticmethod
    def _check(sro_ppm):
        if not abs(sro_ppm) <= MAX_PPM:
            raise UserError(f"sro_ppm is {sro_ppm}, expected -{MAX_PPM:g} to {MAX_PPM:g}")

    def _set_drift(self, sro_ppm):
        """Output m (since the origin) reads the input at origin + m + origin_drift + m * drift."""
        self._drift = -sro_ppm * 1e-6 / (1 + sro_ppm * 1e-6)
        steady = _MAX_MOVE / max(abs(self._drift), 1e-9)
        self._segment_samples = int(np.clip(2 ** math.floor(math.log2(steady)), 16, 256))

    def _places(self, segments):
        """For each segment: the newest input index that its first output needs (int64), and the fraction beyond it."""
        first = segments * self._segment_samples
        drift = self._origin_drift + first * self._drift
        whole = np.floor(drift)
        return (self._origin + first + whole).astype(np.int64), drift - whole

    def _taps(self, fractions):
        """segments x taps float64, linear between the phases of the table."""
        phase = fractions * _PHASES + _MARGIN
        row = np.floor(phase).astype(np.int64)
        part = (phase - row)[:, None]
        return self._kernel[row] * (1 - part) + self._kernel[row + 1] * part

    def _windows(self, places):
        """Planes 2 x segments x (taps - 1 + segment); inputs still to come are zeros (their outputs are cut off)."""
        width = _TAPS - 1 + self._segment_samples
        starts = places - (_TAPS - 1) - self._input_start
        missing = max(0, int(starts[-1]) + width - self._input.shape[1])
        padded = np.pad(self._input, ((0, 0), (0, missing)))
        return np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)[:, starts]

    def _forget(self):
        """Drop inputs that no later output needs, whatever sro_ppm may be set."""
        place = self._places(np.array([self._produced // self._segment_samples]))[0][0]
        drop = int(place) - (_TAPS - 1) - 2 - self._input_start
        if drop > 0:
            self._input = self._input[:, drop:]
            self._input_start += drop
