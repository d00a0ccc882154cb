# SPDX-License-Identifier: GPL-3.0-or-later
"""All of a path that is linear and does not change: band, echoes and the drift of the sample clocks, in one filter.

In the frequency domain (overlap-save), because the channel's own SampleRateOffset and Multipath, exact however the
stream is cut, take 0.15 us a sample here, and this takes a third of it. A clock that drifts makes a delay that grows
along a block; the block is computed for about the delay at its middle, and the rest by the first terms of its Taylor
series: y(t + d) = y + d y' + d^2 y'' / 2.
"""

import numpy as np
from scipy import fft

from gr_semantic.channel.streaming import Impairment

_BAND_TAPS = 129
_BETA = 5.65  # Kaiser: 60 dB down, transition 3.6 / 128 of the sample rate
_WIDEST = 0.48  # of the sample rate, on each side: the filter must end before half of it, or delays would ring
_GUARD = 32  # taps on both sides for what a fractional delay spreads
_MOST_DRIFT = 0.05  # samples from the middle of a block to its ends: third term of the series below -64 dB
_MOST_BLOCK = 8192
_LEAST_BLOCK = 32
_LITTLE_MORE = 1.01  # of a block: not worth one of its own
_PHASES = 64
_MOST_KEPT = 150  # filters: all phases of two lengths


class PathFilter(Impairment):
    """A band, echoes, and a change of the sample rate by up to 1000 ppm.

    ``latency_samples`` of delay, and ``delay_samples`` (0..1) more. How the stream is cut changes what comes out by no
    more than -64 dB with drift, and by float32 rounding without.

    Args:
        echoes: complex taps of the path, tap 0 first; None: one path.
        ratio: output rate over input rate.
        delay_samples: 0..1.
    """

    latency_samples = _BAND_TAPS // 2 + _GUARD

    def __init__(self, echoes: np.ndarray | None = None, ratio: float = 1.0, delay_samples: float = 0.0):
        self._echoes = np.ones(1) if echoes is None else echoes
        self._delay_samples = delay_samples
        self._slopes: dict[int, np.ndarray] = {}
        self.set_ratio(ratio)

    def start(self, sample_rate_hz):
        """sample_rate_hz: of the input."""
        self._sample_rate_hz = sample_rate_hz
        self._length = _BAND_TAPS + len(self._echoes) - 1 + 2 * _GUARD
        self._stream = np.zeros(self._length, np.complex64)
        self._next = self._length - self._delay_samples  # time of the next output, as an index of _stream
        self.set_band_hz(-sample_rate_hz, sample_rate_hz)

    def set_ratio(self, ratio: float) -> None:
        """Another ratio of rates from the next output on."""
        self._step = 1 / ratio
        drift = abs(self._step - 1)
        self._block = _MOST_BLOCK if drift == 0 else int(np.clip(2 * _MOST_DRIFT / drift, _LEAST_BLOCK, _MOST_BLOCK))

    def set_band_hz(self, low_hz: float, high_hz: float) -> None:
        """Pass low_hz..high_hz from the next sample on: half way down at the edges; nothing, if high_hz <= low_hz."""
        low, high = np.clip(np.array([low_hz, high_hz]) / self._sample_rate_hz, -_WIDEST, _WIDEST)
        time = np.arange(_BAND_TAPS) - _BAND_TAPS // 2
        width = max(high - low, 0.0)
        band = width * np.sinc(width * time) * np.exp(1j * np.pi * (low + high) * time) * np.kaiser(_BAND_TAPS, _BETA)
        self._taps = np.concatenate([np.zeros(_GUARD), np.convolve(band, self._echoes)])
        self._responses: dict[tuple[int, int], np.ndarray] = {}

    def process(self, samples):
        self._stream = np.concatenate([self._stream, samples])
        pieces = []
        last = len(self._stream) - 1
        while (left := int(np.floor((last - self._next) / self._step)) + 1) > 0:
            # Output m of the block lies at whole index first + m, and a fraction beyond it that drifts.
            count = left if left <= _LITTLE_MORE * self._block else self._block
            middle = self._next + (count - 1) / 2 * self._step
            first = round(middle - (count - 1) / 2)
            count = min(count, last - first + 1)
            if count <= 0:
                break
            pieces.append(self._filtered(first, count, self._next - first))
            self._next += count * self._step
        drop = int(self._next) - self._length
        self._next -= drop
        self._stream = self._stream[drop:]
        return np.concatenate(pieces) if len(pieces) != 1 else pieces[0]

    def _filtered(self, first, count, fraction):
        """Outputs at first + m + fraction + m (step - 1), m = 0..count - 1."""
        window = self._stream[first - self._length + 1 : first + count]
        if not window.any():  # nobody sends: most of the time, where bursts are short
            return np.zeros(count, np.complex64)
        size = fft.next_fast_len(len(window))
        drift = self._step - 1
        middle = fraction + drift * (count - 1) / 2
        phase = round(middle * _PHASES)  # of the filters that are kept; the rest is left to the series
        spectrum = fft.fft(window, size)
        spectrum *= self._response(size, phase)
        inside = slice(self._length - 1, len(window))
        out = fft.ifft(spectrum)[inside]
        if drift or middle * _PHASES != phase:
            slope = self._slope(size)
            spectrum *= slope
            change = fft.ifft(spectrum)[inside]
            spectrum *= slope
            curve = fft.ifft(spectrum, overwrite_x=True)[inside]
            away = (middle - phase / _PHASES + drift * (np.arange(count) - (count - 1) / 2)).astype(np.float32)
            curve *= away / 2
            curve += change
            curve *= away
            out += curve
        return out

    def _response(self, size, phase):
        """Of the filter, phase / 64 samples early, at the frequencies of a transform of that size."""
        if (size, phase) not in self._responses:
            if len(self._responses) >= _MOST_KEPT:
                self._responses.clear()
            advance = np.exp(2j * np.pi * fft.fftfreq(size) * phase / _PHASES)
            self._responses[size, phase] = (fft.fft(self._taps, size) * advance).astype(np.complex64)
        return self._responses[size, phase]

    def _slope(self, size):
        """Of a derivative."""
        if size not in self._slopes:
            if len(self._slopes) >= _MOST_KEPT:
                self._slopes.clear()
            self._slopes[size] = (2j * np.pi * fft.fftfreq(size)).astype(np.complex64)
        return self._slopes[size]
