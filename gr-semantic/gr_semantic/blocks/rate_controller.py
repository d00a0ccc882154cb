# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports in, profiles out: node A's rate control as a block."""

import dataclasses
import time

from gnuradio import gr

from gr_semantic.blocks.codecs import exchanged, open_codec
from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import is_tick, read_pdu, require
from gr_semantic.errors import UserError
from gr_semantic.link import rate_controller as link
from gr_semantic.link.config import RateControllerConfig
from gr_semantic.link.feedback import Report


class RateController(MessageBlock, gr.basic_block):
    """Chooses the SNR and budget that the encoder uses in each slot (see gr_semantic.link.rate_controller).

    Input ``feedback``: accepted reports (meta slot, measured_slot, snr_db, received, lost) and ticks of the reverse
    slots.
    Output ``profile``: meta slot, sequence, snr_db, budget, reported_snr_db (NaN: no report), measured_slot (of the
    report; -1: none), made_s (monotonic wall clock). The profiles of the
    first ``delay_slots`` slots are sent at the start, that of slot k + delay_slots at the tick of reverse slot k.
    With ``on_report`` the profile waits for the next report after that tick, at most until the transmitter's call; a
    report that comes later waits for the next tick instead.

    Args:
        codec: SemanticCodec, zoo name or folder: its policy, budgets and SNR range are used.
        slot_s: link time of a slot, seconds.
        feedback: False: open loop, a fixed profile.
        slots: forward slots of the run; no profile is made beyond. 0: no end.
        config: RateControllerConfig; or its fields as keywords (delay_slots, smoothing, sudden_drop_db, ...).
        on_report: False: ticks do not wait for reports.
    """

    def __init__(self, codec, slot_s, feedback=True, slots=0, config=None, on_report=False, **settings):
        self.codec = open_codec(codec)
        if not slot_s > 0:
            raise UserError(f"slot_s is {slot_s}, expected more than 0")
        config = config or RateControllerConfig(**settings)
        gr.basic_block.__init__(self, name="semantic_rate_controller", in_sig=None, out_sig=None)
        self._slot_s, self._config = float(slot_s), config
        self.controller = self._new_controller(bool(feedback))
        self.slots, self.on_report = int(slots), bool(on_report)
        self._ticked = None  # the slot of a tick whose profile is still to be made
        self._called = False  # whether the transmitter has called since the last tick
        self._came_late = False  # whether a report has come after the call, too late for the frame of then
        self.open_ports({"feedback": self.on_feedback}, ("profile",))

    def _new_controller(self, feedback):
        codec = self.codec
        return link.RateController(
            codec.choose_budget, codec.budgets, codec.snr_range_db, self._slot_s, self._config, feedback
        )

    def set_codec(self, codec):
        """Change the codec while running; its policy starts without a report. A wrong one is reported, the old one
        stays."""
        try:
            self.codec = exchanged(self.codec, codec)
            self.controller = self._new_controller(self.controller.feedback)
        except ValueError as mistake:
            self.report("warning", mistake)

    def set_feedback(self, feedback):
        """Close or open the loop while running."""
        self.controller.feedback = bool(feedback)

    def start(self):
        for profile in self.controller.start():
            self._send(profile)
        return True

    @guarded
    def on_feedback(self, message):
        meta, _ = read_pdu(message)
        if is_tick(meta):
            self._ticked = require(meta, "slot", int)
            self._called = False
            if self._came_late or not self.on_report:
                self._make()
        elif meta.get("kind") == "call":
            self._called = True
            self._make()
        else:
            self.controller.on_report(
                Report(
                    slot=require(meta, "slot", int),
                    measured_slot=require(meta, "measured_slot", int),
                    snr_db=require(meta, "snr_db", float),
                )
            )
            self._came_late = self._called
            if self.on_report:
                self._make()

    def _make(self):
        if self._ticked is not None:
            self._send(self.controller.on_tick(self._ticked))
            self._ticked, self._came_late = None, False

    def _send(self, profile):
        if not self.slots or profile.slot < self.slots:
            self.publish("profile", dataclasses.asdict(profile) | {"made_s": time.monotonic()})
