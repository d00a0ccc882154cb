# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio that is a file: it receives a SigMF recording and writes what is sent into another."""

import threading

import numpy as np

from gr_semantic.errors import UserError
from gr_semantic.radio import off_switch
from gr_semantic.radio.config import RadioConfig
from gr_semantic.radio.interface import Counters, RadioError
from gr_semantic.recording.sigmf_file import Recording, RecordingWriter


class FileRadio:
    """See Radio. As fast as it is asked; ``receive`` gives nothing (an empty array) once the recording has ended."""

    def __init__(self, config: RadioConfig):
        self.config = config
        self.counters = Counters()
        self._lock = threading.Lock()
        self._recording = self._writer = None
        self._rest = np.zeros(0, np.complex64)
        rate_hz = config.sample_rate_hz
        try:
            if config.recording:
                self._recording = Recording(config.recording)
                rate_hz = self._recording.sample_rate_hz or rate_hz
                self._chunks = self._recording.chunks()
            if config.output:
                self._writer = RecordingWriter(config.output)
        except UserError as error:
            raise RadioError(str(error)) from None
        self.settings = {"kind": "file", "sample_rate_hz": rate_hz, "recording": config.recording}
        self.settings |= {"output": config.output}
        off_switch.guard(self)

    def transmit(self, samples: np.ndarray) -> None:
        with self._lock:
            if self._writer is not None:
                self.counters.clipped += int(np.count_nonzero(np.abs(np.asarray(samples).view(np.float32)) > 1))
                self._writer.write(samples)

    def flush(self) -> None:
        """A file takes any number of samples."""

    def receive(self, count: int) -> np.ndarray:
        if self._recording is None:
            raise RadioError("the file radio has no recording to receive")
        parts, got = [self._rest], len(self._rest)
        while got < count and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            got += len(chunk)
        samples = np.concatenate(parts)
        self._rest = samples[count:]
        return samples[:count]

    def set_tx_attenuation_db(self, attenuation_db: float) -> None:
        """A file has none."""

    def set_rx_gain_db(self, gain_db: float) -> None:
        """A file has none."""

    def close(self) -> None:
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            with writer:
                if writer.sample_count:
                    writer.finish(self.settings["sample_rate_hz"], {}, [])
        if self._recording is not None:
            self._recording.close()
        off_switch.release(self)
