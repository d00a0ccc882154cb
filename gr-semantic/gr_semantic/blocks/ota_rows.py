# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins what was sent with what arrived where no slots hold the two directions together: over the air."""

import math
import time
from collections import deque

from gr_semantic.blocks.image_sets import find_images
from gr_semantic.blocks.pdu import PduError, is_tick, require
from gr_semantic.link.feedback import SEQUENCES, forward_distance
from gr_semantic.link.frame_log import NAN
from gr_semantic.link.ota_row import OtaRow

_PATIENCE_S = 4.0  # of link time, until a frame counts as lost where no later one arrives
_FEEDBACK_PATIENCE_S = 0.5
_REMEMBERED = 4096  # slots for which measurements are kept
_CLOCK_ERROR = 1e-4  # that two sample counts may differ by
_GAP_SAMPLES = 40
_SENT = {"sequence": int, "snr_db": float, "budget": int, "images": str}
_MEASURED = {"start_sample": int, "frame_len": int, "measured_snr_db": float, "cfo_hz": float, "sro_ppm": float}


class OtaRows:
    """Rows come out in the order of slots. That of slot k is complete once its result is there and what became of the
    report on it; a frame is lost once a later one has arrived, or after 4 s of link time.

    Args:
        sample_rate_hz: of the transmitter.
        slot_s: link time of a slot.
        with_feedback: rows wait for the reports.
        listening: False: nobody receives here, rows wait for nothing but their slot's start.
    """

    def __init__(self, sample_rate_hz: float, slot_s: float, with_feedback: bool = True, listening: bool = True):
        self.sample_rate_hz, self.with_feedback, self.listening = sample_rate_hz, with_feedback, listening
        self._patience, self._feedback_patience = (math.ceil(s / slot_s) for s in (_PATIENCE_S, _FEEDBACK_PATIENCE_S))
        self._newest_began = -1
        self._sent = deque()  # open slots, oldest first
        self._newest = -1
        self._results, self._reported, self._heard, self._began = {}, set(), set(), {}
        self._newest_result = self._newest_heard = -1
        self._found_s = {}
        self._used = -1
        self._first_s = None
        self._last_received = None

    def images(self, meta, indices) -> list[OtaRow]:
        """An ``images`` message: what was sent."""
        if indices is None:
            raise PduError("the images PDU holds no indices")
        for key, kind in _SENT.items():
            require(meta, key, kind)
        slot = require(meta, "slot", int)
        if slot <= self._newest:
            raise PduError(f"slot {slot} was sent before")
        self._newest = slot
        self._sent.append((slot, meta, indices, time.monotonic()))
        return self._ready()

    def result(self, meta, predicted) -> list[OtaRow]:
        """A ``results`` message: a decoded frame."""
        if is_tick(meta):
            return []
        slot = self._slot_of(require(meta, "sequence", int))
        if slot is None or slot <= self._newest_result:
            raise PduError(f"frame {meta['sequence']} arrived, but was not sent now: another sender with this link id?")
        if predicted is None:
            raise PduError("the results PDU holds no predictions")
        for key, kind in _MEASURED.items():
            require(meta, key, kind)
        self._newest_result = slot
        if not self._sent or slot < self._sent[0][0]:
            return []  # it has been given up
        self._results[slot] = (meta, predicted, time.monotonic())
        self._found_s[slot] = meta.get("found_s", NAN)
        while len(self._found_s) > _REMEMBERED:
            del self._found_s[next(iter(self._found_s))]
        return self._ready()

    def feedback(self, meta) -> list[OtaRow]:
        """A tick of the transmitter or a report, both from the feedback receiver; or a ``symbols`` message of the
        feedback transmitter."""
        if is_tick(meta):
            slot = require(meta, "slot", int)
            self._newest_began = slot
            self._began[slot] = meta.get("sample", -1)
            self._began.pop(slot - _REMEMBERED, None)
        elif "measured_slot" in meta:
            slot = require(meta, "measured_slot", int)
            self._heard.add(slot)
            self._newest_heard = max(self._newest_heard, slot)
        elif meta.get("kind") == "feedback" and meta.get("received"):
            slot = self._slot_of(require(meta, "acked_sequence", int))
            if slot is not None:
                self._reported.add(slot)
        return self._ready()

    def rest(self) -> list[OtaRow]:
        """The rows that are still open, as they are."""
        rows = []
        while self._sent:
            rows.append(self._row(*self._sent.popleft()))
        return rows

    def _slot_of(self, sequence):
        """The slot of a sequence number that was sent lately; None: it was not."""
        slot = self._newest + forward_distance(self._newest % SEQUENCES, sequence)
        return slot if 0 <= slot <= self._newest else None

    def _ready(self):
        rows = []
        while self._sent and self._is_complete(self._sent[0][0]):
            rows.append(self._row(*self._sent.popleft()))
        return rows

    def _is_complete(self, slot):
        age = self._newest_began - slot
        if not self.listening:
            return slot in self._began
        if slot not in self._results:
            return self._newest_result > slot or age > self._patience
        return not self.with_feedback or self._newest_heard >= slot or age > self._feedback_patience

    def _row(self, slot, sent, indices, sent_s):
        made_s = sent.get("made_s", sent_s)
        if self._first_s is None:
            self._first_s = made_s
        began = self._began.get(slot, -1)
        labels = find_images(sent["images"]).labels
        measured = sent.get("measured_slot", -1)
        delay_s = NAN
        if measured > self._used:
            self._used = measured
            delay_s = made_s - self._found_s.get(measured, NAN)
        row = {
            "slot": slot,
            "sequence": sent["sequence"],
            "time_s": began / self.sample_rate_hz if began >= 0 else NAN,
            "snr_true_db": NAN,
            "snr_used_db": sent["snr_db"],
            "snr_reported_db": sent.get("reported_snr_db", NAN),
            "budget": sent["budget"],
            "images": tuple(indices.tolist()),
            "true": () if labels is None else tuple(labels[indices].tolist()),
            "feedback_sent": int(slot in self._reported),
            "feedback_received": int(slot in self._heard),
            "feedback_used": int(slot in self._heard),
            "wall_s": made_s - self._first_s,
            "measured_slot": measured,
            "report_delay_s": delay_s,
            "tx_sample": began,
        }
        self._reported.discard(slot)
        self._heard.discard(slot)
        if slot in self._results:
            meta, predicted, decoded_s = self._results.pop(slot)
            row |= {
                "received": True,
                "snr_measured_db": meta["measured_snr_db"],
                "cfo_hz": meta["cfo_hz"],
                "sro_ppm": meta["sro_ppm"],
                "evm_db": meta.get("evm_db", NAN),
                "latency_s": decoded_s - made_s,
                "predicted": tuple(predicted.tolist()),
                "rx_sample": meta["start_sample"],
                "gap_samples": self._gap(began, meta["start_sample"]),
            }
        return OtaRow(**row)

    def _gap(self, sent_at, received_at):
        before, self._last_received = self._last_received, (sent_at, received_at)
        if before is None or sent_at < 0 or before[0] < 0:
            return 0
        sent, received = sent_at - before[0], received_at - before[1]
        jump = received - sent
        return jump if abs(jump) > _GAP_SAMPLES + _CLOCK_ERROR * sent else 0


