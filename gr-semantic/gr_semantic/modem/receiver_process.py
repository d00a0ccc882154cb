# SPDX-License-Identifier: GPL-3.0-or-later
"""A StreamReceiver in a process of its own.

Threads of one interpreter that compute with numpy hand it to each other at every call: on two cores that costs more
than the work. This takes a third of a closed loop's work out of the interpreter that serves the radios.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import numpy as np

from ..child_process import end_with_its_input
from .demodulate import Frame
from .header import Header
from .stream import StreamReceiver
from .waveform import Waveform

_PIPE_BYTES = 1 << 20
_STOP_S = 5.0
_SCALARS = ("start_sample", "snr_db", "cfo_hz", "sro_ppm", "evm_db")
_ARRAYS = {"symbols": np.complex64, "noise_var": np.float32, "carrier_error_lin": np.float32}


class ReceiverProcess:
    """Gives every frame of a stream to ``on_frame``, in order, in a thread of this process.

    Args:
        wf, sample_rate_hz, chunk: as of StreamReceiver.
        on_frame: called with each Frame, and when it was found (monotonic wall clock, seconds).
    """

    def __init__(self, wf: Waveform, sample_rate_hz: float, chunk: int, on_frame):
        self._on_frame = on_frame
        # A session of its own: Ctrl-C in the terminal is for the program that uses the frames.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gr_semantic.modem.receiver_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        with contextlib.suppress(OSError):  # a user's share of pipes may be used up: then it is a short one
            fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        settings = {"waveform": wf.model_dump(mode="json"), "sample_rate_hz": sample_rate_hz, "chunk": chunk}
        self._process.stdin.write(json.dumps(settings).encode() + b"\n")
        self._answers = open(self._process.stdout.fileno(), "rb", closefd=False)  # noqa: SIM115, see _read
        self._answers.readline()  # it is ready
        self._thread = threading.Thread(target=self._read, name="frames", daemon=True)
        self._thread.start()

    def push(self, samples: np.ndarray) -> None:
        """The next samples (complex64, any number); blocks while the process is behind by 100,000 samples.

        Raises:
            BrokenPipeError: the process has ended.
        """
        left = memoryview(np.ascontiguousarray(samples, np.complex64)).cast("B")
        while left:
            left = left[self._process.stdin.write(left) :]

    def close(self) -> None:
        """End of the stream: returns when the frames that were complete have been given out. Harmless when repeated."""
        end_with_its_input(self._process, _STOP_S)
        if self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)

    def _read(self):
        # ValueError: it was killed in the midst of a frame, which the next push will say.
        with self._process.stdout, self._answers, contextlib.suppress(ValueError):
            while line := self._answers.readline():
                fields = json.loads(line)
                found_s = fields.pop("found_s")
                self._on_frame(_unpacked(fields, self._answers), found_s)


def _packed(frame: Frame, found_s: float) -> bytes:
    """A line of JSON, then the arrays."""
    arrays = [np.ascontiguousarray(getattr(frame, name), dtype) for name, dtype in _ARRAYS.items()]
    fields = {name: getattr(frame, name) for name in _SCALARS}
    fields |= {"found_s": found_s, "start_sample": int(frame.start_sample), "header": asdict(frame.header)}
    fields["shapes"] = [array.shape for array in arrays]
    return b"".join([json.dumps(fields).encode(), b"\n", *(array.tobytes() for array in arrays)])


def _unpacked(fields, stream) -> Frame:
    arrays = {}
    for (name, dtype), shape in zip(_ARRAYS.items(), fields.pop("shapes"), strict=True):
        data = stream.read(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return Frame(header=Header(**fields.pop("header")), **fields, **arrays)


def _serve() -> None:
    """Settings in a line of stdin, then samples until its end; frames to stdout."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    settings = json.loads(stdin.readline())
    receiver = StreamReceiver(
        Waveform(**settings["waveform"]), float(settings["sample_rate_hz"]), int(settings["chunk"])
    )
    stdout.write(b"\n")
    stdout.flush()
    rest = b""
    while data := stdin.read1(_PIPE_BYTES):
        data = rest + data if rest else data
        whole = len(data) // 8 * 8
        rest = data[whole:]
        frames = receiver.push(np.frombuffer(data[:whole], np.complex64))
        if frames:
            found_s = time.monotonic()
            stdout.write(b"".join(_packed(frame, found_s) for frame in frames))
            stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _serve()
    os._exit(0)  # whoever read is gone: nothing to flush
