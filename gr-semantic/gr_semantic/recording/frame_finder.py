# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds and decodes the frames of a recording while it is made, for its annotations."""

import threading
from dataclasses import asdict, replace
from itertools import groupby

from ..modem import Frame, StreamReceiver, Waveform, frame_len
from .decoders import Decoder, Received
from .live_recording import LiveRecording

_CHUNK_SAMPLES = 1 << 16
_WAIT_S = 0.1
_OTHER_KIND = {"data": ("acked_sequence", "received", "lost"), "feedback": ("model_id16",)}


class FrameFinder:
    """Reads the samples back from the recording in a thread of its own, as fast as it can: where it cannot keep up, the
    recording loses nothing, and the rest is done in ``finish``. What it notes is what a replay finds.

    Args:
        recording: whose frames are found.
        wf: the waveform.
        sample_rate_hz: of the samples.
        decoder: for the predictions, or None.
    """

    def __init__(self, recording: LiveRecording, wf: Waveform, sample_rate_hz: float, decoder: Decoder | None = None):
        self._recording, self._wf, self._decoder = recording, wf, decoder
        self._receiver = StreamReceiver(wf, sample_rate_hz)
        self._ended = threading.Event()
        self._failure = None
        self._base = 0
        self.position = 0  # samples that have been searched
        self.found = 0
        self.snr_db: float | None = None  # of the newest frame
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Search what is left. Call it when the last sample is written, and before the recording is finished.

        Raises:
            whatever the search ended with.
        """
        self._ended.set()
        while self._thread.is_alive():
            self._thread.join(_WAIT_S)  # a join without end would not hear Ctrl-C
        if self._failure is not None:
            raise self._failure

    def _run(self):
        try:
            self._search()
        except Exception as failure:
            self._failure = failure

    def _search(self):
        gap = 0
        while True:
            ended = self._ended.is_set()  # asked first: nothing is written after it
            end = self._recording.sample_count
            gaps = self._recording.gaps
            if gap < len(gaps):
                end = min(end, gaps[gap])
            if self.position < end:
                count = min(_CHUNK_SAMPLES, end - self.position)
                frames = self._receiver.push(self._recording.read(self.position, count))
                self.position += count
                self._note(frames)
            elif gap < len(gaps):
                self._note(self._receiver.flush())
                self._base = gaps[gap]
                gap += 1
            elif ended:
                break
            else:
                self._ended.wait(_WAIT_S)
        self._note(self._receiver.flush())

    def _note(self, frames: list[Frame]):
        frames = [replace(frame, start_sample=self._base + int(frame.start_sample)) for frame in frames]
        noted = [self._fields(frame) for frame in frames]
        if self._decoder is not None:
            pairs = [(Received(frame, None), fields) for frame, fields in zip(frames, noted, strict=True)]
            mine = [pair for pair in pairs if self._decoder.takes(pair[0])]
            for _, group in groupby(mine, key=lambda pair: pair[0].frame.header.budget):
                group = list(group)
                classes, first = self._decoder.classes([received for received, _ in group]), 0
                for received, fields in group:
                    fields["predictions"] = classes[first : first + received.frame.header.image_count].tolist()
                    first += len(fields["predictions"])
        for fields in noted:
            self._recording.found(**fields)
            self.found += 1
            self.snr_db = fields["measured_snr_db"]

    def _fields(self, frame):
        header = frame.header
        return {
            **{name: value for name, value in asdict(header).items() if name not in _OTHER_KIND[header.kind]},
            "sample_start": frame.start_sample,
            "sample_count": frame_len(self._wf, header),
            "measured_snr_db": float(frame.snr_db),
            **{name: float(getattr(frame, name)) for name in ("cfo_hz", "sro_ppm", "evm_db")},
        }
