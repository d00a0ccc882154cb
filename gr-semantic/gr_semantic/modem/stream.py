# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver: samples in, frames out. The whole-array function is the streaming one, fed once."""

import math
from dataclasses import replace
from itertools import groupby

import numpy as np

from . import detect
from .demodulate import Frame, Training, read_headers, read_payloads
from .modulate import frame_len
from .waveform import Waveform

LIVE_CHUNK = 4096  # 4 ms at 1 Msps
BULK_CHUNK = 1 << 18  # more frames a batch; beyond, memory for little


def live_chunk(sample_rate_hz: float) -> int:
    """4 to 8 ms of samples, a power of two from LIVE_CHUNK to BULK_CHUNK: at any rate the same latency."""
    return min(max(LIVE_CHUNK, 1 << math.ceil(math.log2(sample_rate_hz * LIVE_CHUNK / 1e6))), BULK_CHUNK)


class StreamReceiver:
    """Finds and demodulates the frames of one sample stream.

    push() takes any number of complex64 samples and returns the frames that are complete; their order is that of the
    air. However the stream is cut into pushes, and whatever the chunk, the same frames come out, bit for bit. flush()
    ends the stream. chunk: samples that are worked on at a time: latency against throughput.
    """

    def __init__(self, wf: Waveform, sample_rate_hz: float = 1e6, chunk: int = LIVE_CHUNK):
        self.waveform = wf
        self.sample_rate_hz = sample_rate_hz
        self._chunk = chunk
        self._trained = wf.symbol_len * (wf.preamble_symbols + wf.header_symbols)
        # From the first position where the scan exceeds its threshold, the true peak comes within one preamble; all
        # that is read there must be in the buffer.
        self._need = detect.scan_len(wf) + detect.match_reach(wf) + self._trained
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next sample has index 0."""
        self._waiting: list[np.ndarray] = []  # pushed, not yet a whole chunk
        self._waiting_count = 0
        lead = self.waveform.symbol_len + detect.STEP  # what the matched filter may look back to
        self._buffer = np.zeros(lead, np.complex64)
        self._base = -lead  # index of the buffer's first sample
        self._metric = np.empty(0, np.float32)  # of the scan, every STEP samples from the buffer's start
        self._position = lead - detect.STEP  # in the buffer: everything before is done
        self._pending: Training | None = None  # of a frame whose payload is still to come

    @property
    def processed(self) -> int:
        """Every frame that starts before this sample index has been returned."""
        if self._pending:
            return self._base + self._pending.acquisition.start
        return max(self._base + self._position - self.waveform.symbol_len, 0)

    def push(self, samples: np.ndarray) -> list[Frame]:
        """Take samples (complex64, any number); NaN and infinities are taken as zeros. Returns complete frames."""
        samples = np.array(samples, dtype=np.complex64)  # a copy: callers use their buffers again
        self._waiting.append(samples)
        self._waiting_count += len(samples)
        if self._waiting_count < self._chunk:
            return []
        waiting = np.concatenate(self._waiting)
        whole = len(waiting) // self._chunk * self._chunk
        self._waiting = [waiting[whole:].copy()]
        self._waiting_count = len(waiting) - whole
        frames = []
        for begin in range(0, whole, self._chunk):
            frames += self._work(waiting[begin : begin + self._chunk])
        return frames

    def flush(self) -> list[Frame]:
        """The frames that are complete in what is left; one that is cut off by the end is dropped. Then as after
        reset().
        """
        end = self._base + len(self._buffer) + self._waiting_count
        rest = np.concatenate([*self._waiting, np.zeros(self._need + detect.STEP, np.complex64)])
        frames = self._work(rest[: len(rest) // detect.STEP * detect.STEP])
        self.reset()
        return [f for f in frames if f.start_sample + frame_len(self.waveform, f.header) <= end]

    def _work(self, chunk: np.ndarray) -> list[Frame]:
        """One chunk on; a multiple of STEP samples."""
        self._drop_old()
        if not np.isfinite(chunk).all():
            chunk = np.where(np.isfinite(chunk), chunk, np.complex64(0))
        self._buffer = np.concatenate([self._buffer, chunk])
        fresh = detect.scan(self.waveform, self._buffer[len(self._metric) * detect.STEP :])
        self._metric = np.concatenate([self._metric, fresh])
        complete: list[Training] = []
        if self._pending and not self._take(self._pending, complete):
            return []
        hits = np.flatnonzero(self._metric > self.waveform.preamble.threshold**2)
        known = self._read_ahead(hits)
        while (peak := self._next_peak(hits, self._position)) is not None:
            training = known[peak] if peak in known else self._read_headers([peak])[0]
            if training is None:
                self._position = peak + self.waveform.symbol_len // 4 // detect.STEP * detect.STEP
            elif not self._take(training, complete):
                break
        else:
            waits = hits[np.searchsorted(hits, self._position // detect.STEP) :][:1] * detect.STEP
            self._position = max(
                self._position,
                int(waits[0]) if len(waits) else len(self._metric) * detect.STEP,
            )
        return self._read_payloads(complete)

    def _take(self, training: Training, complete: list[Training]) -> bool:
        """Go behind this frame if all of it is there; else remember it and return False."""
        end = training.acquisition.start + frame_len(self.waveform, training.header)
        if end > len(self._buffer):
            self._pending = training
            return False
        self._pending = None
        complete.append(training)
        # Clocks drift within a frame: the next preamble may begin a little before this frame's nominal end.
        self._position = max(self._position, (end - 2 * detect.STEP) // detect.STEP * detect.STEP)
        return True

    def _next_peak(self, hits: np.ndarray, position: int) -> int | None:
        """Where the scan peaks next, from a position of the buffer on; None if there is no peak or not all of it
        is there yet.
        """
        index = np.searchsorted(hits, -(-position // detect.STEP))
        if index == len(hits) or hits[index] * detect.STEP + self._need > len(self._buffer):
            return None
        span = self._metric[hits[index] :][: detect.scan_len(self.waveform) // detect.STEP]
        return detect.STEP * int(hits[index] + span.argmax())

    def _read_ahead(self, hits: np.ndarray) -> dict[int, Training | None]:
        """Headers at the peaks that will be needed if every frame turns out well: one batch instead of many calls."""
        peaks, position = [], self._position
        while (peak := self._next_peak(hits, position)) is not None:
            peaks.append(peak)
            position = peak + self._trained - 2 * detect.STEP
        return dict(zip(peaks, self._read_headers(peaks), strict=True))

    def _read_headers(self, peaks: list[int]) -> list[Training | None]:
        acquisitions = detect.match(self.waveform, self._buffer, peaks)
        good = [a for a in acquisitions if a]
        trainings = iter(read_headers(self.waveform, self._buffer, good) if good else [])
        return [next(trainings) if a else None for a in acquisitions]

    def _read_payloads(self, complete: list[Training]) -> list[Frame]:
        """Frames in the order of the air; neighbours of equal length in one batch."""
        frames = []
        for _, group in groupby(complete, lambda t: frame_len(self.waveform, t.header)):
            frames += read_payloads(self.waveform, self._buffer, list(group), self.sample_rate_hz)
        return [replace(frame, start_sample=self._base + frame.start_sample) for frame in frames]

    def _drop_old(self) -> None:
        """Keep what the matched filter may look back to before the position, or the frame that is pending."""
        keep = min(
            self._position,
            self._pending.acquisition.start if self._pending else self._position,
        )
        cut = max(keep - self.waveform.symbol_len - detect.STEP, 0) // detect.STEP * detect.STEP
        self._buffer = self._buffer[cut:]
        self._metric = self._metric[cut // detect.STEP :]
        self._base += cut
        self._position -= cut
        if self._pending:
            acquisition = replace(self._pending.acquisition, start=self._pending.acquisition.start - cut)
            self._pending = replace(self._pending, acquisition=acquisition)


def receive(wf: Waveform, samples: np.ndarray, sample_rate_hz: float = 1e6) -> list[Frame]:
    """All frames in an array of complex64 samples: the reference receiver."""
    receiver = StreamReceiver(wf, sample_rate_hz, BULK_CHUNK)
    return receiver.push(samples) + receiver.flush()
