# SPDX-License-Identifier: GPL-3.0-or-later
"""What a radio receives to a live recording."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .live_recording import LiveRecording

_PIECE_SAMPLES = 1 << 16


class SampleSource(Protocol):
    """What is asked of a radio here; gr_semantic.radio.RadioKeeper has it.

    receive(count): up to `count` samples (complex64), none if none came in a while. ended: no more will come. failed:
    why the radio was given up, or None. counters: of dropped samples, overflows and reconnects so far.
    """

    ended: bool
    failed: str | None
    counters: object

    def receive(self, count: int) -> np.ndarray: ...


def record_radio(
    source: SampleSource,
    recording: LiveRecording,
    sample_count: int | None,
    capture: dict | None = None,
    stopped: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Record until `sample_count` samples are there (None: without end), the source ends or fails, or `stopped()`.

    Where the radio was away, or samples were dropped on their way, a new capture begins: a gap. The caller finishes the
    recording.

    Args:
        capture: settings for LiveRecording.begin_capture.
        on_progress: called with the number of samples so far.

    Raises:
        UserError: the disk does not take the samples.
    """
    capture, before = capture or {}, _losses(source)
    recording.begin_capture(**capture)
    while not stopped() and (sample_count is None or recording.sample_count < sample_count):
        left = _PIECE_SAMPLES if sample_count is None else min(_PIECE_SAMPLES, sample_count - recording.sample_count)
        samples = source.receive(left)
        if not len(samples):
            if source.ended or source.failed:
                break
            continue
        if _losses(source) != before:
            before = _losses(source)
            recording.begin_capture(joined=False, **capture)
        recording.write(samples)
        if on_progress:
            on_progress(recording.sample_count)
    recording.note(overflows=source.counters.overflows, dropped_samples=source.counters.dropped)


def _losses(source):
    return source.counters.reconnects, source.counters.dropped
