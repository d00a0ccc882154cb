# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts together what is known of each slot, in whatever order it arrives, into the rows of the frame log."""

from gr_semantic.blocks.image_sets import find_images
from gr_semantic.blocks.pdu import PduError, is_tick, require
from gr_semantic.link.feedback import SEQUENCES
from gr_semantic.link.frame_log import NAN, FrameRow

_PATIENCE_SLOTS = 64
_MOST_SLOTS = 1024
_SENT = {"sequence": int, "snr_db": float, "budget": int, "images": str}
_MEASURED = {"start_sample": int, "frame_len": int, "measured_snr_db": float, "cfo_hz": float, "sro_ppm": float}


class SlotRows:
    """Rows come out in the order of slots, each once all that belongs to it is there.

    Of the slots that wait for something at most 1024 are kept: beyond, the oldest is given up and gets no row.

    Args:
        slot_s: link time of a slot.
        sample_rate_hz: of the receiver's samples.
        snr_at: true SNR in dB at a link time in seconds; None: unknown (NaN).
        with_feedback: rows wait for what the feedback blocks say of the slot too.
    """

    def __init__(self, slot_s: float, sample_rate_hz: float, snr_at=None, with_feedback: bool = True):
        self.slot_s, self.sample_rate_hz, self.snr_at = slot_s, sample_rate_hz, snr_at
        feedback = ("reported by node B", "heard by node A") if with_feedback else ()
        self._parts = ("sent", "decoded", *feedback)
        self._known = {}
        self._next_row = 0
        self._complained = False
        self._receiver_slot = 0
        self._result = None

    def images(self, meta, indices) -> list[FrameRow]:
        """An ``images`` message: what was sent."""
        if indices is None:
            raise PduError("the images PDU holds no indices")
        for key, kind in _SENT.items():
            require(meta, key, kind)
        return self._add(require(meta, "slot", int), "sent", (meta, indices))

    def result(self, meta, predicted) -> list[FrameRow]:
        """A ``results`` message: a decoded frame or the tick that closes its slot."""
        if is_tick(meta):
            result, self._result = self._result, None
            self._receiver_slot = require(meta, "slot", int) + 1
            return self._add(meta["slot"], "decoded", result)
        sequence = require(meta, "sequence", int)
        if sequence != self._receiver_slot % SEQUENCES or self._result is not None:
            raise PduError(f"frame {sequence} arrived in slot {self._receiver_slot}, where it does not belong")
        if predicted is None:
            raise PduError("the results PDU holds no predictions")
        for key, kind in _MEASURED.items():
            require(meta, key, kind)
        self._result = (meta, predicted)
        return []

    def feedback(self, meta) -> list[FrameRow]:
        """A ``feedback`` message of the feedback receiver, or a ``symbols`` message of the feedback transmitter."""
        if is_tick(meta):
            return self._add(require(meta, "slot", int), "heard by node A", meta)
        if "measured_slot" in meta:
            return []
        return self._add(require(meta, "slot", int), "reported by node B", int("kind" in meta))

    def _add(self, slot, part, value):
        if slot < self._next_row:
            return []
        self._known.setdefault(slot, {})[part] = value
        if len(self._known) > _MOST_SLOTS:
            oldest = min(self._known)
            del self._known[oldest]
            self._next_row = oldest + 1
        rows = []
        while all(part in self._known.get(self._next_row, ()) for part in self._parts):
            rows.append(self._row(self._next_row, self._known.pop(self._next_row)))
            self._next_row += 1
        if not rows and len(self._known) > _PATIENCE_SLOTS and not self._complained:
            self._complained = True
            missing = [part for part in self._parts if part not in self._known.get(self._next_row, ())]
            raise PduError(f"slot {self._next_row} still lacks what was {' and '.join(missing)}: is it connected?")
        return rows

    def _row(self, slot, known):
        sent, indices = known["sent"]
        time_s = slot * self.slot_s
        labels = find_images(require(sent, "images", str)).labels
        feedback = known.get("heard by node A", {})
        row = {
            "slot": slot,
            "sequence": sent["sequence"],
            "time_s": time_s,
            "snr_true_db": NAN if self.snr_at is None else float(self.snr_at(time_s)),
            "snr_used_db": sent["snr_db"],
            "snr_reported_db": sent.get("reported_snr_db", NAN),
            "budget": sent["budget"],
            "images": tuple(indices.tolist()),
            "true": () if labels is None else tuple(labels[indices].tolist()),
            "feedback_sent": known.get("reported by node B", 0),
            "feedback_received": feedback.get("feedback_received", 0),
            "feedback_used": feedback.get("feedback_used", 0),
        }
        if known["decoded"] is not None:
            meta, predicted = known["decoded"]
            end_s = (meta["start_sample"] + meta["frame_len"]) / self.sample_rate_hz
            row |= {
                "received": True,
                "snr_measured_db": meta["measured_snr_db"],
                "cfo_hz": meta["cfo_hz"],
                "sro_ppm": meta["sro_ppm"],
                "evm_db": meta.get("evm_db", NAN),
                "latency_s": end_s - time_s,
                "predicted": tuple(predicted.tolist()),
            }
        return FrameRow(**row)
