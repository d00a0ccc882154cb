# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver: samples in, frames out. The whole-array function is the streaming one, fed once."""

from dataclasses import replace

import numpy as np

from . import detect
from .demodulate import Frame, read_header, read_payload
from .modulate import frame_len
from .waveform import Waveform

# Samples are worked on in pieces that begin at multiples of this, so that the result can't depend on how they arrive.
CHUNK = 4096


class StreamReceiver:
    """Finds and demodulates the frames of one sample stream.

    push() takes any number of complex64 samples and returns the frames that are complete; their order is that of the
    air. However the stream is cut into pushes, the same frames come out, bit for bit. flush() ends the stream.
    """

    def __init__(self, wf: Waveform, sample_rate_hz: float = 1e6):
        self.waveform = wf
        self.sample_rate_hz = sample_rate_hz
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next sample has index 0."""
        self._waiting: list[np.ndarray] = []  # pushed, not yet a whole chunk
        self._waiting_count = 0
        self._buffer = np.empty(0, np.complex64)
        self._base = 0  # index of the buffer's first sample; a multiple of detect.STEP
        self._position = 0  # scanned up to here
        self._pending = None  # (acquisition, training) of a frame whose payload is still to come

    @property
    def processed(self) -> int:
        """Every frame that starts before this sample index has been returned."""
        if self._pending:
            return self._base + self._pending[0].start
        return max(self._base + self._position - self.waveform.symbol_len, 0)

    def push(self, samples: np.ndarray) -> list[Frame]:
        """Take samples (complex64, any number); NaN and infinities are taken as zeros. Returns complete frames."""
        samples = np.asarray(samples, dtype=np.complex64)
        self._waiting.append(samples)
        self._waiting_count += len(samples)
        if self._waiting_count < CHUNK:
            return []
        waiting = np.concatenate(self._waiting)
        whole = len(waiting) // CHUNK * CHUNK
        self._waiting = [waiting[whole:].copy()]
        self._waiting_count = len(waiting) - whole
        frames = []
        for begin in range(0, whole, CHUNK):
            frames += self._work(waiting[begin : begin + CHUNK])
        return frames

    def flush(self) -> list[Frame]:
        """The frames that are complete in what is left; one that is cut off by the end is dropped."""
        rest = np.concatenate([*self._waiting, np.zeros(detect.scan_len(self.waveform) + CHUNK, np.complex64)])
        end = self._base + len(self._buffer) + self._waiting_count
        frames = self._work(rest[: len(rest) // detect.STEP * detect.STEP])
        frames = [f for f in frames if f.start_sample + frame_len(self.waveform, f.header) <= end]
        self._waiting, self._waiting_count = [], 0
        return frames

    def _work(self, chunk: np.ndarray) -> list[Frame]:
        if not np.isfinite(chunk).all():
            chunk = np.where(np.isfinite(chunk), chunk, np.complex64(0))
        self._drop_old()
        self._buffer = np.concatenate([self._buffer, chunk])
        frames = []
        while True:
            if self._pending is None and not self._search():
                return frames
            acquisition, training = self._pending
            end = acquisition.start + frame_len(self.waveform, training.header)
            if end > len(self._buffer):
                return frames
            frame = read_payload(self.waveform, self._buffer, acquisition, training, self.sample_rate_hz)
            frames.append(replace(frame, start_sample=self._base + acquisition.start))
            self._pending = None
            # Clocks drift within a frame: the next preamble may begin a little before this frame's nominal end.
            self._position = max(self._position, (end - 2 * detect.STEP) // detect.STEP * detect.STEP)

    def _drop_old(self) -> None:
        """Keep one symbol before the position that is still to be scanned or the frame that is pending."""
        keep = min(self._position, self._pending[0].start if self._pending else self._position)
        cut = max(keep - self.waveform.symbol_len - detect.STEP, 0) // detect.STEP * detect.STEP
        if cut == 0:
            return
        self._buffer = self._buffer[cut:]
        self._base += cut
        self._position -= cut
        if self._pending:
            acquisition, training = self._pending
            self._pending = (replace(acquisition, start=acquisition.start - cut), training)

    def _search(self) -> bool:
        """Scan on; True when a frame's header was read (now pending), False when more samples are needed."""
        wf = self.waveform
        span = detect.scan_len(wf)
        head = wf.symbol_len * (wf.preamble_symbols + wf.header_symbols + 1)
        metric = detect.scan(wf, self._buffer[self._position :])
        origin, threshold = self._position, wf.preamble.threshold**2
        hits = np.flatnonzero(metric > threshold)
        index = 0
        while True:
            index = np.searchsorted(hits, (self._position - origin) // detect.STEP)
            if index == len(hits):
                self._position = max(self._position, origin + len(metric) * detect.STEP)
                return False
            first = hits[index]
            self._position = origin + int(first) * detect.STEP
            # The true peak comes within one preamble of the first crossing; wait until all of it, and the header, is
            # there.
            if self._position + span + head > len(self._buffer):
                return False
            peak = origin + detect.STEP * int(first + metric[first : first + span // detect.STEP].argmax())
            acquisition = detect.match(wf, self._buffer, peak)
            training = None
            if acquisition and acquisition.start + head - wf.symbol_len <= len(self._buffer):
                training = read_header(wf, self._buffer, acquisition)
            if training:
                self._pending = (acquisition, training)
                return True
            self._position = peak + wf.symbol_len // 4 // detect.STEP * detect.STEP


def receive(wf: Waveform, samples: np.ndarray, sample_rate_hz: float = 1e6) -> list[Frame]:
    """All frames in an array of complex64 samples: the reference receiver."""
    receiver = StreamReceiver(wf, sample_rate_hz)
    return receiver.push(samples) + receiver.flush()
