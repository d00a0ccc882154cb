# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of the feedback: node B reports what it measured, node A judges what arrives."""

import math
from dataclasses import dataclass

SEQUENCES = 1 << 16  # the header's sequence numbers are modulo this
COUNTERS = 1 << 8  # its counters modulo this


@dataclass(frozen=True)
class Report:
    """A report that node A accepted.

    slot: reverse slot in which it arrived. measured_slot: forward slot of the frame that it was measured on.
    snr_db: SNR that B measured. received, lost: B's counters (modulo 256).
    """

    slot: int
    measured_slot: int
    snr_db: float
    received: int = 0
    lost: int = 0


def forward_distance(earlier: int, later: int) -> int:
    """How far ``later`` is ahead of ``earlier``, both modulo 2**16: -32768..32767."""
    return (later - earlier + SEQUENCES // 2) % SEQUENCES - SEQUENCES // 2


class FeedbackReporter:
    """Node B: keeps the last measurement and counts received and lost forward frames.

    A frame whose number does not follow (repeated, late, or more than ``max_gap`` ahead) changes nothing, unless the
    next frame follows *it*: then the sender has started anew, and counting goes on from there.

    Args:
        link_id: only frames of this link count; it is written to the reports.
        max_gap: most consecutive frames that may be lost before a jump needs that confirmation.
    """

    def __init__(self, link_id: int, max_gap: int = 1000):
        self.link_id, self.max_gap = link_id, max_gap
        self.received = self.lost = 0
        self.snr_db = self._last = self._doubted = None

    def on_frame(self, frame: dict) -> bool:
        """Take a received forward frame: keys kind, link_id, sequence, measured_snr_db. True if it counted."""
        snr_db = frame.get("measured_snr_db")
        if frame.get("kind") != "data" or frame.get("link_id") != self.link_id:
            return False
        if snr_db is None or not math.isfinite(snr_db):
            return False
        sequence = frame["sequence"]
        step = 1 if self._last is None else forward_distance(self._last, sequence)
        if not 1 <= step <= self.max_gap:
            if self._doubted is None or sequence != (self._doubted + 1) % SEQUENCES or step == 0:
                self._doubted = sequence
                return False
            step = 1
        self.lost += step - 1
        self.received += 1
        self.snr_db, self._last, self._doubted = float(snr_db), sequence, None
        return True

    def on_tick(self, slot: int) -> dict:
        """Fields of the feedback frame of reverse slot ``slot``. ``received`` is 0 as long as nothing was measured."""
        return {
            "kind": "feedback",
            "link_id": self.link_id,
            "sequence": slot % SEQUENCES,
            "snr_db": 0.0 if self.snr_db is None else self.snr_db,
            "acked_sequence": self._last or 0,
            "received": _counter(self.received),
            "lost": self.lost % COUNTERS,
        }


class FeedbackMonitor:
    """Node A: lets through only reports of this link that hold a newer measurement than the last one.

    A numbered the measured frames itself, in slots, so ``acked_sequence`` alone tells how old a report's measurement
    is: a repeated, late, replayed or reordered report brings nothing newer. After B starts anew nothing has to be
    resynchronised.

    Args:
        link_id: of this link.
        max_age_slots: a measurement older than this is stale.
    """

    def __init__(self, link_id: int, max_age_slots: int):
        self.link_id, self.max_age_slots = link_id, min(max_age_slots, SEQUENCES // 2)
        self.received = self.used = 0
        self._newest = -1

    def on_frame(self, frame: dict, slot: int) -> Report | None:
        """Judge a frame that arrived in reverse slot ``slot``; the report if it is to be used, else None.

        ``received`` counts feedback frames of this link, ``used`` those that were let through.
        """
        if frame.get("kind") != "feedback" or frame.get("link_id") != self.link_id:
            return None
        self.received += 1
        snr_db, received, acked = (frame.get(key) for key in ("snr_db", "received", "acked_sequence"))
        if snr_db is None or not math.isfinite(snr_db) or not received or acked is None:
            return None
        age = (slot - acked) % SEQUENCES
        measured_slot = slot - age
        if age > self.max_age_slots or measured_slot <= self._newest:
            return None
        self._newest = measured_slot
        self.used += 1
        return Report(slot, measured_slot, float(snr_db), received, frame.get("lost", 0))


def _counter(count):
    """A counter for the header that wraps to 1: 0 means that nothing was received yet."""
    return count if count < COUNTERS else 1 + (count - 1) % (COUNTERS - 1)
