# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames to samples."""

import time

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.make_frame import make_frame
from gr_semantic.blocks.message_block import WORK_DONE, MessageBlock, guarded, guarded_work
from gr_semantic.blocks.pdu import read_pdu, require
from gr_semantic.errors import UserError
from gr_semantic.modem import Waveform
from gr_semantic.modem.peaks import PeakMeter
from gr_semantic.radio.sample_schedule import SampleSchedule

_IDLE_SLEEP_S = 0.001
SHORT_BUFFER = 4096  # samples that wait before a radio, at most


class OfdmTransmitter(MessageBlock, gr.sync_block):
    """Modulates one frame for every message on ``symbols``.

    Input ``symbols``: meta slot (slots only) + the header's fields; vector c32, N*L row-major (data), none
    (feedback). A message with meta kind "end" ends the stream.
    Output ``slots``: a tick (and sample: its place in the output) as each slot begins.
    Output: complex64 samples. With ``slot_len > 0``, slot k waits for the message of slot k and holds its frame at
    its start; a message without a kind is an empty slot, and so is one that comes 256 slots too early. With
    ``slot_len = 0``, frames are sent as they come, each followed by ``gap_len`` zeros, and zeros while there is none.
    On demand (for a radio, which must never wait) zeros pass while slot k's message is not there, and slot k begins
    later; messages without a slot are bursts, and are sent where a slot has room behind its frame. Port ``slots`` also
    has a call for the next slot's frame then, ``schedule.call_len`` samples or more before it is due.

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
        self.slot_len = int(slot_len)
        self.schedule = SampleSchedule(
            self.slot_len, int(slots), int(gap_len), int(queue_frames), bool(on_demand), notify=self._notify
        )
        self.frames_sent = 0
        self.peaks = PeakMeter()
        self.open_ports({"symbols": self.on_symbols}, ("slots",))
        if self.schedule.on_demand:
            self.set_max_output_buffer(SHORT_BUFFER)  # what waits here is late
        elif slot_len:
            self.set_min_output_buffer(2 * int(slot_len))

    def set_gap_len(self, gap_len):
        """Change the zeros after each burst while running."""
        self.schedule.gap_len = max(0, int(gap_len))

    @guarded
    def on_symbols(self, message):
        meta, symbols = read_pdu(message)
        if meta.get("kind") == "end":
            self.schedule.ended = True
        elif self.slot_len and not (self.schedule.on_demand and "slot" not in meta):
            self._put_in_slot(require(meta, "slot", int), meta, symbols)
        else:
            frame = make_frame(self.waveform, meta, symbols)
            self._count(frame)
            self.schedule.put_burst(frame)

    def _put_in_slot(self, slot, meta, symbols):
        frame = None
        try:
            if "kind" in meta:
                frame = make_frame(self.waveform, meta, symbols)
        finally:
            self.schedule.put(slot, frame)
        if frame is not None:
            self._count(frame)

    def _count(self, frame):
        self.frames_sent += 1
        self.peaks.add(frame)

    def _notify(self, meta):
        self.publish("slots", meta)

    @guarded_work
    def work(self, input_items, output_items):
        out = output_items[0]
        samples = self.schedule.take(len(out))
        out[: len(samples)] = samples
        if not len(samples):
            if self.schedule.ended:
                return WORK_DONE
            time.sleep(_IDLE_SLEEP_S)  # the scheduler would call again at once
        return len(samples)