class ReceivedRows:
    """Rows of a receiver whose transmitter is elsewhere: which images were sent follows from the frames' numbers.

    Slots count from the first frame that arrives; a frame that is missing in between is lost, its budget unknown (0).

    Args:
        schedule: ImageSchedule of the transmitter: same images, images a frame and seed.
        labels: true classes of the image set, or None.
        slot_s: link time of a slot.
    """

    def __init__(self, schedule, labels, slot_s: float):
        self._schedule, self._labels, self._slot_s = schedule, labels, slot_s
        self._last = self._first = self._first_sample = None

    def images(self, meta, indices) -> list[OtaRow]:
        """Nothing is sent here."""
        return []

    def feedback(self, meta) -> list[OtaRow]:
        """Nothing is sent here."""
        return []

    def rest(self) -> list[OtaRow]:
        """No row is ever open."""
        return []

    def result(self, meta, predicted) -> list[OtaRow]:
        """A ``results`` message: a decoded frame."""
        if is_tick(meta):
            return []
        if predicted is None:
            raise PduError("the results PDU holds no predictions")
        for key, kind in {**_MEASURED, "snr_db": float, "budget": int}.items():
            require(meta, key, kind)
        sequence = require(meta, "sequence", int)
        step = 1 if self._last is None else forward_distance(self._last % SEQUENCES, sequence)
        if step < 1:
            raise PduError(f"frame {sequence} came again, or its sender has started anew: start this end anew too")
        slot = sequence if self._last is None else self._last + step
        if self._last is None:
            self._first, self._first_sample = slot, meta["start_sample"]
        rows = [self._row(lost) for lost in range(slot - step + 1, slot)]
        self._last = slot
        return [*rows, self._row(slot, meta, predicted)]

    def _row(self, slot, meta=None, predicted=None):
        row = {
            "slot": slot - self._first,
            "sequence": slot % SEQUENCES,
            "time_s": (slot - self._first) * self._slot_s,
            "snr_true_db": NAN,
            "snr_used_db": NAN,
            "snr_reported_db": NAN,
            "budget": 0,
            "images": (),
            "true": (),
        }
        if meta is not None:
            indices = self._schedule.indices(slot)
            same = len(indices) == len(predicted)  # else the other end was given another images_per_frame
            row |= {
                "snr_used_db": meta["snr_db"],
                "budget": meta["budget"],
                "images": tuple(indices.tolist()) if same else (),
                "true": tuple(self._labels[indices].tolist()) if same and self._labels is not None else (),
                "received": True,
                "snr_measured_db": meta["measured_snr_db"],
                "cfo_hz": meta["cfo_hz"],
                "sro_ppm": meta["sro_ppm"],
                "evm_db": meta.get("evm_db", NAN),
                "predicted": tuple(predicted.tolist()),
                "rx_sample": meta["start_sample"],
            }
        return OtaRow(**row)
