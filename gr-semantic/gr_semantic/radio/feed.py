# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Pluto sends, over lost and found radios: a FeederProcess for each."""

import os

import numpy as np

from gr_semantic.radio.feeder_process import FeederProcess
from gr_semantic.radio.scaling import to_int16


class Feed:
    """Frames and bursts for a transmitter, in slots or without; see SampleSchedule. A radio starts and stops it.

    Args:
        schedule: arguments of SampleSchedule.
        notify: called with each tick, call and warning, see FeederProcess.
    """

    def __init__(self, schedule: dict, notify):
        self._schedule, self._notify = dict(schedule), notify
        self._process = self._counters = None
        self._kept = {}  # frames of slots that have not begun: for the next process
        self._cores = sorted(os.sched_getaffinity(0))

    def start(self, settings: dict, counters, on_full, on_lost) -> None:
        """The radio has let go of its transmit buffer.

        Args:
            settings: of FeederProcess, without schedule and cores.
            counters: Counters of the radio: clipped goes there.
            on_full: called without arguments once the radio's queue has filled.
            on_lost: called with a line of text when the radio takes nothing more.
        """
        self.stop()
        self._counters = counters

        def heard(message):
            if message["kind"] == "full":
                on_full()
            elif message["kind"] == "lost":
                on_lost(message["text"])
            else:
                self._heard(message)

        self._process = FeederProcess(settings | {"cores": self._cores, "schedule": self._schedule}, heard)
        for slot, values in list(self._kept.items()):
            self._process.put(slot, values)

    def stop(self) -> None:
        """Nothing is sent any more when this returns. Harmless when repeated."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def put(self, slot: int, frame: np.ndarray | None) -> None:
        """The frame of a slot (complex64, full scale 1.0), or None: an empty slot."""
        values = None if frame is None else self._converted(frame)
        self._kept[slot] = values
        if (process := self._process) is not None:
            process.put(slot, values)

    def put_burst(self, burst: np.ndarray) -> None:
        """To be sent as soon as there is room (complex64); lost with the radio."""
        if (process := self._process) is not None:
            process.put_burst(self._converted(burst))

    def _converted(self, samples):
        values, clipped = to_int16(samples)
        if self._counters is not None:
            self._counters.clipped += clipped
        return values

    def _heard(self, message):
        if message["kind"] == "tick":
            slot = message["slot"]
            self._kept.pop(slot, None)
            # Where a next process goes on: at once, for the radio has been silent long enough.
            self._schedule |= {"first_slot": slot + 1, "first_sample": message["sample"], "lead_len": 0}
            self._schedule["first_sample"] += self._schedule["slot_len"]
        self._notify(message)
