# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transmitter sends when: frames at the starts of slots, bursts where there is room, zeros elsewhere."""

from collections import deque

import numpy as np

_LATE_PIECE = 256  # zeros at a time while a slot waits on demand
_MOST_AHEAD = 256  # slots for which frames are kept: four times the longest delay of the rate control
_TAIL_SLOTS = 2  # sent after the last slot: they push its frame through filters and detectors


class SampleSchedule:
    """One thread puts frames, another takes samples.

    With ``slot_len > 0``, slot k waits for its frame and holds it at its start. On demand nothing waits: zeros pass
    while the frame is not there, slot k begins later, and bursts go where a slot has room behind its frame. With
    ``slot_len = 0`` there are bursts only, each followed by ``gap_len`` zeros, and zeros while there is none.

    Args:
        slot_len: samples of a slot; 0 for bursts.
        slots: slots to send; two slots of zeros follow, then nothing (on demand: zeros without end). 0: no end.
        gap_len: zeros after each burst.
        queue_frames: bursts that may wait.
        on_demand: slots do not wait.
        lead_len: above 0: nothing at all comes before the first frame is there, then so many zeros.
        call_len: on demand: the next slot's frame is called for at least so many samples before it is due.
        notify: called with {"kind": "tick", "slot", "sample"} (its place in the output) as each slot begins, and with
            {"kind": "call", "slot"}.
        dtype: of a sample.
        first_slot, first_sample: where the count of slots and that of samples begin.

    Attributes:
        slot: the next slot to begin. late_samples: zeros while a slot's frame was not there (on demand).
        ended: set it, and no further samples come.
    """

    def __init__(
        self,
        slot_len=0,
        slots=0,
        gap_len=0,
        queue_frames=64,
        on_demand=False,
        lead_len=0,
        call_len=0,
        notify=lambda meta: None,
        dtype=np.complex64,
        first_slot=0,
        first_sample=0,
    ):
        self.slot_len, self.slots, self.gap_len, self.queue_frames = slot_len, slots, gap_len, queue_frames
        self.on_demand = on_demand and slot_len > 0
        self.lead_len, self.call_len = lead_len, call_len
        self.late_samples = 0
        self.ended = False
        self.slot, self._called = first_slot, first_slot - 1
        self._notify, self._dtype = notify, dtype
        self._made, self._slot_left = first_sample, 0
        self._begun = False
        self._waiting, self._bursts = {}, deque()
        self._rest = self._zeros(0)

    def put(self, slot: int, frame: np.ndarray | None) -> None:
        """The frame of a slot (1-D), or None: an empty slot.

        Raises:
            ValueError: the slot was sent, or has its frame already; or it stays empty, as the frame is too long, or 256
                slots too early.
        """
        if self.slots and slot >= self.slots:
            return
        if slot < self.slot or slot in self._waiting:
            raise ValueError(f"slot {slot} was sent before or is filled already: dropped its second message")
        wrong = None
        if frame is not None and slot - self.slot >= _MOST_AHEAD:
            wrong = f"frames come faster than slots pass: sent nothing in slot {slot}"
        elif frame is not None and len(frame) > self.slot_len:
            wrong = f"the frame has {len(frame)} samples, the slot {self.slot_len}: sent nothing in slot {slot}"
        self._waiting[slot] = None if wrong else frame
        if wrong:
            raise ValueError(wrong)

    def put_burst(self, burst: np.ndarray) -> None:
        """To be sent as soon as there is room.

        Raises:
            ValueError: too many wait: the oldest has been dropped.
        """
        full = len(self._bursts) >= self.queue_frames
        if full:
            self._bursts.popleft()
        self._bursts.append(burst)
        if full:
            raise ValueError("the queue is full: dropped its oldest burst")

    def take(self, count: int) -> np.ndarray:
        """The next ``count`` samples; fewer, or none, where a frame is waited for, and none once it has ended."""
        parts = []
        if self.lead_len and not (self._begun or self.ended):
            if not (self._bursts or self.slot in self._waiting):
                return self._zeros(0)
            self._rest = self._zeros(self.lead_len)
            self._made += self.lead_len
        self._begun = True
        while count:
            if not len(self._rest):
                self._rest = self._next_samples(count)
                self._made += len(self._rest)
                if not len(self._rest):
                    break
            parts.append(self._rest[:count])
            self._rest = self._rest[count:]
            count -= len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate([self._zeros(0), *parts])

    def _zeros(self, count):
        return np.zeros(count, self._dtype)

    def _next_samples(self, room):
        """The next slot, burst or stretch of zeros; empty if there is nothing to send now."""
        if self.ended:
            return self._zeros(0)
        if not self.slot_len:
            return self._burst() if self._bursts else self._zeros(room)
        if self.on_demand:
            samples = self._next_on_demand(room)
            if self._slot_left < self.call_len and self._called < self.slot:
                self._called = self.slot
                self._notify({"kind": "call", "slot": self.slot})
            return samples
        in_tail = self.slots and self.slots <= self.slot < self.slots + _TAIL_SLOTS
        if not in_tail and self.slot not in self._waiting:
            return self._zeros(0)
        samples = self._zeros(self.slot_len)
        frame = self._begin_slot()
        if frame is not None:
            samples[: len(frame)] = frame
        return samples

    def _burst(self):
        return np.concatenate([self._bursts.popleft(), self._zeros(self.gap_len)])

    def _begin_slot(self):
        frame = self._waiting.pop(self.slot, None)
        self._notify({"kind": "tick", "slot": self.slot, "sample": self._made})
        self.slot += 1
        return frame

    def _next_on_demand(self, room):
        over = self.slots and self.slot >= self.slots
        if not self._slot_left and (over or self.slot in self._waiting):
            frame = self._begin_slot()
            self._slot_left = self.slot_len
            if frame is not None:
                self._slot_left -= len(frame)
                return frame
        if self._bursts and (not self._slot_left or len(self._bursts[0]) + self.gap_len <= self._slot_left):
            samples = self._burst()
        else:
            samples = self._zeros(min(room, self._slot_left or _LATE_PIECE))
        if self._slot_left:
            self._slot_left -= len(samples)
        else:
            self.late_samples += len(samples)
        return samples
