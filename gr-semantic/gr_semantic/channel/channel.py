# SPDX-License-Identifier: GPL-3.0-or-later
"""Impairments in a row."""

import numpy as np

from gr_semantic.channel.streaming import Impairment
from gr_semantic.errors import UserError

_PIECE_SAMPLES = 8192  # keeps what is worked on in the processor's cache


class Channel:
    """A stream of samples through impairments, in the order given.

    Args:
        impairments: objects of Impairment; the channel owns them from here on.
        sample_rate_hz: of the samples, above 0.

    Raises:
        UserError: a sample rate that is not positive, or that does not fit an impairment.
    """

    def __init__(self, impairments: list[Impairment], sample_rate_hz: float):
        if not (sample_rate_hz > 0 and np.isfinite(sample_rate_hz)):
            raise UserError(f"sample_rate_hz is {sample_rate_hz}, expected a number above 0")
        self.impairments = list(impairments)
        self.sample_rate_hz = float(sample_rate_hz)
        self.reset()

    @property
    def latency_samples(self) -> int:
        """Delay of all filters together, in samples; comes on top of the delays that were asked for."""
        return sum(impairment.latency_samples for impairment in self.impairments)

    def reset(self) -> None:
        """Back to sample 0: what is processed next gives what it gave at first."""
        for impairment in self.impairments:
            impairment.start(self.sample_rate_hz)

    def process(self, samples: np.ndarray) -> np.ndarray:
        """The next samples of the stream.

        Args:
            samples: complex64 (n). The result does not depend on how a stream is cut into calls.

        Returns:
            complex64: n samples, or about n (1 + sro_ppm / 1e6) with a SampleRateOffset. Never the input array itself.

        Raises:
            UserError: the input is not a 1-D array of numbers.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1 or samples.dtype.kind not in "fciu":
            raise UserError(f"channel: expected 1-D complex64, got shape {samples.shape}, dtype {samples.dtype}")
        pieces = [np.zeros(0, np.complex64)]
        for first in range(0, len(samples), _PIECE_SAMPLES):
            piece = np.ascontiguousarray(samples[first : first + _PIECE_SAMPLES], np.complex64)
            for impairment in self.impairments:
                if len(piece):
                    piece = impairment.process(piece)
            pieces.append(piece)
        return np.concatenate(pieces)

    def input_limit(self, room: int) -> int:
        """How many input samples surely give no more than ``room`` output samples."""
        return min([room, *(impairment.input_limit(room) for impairment in self.impairments)])

    def find(self, kind: type) -> Impairment | None:
        """The first impairment of a class, or None."""
        return next((impairment for impairment in self.impairments if isinstance(impairment, kind)), None)
