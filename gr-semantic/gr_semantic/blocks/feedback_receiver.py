# SPDX-License-Identifier: GPL-3.0-or-later
"""Node A's judgement of the feedback frames that arrive."""

import dataclasses

from gnuradio import gr

from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import is_tick, read_pdu, require
from gr_semantic.link.feedback import FeedbackMonitor


class FeedbackReceiver(MessageBlock, gr.basic_block):
    """Lets through reports of this link that measured something newer than the last (see gr_semantic.link.feedback).

    Input ``frames``: frames and ticks of the reverse direction's OFDM receiver; over the air, the ticks and calls are
    those of the forward direction's OFDM transmitter.
    Output ``feedback``: reports (meta slot, measured_slot, snr_db, received, lost), calls as they are, and ticks, which
    also have feedback_received and feedback_used, the counts of their slot.

    Args:
        link_id: of this link; other feedback is foreign and ignored.
        max_age_slots: a measurement older than this is stale and ignored.
    """

    def __init__(self, link_id=1, max_age_slots=12):
        self.monitor = FeedbackMonitor(int(link_id), max(1, int(max_age_slots)))
        gr.basic_block.__init__(self, name="semantic_feedback_receiver", in_sig=None, out_sig=None)
        self._slot = 0
        self._counts = (0, 0)
        self.open_ports({"frames": self.on_frame}, ("feedback",))

    @guarded
    def on_frame(self, message):
        meta, _ = read_pdu(message)
        if is_tick(meta):
            slot = require(meta, "slot", int)
            counts = self.monitor.received, self.monitor.used
            received, used = (now - before for now, before in zip(counts, self._counts, strict=True))
            self._slot, self._counts = slot + 1, counts
            self.publish("feedback", meta | {"feedback_received": received, "feedback_used": used})
            return
        if require(meta, "kind", str) == "call":
            self.publish("feedback", meta)
            return
        report = self.monitor.on_frame(meta, self._slot)
        if report is not None:
            self.publish("feedback", dataclasses.asdict(report))
