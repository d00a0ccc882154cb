# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames to samples."""

import dataclasses
import time
from collections import deque

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.message_block import WORK_DONE, MessageBlock, guarded, guarded_work
from gr_semantic.blocks.pdu import PduError, read_pdu, require, tick
from gr_semantic.errors import UserError
from gr_semantic.modem import Header, Waveform, modulate
from gr_semantic.modem.peaks import PeakMeter

_IDLE_SLEEP_S = 0.001
SHORT_BUFFER = 4096  # samples that wait before a radio, at most
_LATE_PIECE = 256  # zeros at a time while a slot waits on demand
_MOST_AHEAD = 256  # slots for which frames are kept: four times the longest delay of the rate control
_TAIL_SLOTS = 2  # sent after the last slot: they push its frame through filters and detectors
_HEADER_FIELDS = {field.name: field.type for field in dataclasses.fields(Header)}


class OfdmTransmitter(MessageBlock, gr.sync_block):
    """Modulates one frame for every message on ``symbols``.

    Input ``symbols``: meta slot (slots only) + the header's fields; vector c32, N*L row-major (data), none
    (feedback). A message with meta kind "end" ends the stream.
    Output ``slots``: a tick (and sample: its place in the output) as each slot begins.
    Output: complex64 samples. With ``slot_len > 0``, slot k waits for the message of slot k and holds its frame at
    its start; a message without a kind is an empty slot, and so is one that comes 256 slots too early. With
    ``slot_len = 0``, frames are sent as they come, each followed by ``gap_len`` zeros, and zeros while there is none.
    On demand (for a radio, which must never wait) zeros pass while slot k's message is not there, and slot k begins
    later; messages without a slot are bursts, and are sent where a slot has room behind its frame.

    Args:
        waveform: name or path of a waveform, or a Waveform.
        slot_len: samples of a slot; 0 for bursts.
        slots: slots to send (slot_len > 0); two slots of zeros follow, then nothing (on demand: empty slots, until the
            "end" message). 0: no end.
        gap_len: zeros after each burst (slot_len = 0).
        queue_frames: bursts that may wait; a full queue drops its oldest (slot_len = 0, or on demand).
        on_demand: slots do not wait (slot_len > 0).
    """

    def __init__(self, waveform="ofdm64", slot_len=0, slots=0, gap_len=1024, queue_frames=64, on_demand=False):
        self.waveform = waveform if isinstance(waveform, Waveform) else Waveform.load(waveform)
        for name, value in (("slot_len", slot_len), ("slots", slots), ("gap_len", gap_len)):
            if value < 0:
                raise UserError(f"{name} is {value}, expected 0 or more")
        gr.sync_block.__init__(self, name="semantic_ofdm_transmitter", in_sig=None, out_sig=[np.complex64])
        self.slot_len, self.slots = int(slot_len), int(slots)
        self.gap_len, self.queue_frames = int(gap_len), int(queue_frames)
        self.on_demand = bool(on_demand) and self.slot_len > 0
        self.lead_len = 0  # above 0: nothing at all comes before the first frame is there, then so many zeros
        self.frames_sent = 0
        self.late_samples = 0  # zeros while a slot's message was not there (on demand)
        self.peaks = PeakMeter()
        self._slot = 0
        self._made = self._slot_left = 0
        self._waiting = {}
        self._bursts = deque()
        self._rest = np.zeros(0, np.complex64)
        self._ended = False
        self.open_ports({"symbols": self.on_symbols}, ("slots",))
        if self.on_demand:
            self.set_max_output_buffer(SHORT_BUFFER)  # what waits here is late
        elif slot_len:
            self.set_min_output_buffer(2 * int(slot_len))

    def set_gap_len(self, gap_len):
        """Change the zeros after each burst while running."""
        self.gap_len = max(0, int(gap_len))

    @guarded
    def on_symbols(self, message):
        meta, symbols = read_pdu(message)
        if meta.get("kind") == "end":
            self._ended = True
        elif self.slot_len and not (self.on_demand and "slot" not in meta):
            self._put_in_slot(require(meta, "slot", int), meta, symbols)
        else:
            if len(self._bursts) >= self.queue_frames:
                self._bursts.popleft()
                self.report("warning", "the queue is full: dropped its oldest burst")
            self._bursts.append(self._modulate(meta, symbols))

    def _put_in_slot(self, slot, meta, symbols):
        if self.slots and slot >= self.slots:
            return
        if slot < self._slot or slot in self._waiting:
            raise PduError(f"slot {slot} was sent before or is filled already: dropped its second message")
        self._waiting[slot] = None
        if "kind" in meta:
            if slot - self._slot >= _MOST_AHEAD:
                raise PduError(f"frames come faster than slots pass: sent nothing in slot {slot}")
            samples = self._modulate(meta, symbols)
            if len(samples) > self.slot_len:
                raise PduError(
                    f"the frame has {len(samples)} samples, the slot {self.slot_len}: sent nothing in slot {slot}"
                )
            self._waiting[slot] = samples

    def _modulate(self, meta, symbols):
        header = Header(**{key: require(meta, key, kind) for key, kind in _HEADER_FIELDS.items() if key in meta})
        if header.kind == "data":
            budget, count = require(meta, "budget", int), require(meta, "image_count", int)
            if symbols is None or symbols.dtype != np.complex64 or len(symbols) != budget * count:
                raise PduError(f"frame {header.sequence} holds no symbols for {count} images of {budget} symbols")
            if not np.isfinite(symbols).all():
                raise PduError(f"frame {header.sequence} has symbols that are not finite")
            symbols = symbols.reshape(count, budget)
        samples = modulate(self.waveform, header, symbols)
        self.frames_sent += 1
        self.peaks.add(samples)
        return samples

    @guarded_work
    def work(self, input_items, output_items):
        out = output_items[0]
        done = 0
        if self.lead_len and not (self._made or self._ended):
            if not (self._bursts or self._slot in self._waiting):
                time.sleep(_IDLE_SLEEP_S)
                return 0
            self._rest = np.zeros(self.lead_len, np.complex64)
            self._made = self.lead_len
        while done < len(out):
            if not len(self._rest):
                self._rest = self._next_samples(len(out) - done)
                if not len(self._rest):
                    break
                self._made += len(self._rest)
            count = min(len(out) - done, len(self._rest))
            out[done : done + count] = self._rest[:count]
            self._rest = self._rest[count:]
            done += count
        if done == 0:
            if self._ended:
                return WORK_DONE
            time.sleep(_IDLE_SLEEP_S)  # the scheduler would call again at once
        return done

    def _next_samples(self, room):
        """The next slot, burst or stretch of zeros; empty if there is nothing to send now."""
        if self._ended:
            return np.zeros(0, np.complex64)
        if not self.slot_len:
            if self._bursts:
                return np.concatenate([self._bursts.popleft(), np.zeros(self.gap_len, np.complex64)])
            return np.zeros(room, np.complex64)
        if self.on_demand:
            return self._next_on_demand(room)
        in_tail = self.slots and self.slots <= self._slot < self.slots + _TAIL_SLOTS
        if not in_tail and self._slot not in self._waiting:
            return np.zeros(0, np.complex64)
        samples = np.zeros(self.slot_len, np.complex64)
        frame = self._begin_slot()
        if frame is not None:
            samples[: len(frame)] = frame
        return samples

    def _begin_slot(self):
        frame = self._waiting.pop(self._slot, None)
        self.publish("slots", tick(self._slot) | {"sample": self._made})
        self._slot += 1
        return frame

    def _next_on_demand(self, room):
        over = self.slots and self._slot >= self.slots
        if not self._slot_left and (over or self._slot in self._waiting):
            frame = self._begin_slot()
            self._slot_left = self.slot_len
            if frame is not None:
                self._slot_left -= len(frame)
                return frame
        if self._bursts and (not self._slot_left or len(self._bursts[0]) + self.gap_len <= self._slot_left):
            samples = np.concatenate([self._bursts.popleft(), np.zeros(self.gap_len, np.complex64)])
        else:
            samples = np.zeros(min(room, self._slot_left or _LATE_PIECE), np.complex64)
        if self._slot_left:
            self._slot_left -= len(samples)
        else:
            self.late_samples += len(samples)
        return samples
