# SPDX-License-Identifier: GPL-3.0-or-later
"""A transmitter's samples from a process of its own: nothing else in its interpreter could make it late.

What is sent when (SampleSchedule) is decided where the radio's queue is filled: a frame that is late delays its slot,
and never the queue. A radio on a network has several clients: this process has its transmit buffer, all else stays.
"""

import contextlib
import errno
import gc
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np

from gr_semantic.radio.iio_buffer import DATA_DEVICES, open_buffer
from gr_semantic.radio.sample_schedule import SampleSchedule
from gr_semantic.short_slice import take_short_slices

_STOP_S = 5.0
_BUSY_S, _BUSY_POLL_S = 2.0, 0.01  # the transmit buffer's last owner may still be going
_IDLE_S = 0.001
_LATE_SHARE = 0.8  # of a buffer's length: how long a full queue waits before the next one is made
_SAMPLE = np.int32  # I and Q, 16 bits each


class FeederProcess:
    """Sends a SampleSchedule to the transmit buffer of one Pluto, from when it is made until ``close``.

    Args:
        settings: uri, sample_rate_hz, tx_buffers, tx_len, stall_s; cores (that it may run on); schedule (arguments of
            SampleSchedule).
        notify: called in a thread of this process with each message: the schedule's ticks and calls, {"kind": "full"}
            once the radio's queue is, {"kind": "warning", "text"} for a frame that was not taken, and at the end, if it
            was not asked for, {"kind": "lost", "text"}.
    """

    def __init__(self, settings: dict, notify):
        self._notify = notify
        self._closing = False
        self._writing = threading.RLock()  # a signal's handler may close in mid-write
        # A session of its own: Ctrl-C in the terminal is for the program that fills the slots.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gr_semantic.radio.feeder_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._write(settings)
        self._thread = threading.Thread(target=self._read, name="feeder", daemon=True)
        self._thread.start()

    def put(self, slot: int, values: np.ndarray | None) -> None:
        """The frame of a slot, int16 (I and Q, interleaved), or None; see SampleSchedule.put."""
        self._write({"do": "slot", "slot": slot, "values": -1 if values is None else len(values)}, values)

    def put_burst(self, values: np.ndarray) -> None:
        """To be sent as soon as there is room, int16."""
        self._write({"do": "burst", "values": len(values)}, values)

    def close(self) -> None:
        """Sends nothing any more when this returns: the connection to the radio is gone. Harmless when repeated."""
        self._closing = True
        self._process.kill()
        self._process.wait(_STOP_S)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)

    def _write(self, fields, values=None):
        data = json.dumps(fields).encode() + b"\n" + (b"" if values is None else values.tobytes())
        with self._writing, contextlib.suppress(OSError, ValueError):  # it has ended, which is said in _read
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _read(self):
        said = None
        with self._process.stdout:
            for line in self._process.stdout:
                message = json.loads(line)
                if message["kind"] == "lost":
                    said = message
                else:
                    self._notify(message)
        if not self._closing:
            self._notify(said or {"kind": "lost", "text": "the process that feeds its transmitter has ended"})


def _serve() -> None:
    """Settings in a line of stdin, then frames, until its end."""
    stdin, saying = sys.stdin.buffer, threading.Lock()
    settings = json.loads(stdin.readline())
    os.sched_setaffinity(0, settings["cores"])
    take_short_slices()

    def say(message):
        with saying:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    schedule = SampleSchedule(**settings["schedule"], notify=say, dtype=_SAMPLE)
    threading.Thread(target=_send, args=(schedule, settings, say), daemon=True).start()
    while line := stdin.readline():
        command = json.loads(line)
        count = command["values"]
        frame = None if count < 0 else np.frombuffer(stdin.read(2 * count), _SAMPLE)
        try:
            if command["do"] == "slot":
                schedule.put(command["slot"], frame)
            else:
                schedule.put_burst(frame)
        except ValueError as error:
            say({"kind": "warning", "text": str(error)})


def _send(schedule, settings, say):
    """Whole buffers, as the radio takes them; ends the process with the radio."""
    try:
        _context, buffer = _open(settings)  # the context must live as long as its buffer
        gc.freeze()
        pushed, buffer_s = 0, settings["tx_len"] / settings["sample_rate_hz"]
        while True:
            samples = schedule.take(settings["tx_len"])
            if not len(samples):
                time.sleep(_IDLE_S)  # before the first frame
                continue
            buffer.write(bytearray(samples))
            began_s = time.monotonic()
            buffer.push()
            pushed += 1
            if time.monotonic() - began_s > buffer_s * (1 - _LATE_SHARE) / 2:
                # It had to wait, so no place is free for another buffer's length: what comes until then may be in it.
                time.sleep(_LATE_SHARE * buffer_s)
            if pushed == settings["tx_buffers"]:
                say({"kind": "full"})
    except OSError as error:
        say({"kind": "lost", "text": error.strerror or str(error)})
    finally:
        os._exit(1)


def _open(settings):
    import iio

    context = iio.Context(settings["uri"])
    context.set_timeout(max(200, round(1000 * settings["stall_s"])))
    device = context.find_device(DATA_DEVICES["tx"])
    deadline_s = time.monotonic() + _BUSY_S
    while True:
        try:
            return context, open_buffer(device, "tx", settings["tx_buffers"], settings["tx_len"])
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(_BUSY_POLL_S)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _serve()
    os._exit(0)  # the program that filled the slots is gone: so is the radio's buffer, with its connection
