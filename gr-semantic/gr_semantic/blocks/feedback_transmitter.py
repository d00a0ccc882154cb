# SPDX-License-Identifier: GPL-3.0-or-later
"""Node B's reports as frames for the reverse direction."""

from gnuradio import gr

from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import is_tick, read_pdu, require
from gr_semantic.link.feedback import FeedbackReporter


class FeedbackTransmitter(MessageBlock, gr.basic_block):
    """Reports the SNR of received frames (see gr_semantic.link.feedback).

    Input ``frames``: the OFDM receiver's frames and ticks.
    Output ``symbols``: meta of a feedback frame for the OFDM transmitter of the reverse direction, no vector. At the
    tick of
    forward slot k: slot k + the header's fields.

    Args:
        link_id: only frames of this link are reported; written to the reports.
        enabled: False: reverse slots stay empty.
        every_frames: where there are no ticks, report after this many received frames; 0: at ticks only.
    """

    def __init__(self, link_id=1, enabled=True, every_frames=0):
        self.reporter = FeedbackReporter(int(link_id))
        gr.basic_block.__init__(self, name="semantic_feedback_transmitter", in_sig=None, out_sig=None)
        self.enabled, self.every_frames = bool(enabled), int(every_frames)
        self._unreported = self._reports = 0
        self.open_ports({"frames": self.on_frame}, ("symbols",))

    def set_enabled(self, enabled):
        """Start or stop reporting while running."""
        self.enabled = bool(enabled)

    @guarded
    def on_frame(self, message):
        meta, _ = read_pdu(message)
        if is_tick(meta):
            slot = require(meta, "slot", int)
            self.publish("symbols", {"slot": slot} | (self.reporter.on_tick(slot) if self.enabled else {}))
        else:
            require(meta, "kind", str)
            if meta["kind"] == "data":
                require(meta, "sequence", int)
            if self.reporter.on_frame(meta):
                self._count()

    def _count(self):
        self._unreported += 1
        if self.enabled and 0 < self.every_frames <= self._unreported:
            self.publish("symbols", self.reporter.on_tick(self._reports))
            self._unreported = 0
            self._reports += 1
