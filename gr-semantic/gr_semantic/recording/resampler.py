# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream of samples at another sample rate: polyphase filtering, piece by piece, in constant memory."""

from fractions import Fraction

import numpy as np
from scipy.signal import firwin, upfirdn

_HALF_LEN = 16  # of the filter, in samples of the slower rate
_KAISER_BETA = 7.0  # 70 dB; the transition ends 0.07 of the slower rate beyond half of it
_LIMITS = (64, 512, 4096, 32768)  # of the ratio's denominator; the longest filter has 4 MB
_EXACT_ENOUGH = 1e-7


class Resampler:
    """Samples at `to_hz` from samples at `from_hz`; the same samples come out however the stream is cut.

    The ratio is rounded to a fraction (`ratio`, output over input rate) within 0.1 ppm, or, very near to a simple
    fraction, within 15 ppm: a clock offset that receivers take in their stride. Output sample n lies at input sample
    n / ratio: the filter's delay has been taken out.
    """

    def __init__(self, from_hz: float, to_hz: float):
        self.ratio = _fraction(to_hz / from_hz)
        self._up, self._down = self.ratio.numerator, self.ratio.denominator
        slower = max(self._up, self._down)
        half = _HALF_LEN * slower
        taps = firwin(2 * half + 1, min(1 / slower, 0.99), window=("kaiser", _KAISER_BETA)) * self._up
        # Zeros in front make the delay a whole number of output samples, which are then left away.
        lead = -half % self._down
        self._taps = np.concatenate([np.zeros(lead), taps]).astype(np.float32)
        self._skip = (half + lead) // self._down
        self._reach = -(-len(self._taps) // self._up)  # input samples that an output sample may look back to
        self.reset()

    def reset(self) -> None:
        """A new stream: its first sample has index 0."""
        self._tail = np.zeros(0, np.complex64)
        self._tail_start = 0  # input index of the tail's first sample
        self._next = 0  # output index (before the skip) that comes next
        self._taken = 0

    def process(self, samples: np.ndarray) -> np.ndarray:
        """The next samples: complex64 in, as many as are complete out."""
        return self._run(samples, self._taken + len(samples))

    def flush(self) -> np.ndarray:
        """The end of the stream: what the filter still holds. Then as after reset()."""
        wanted = -(-self._taken * self._up // self._down) + self._skip  # up to the last input sample
        rest = self._run(np.zeros(self._reach + self._down, np.complex64), self._taken + self._reach + self._down)
        produced = self._next
        self.reset()
        return rest[: max(len(rest) - max(produced - wanted, 0), 0)]

    def _run(self, samples, end):
        x = np.concatenate([self._tail, samples])
        self._taken = end
        # Output m is complete once its newest input, floor(m down / up), is there.
        complete = (end * self._up - 1) // self._down + 1
        # The block starts at an input sample that is a multiple of `down`, so that its outputs fall on the stream's.
        offset = self._tail_start * self._up // self._down
        y = upfirdn(self._taps, x, self._up, self._down)[self._next - offset : complete - offset]
        first, self._next = self._next, complete
        keep = max((complete * self._down // self._up - self._reach) // self._down * self._down, 0)
        keep = max(keep, self._tail_start)
        self._tail = x[keep - self._tail_start :]
        self._tail_start = keep
        return y[max(self._skip - first, 0) :].astype(np.complex64)


def _fraction(ratio: float) -> Fraction:
    for limit in _LIMITS:  # a ratio below 1 by its inverse: small numbers on both sides of the stroke
        found = Fraction(max(ratio, 1 / ratio)).limit_denominator(limit)
        if abs(found / max(ratio, 1 / ratio) - 1) < _EXACT_ENOUGH:
            break
    return found if ratio >= 1 else 1 / found
