# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames to a radio whose samples a process of its own makes."""

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.make_frame import make_frame
from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import read_pdu, require
from gr_semantic.modem import Waveform
from gr_semantic.radio.feed import Feed


class FedTransmitter(MessageBlock, gr.basic_block):
    """An OfdmTransmitter on demand and the RadioSink behind it, without a stream between them: however busy this
    process is, the radio does not run dry.

    Input ``symbols``: as of OfdmTransmitter on demand; no "end": the radio sends until it is closed.
    Output ``slots``: ticks and calls, as of OfdmTransmitter.

    Args:
        radio: RadioKeeper whose transmitter can be fed; opened, and closed, by the caller.
        waveform: Waveform.
        schedule: arguments of SampleSchedule; without ``slot_len`` there are bursts only.
    """

    def __init__(self, radio, waveform: Waveform, **schedule):
        gr.basic_block.__init__(self, name="semantic_fed_transmitter", in_sig=None, out_sig=None)
        self.radio, self.waveform = radio, waveform
        self._scale = np.float32(10 ** (-radio.config.backoff_db / 20))
        self._feed = Feed({"slot_len": 0, "on_demand": True} | schedule, self._heard)
        self.open_ports({"symbols": self.on_symbols}, ("slots",))

    def start(self):
        self.radio.feed(self._feed)
        return True

    def stop(self):
        self._feed.stop()
        return True

    @guarded
    def on_symbols(self, message):
        meta, symbols = read_pdu(message)
        if "slot" not in meta:
            self._feed.put_burst(self._frame(meta, symbols))
            return
        slot, frame = require(meta, "slot", int), None
        try:
            if "kind" in meta:
                frame = self._frame(meta, symbols)
        finally:
            self._feed.put(slot, frame)

    def _frame(self, meta, symbols):
        return make_frame(self.waveform, meta, symbols) * self._scale

    def _heard(self, message):
        if message["kind"] == "warning":
            self.report("warning", message["text"])
        else:
            self.publish("slots", message)
