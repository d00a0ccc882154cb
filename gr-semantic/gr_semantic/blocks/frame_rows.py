# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of decoded frames where there are no slots: bursts, or a recording without its sender."""

from gr_semantic.blocks.image_sets import find_images
from gr_semantic.blocks.pdu import PduError, is_tick, require
from gr_semantic.link.feedback import SEQUENCES, forward_distance
from gr_semantic.link.frame_log import NAN, FrameRow

_KEPT = 1024  # sent frames that may still arrive
_MAX_GAP = 1000  # more consecutive frames are not lost: the sender has started anew
_MEASURED = {"start_sample": int, "frame_len": int, "budget": int, "snr_db": float, "measured_snr_db": float}


class FrameRows:
    """One row for each decoded frame, and before it one for each sequence number that was left out.

    Where ``images`` messages come too, rows hold the truth of the frame with the same sequence number. Link time is the
    receiver's sample count over its rate.

    Args:
        sample_rate_hz: of the receiver's samples.
    """

    def __init__(self, sample_rate_hz: float):
        self.sample_rate_hz = sample_rate_hz
        self._sent = {}
        self._last = None
        self._rows = 0

    def images(self, meta, indices) -> list[FrameRow]:
        """An ``images`` message: what was sent."""
        if indices is None:
            raise PduError("the images PDU holds no indices")
        labels = find_images(require(meta, "images", str)).labels
        sequence = require(meta, "sequence", int)
        self._sent.pop(sequence, None)
        self._sent[sequence] = tuple(indices.tolist()), () if labels is None else tuple(labels[indices].tolist())
        if len(self._sent) > _KEPT:
            del self._sent[next(iter(self._sent))]
        return []

    def result(self, meta, predicted) -> list[FrameRow]:
        """A ``results`` message: a decoded frame. Ticks say nothing here."""
        if is_tick(meta):
            return []
        sequence = require(meta, "sequence", int)
        if predicted is None:
            raise PduError("the results PDU holds no predictions")
        for key, kind in _MEASURED.items():
            require(meta, key, kind)
        step = 1 if self._last is None else forward_distance(self._last, sequence)
        first = sequence - (step - 1 if 1 <= step <= _MAX_GAP else 0)
        self._last = sequence
        rows = [self._row(number % SEQUENCES, meta, {}) for number in range(first, sequence)]
        measured = {
            "received": True,
            "snr_measured_db": meta["measured_snr_db"],
            "cfo_hz": meta.get("cfo_hz", NAN),
            "sro_ppm": meta.get("sro_ppm", NAN),
            "evm_db": meta.get("evm_db", NAN),
            "latency_s": meta["frame_len"] / self.sample_rate_hz,
            "predicted": tuple(predicted.tolist()),
        }
        return [*rows, self._row(sequence, meta, measured)]

    def _row(self, sequence, meta, measured):
        images, true = self._sent.pop(sequence, ((), ()))
        self._rows += 1
        return FrameRow(
            slot=self._rows - 1,
            sequence=sequence,
            time_s=meta["start_sample"] / self.sample_rate_hz,
            snr_true_db=NAN,
            snr_used_db=meta["snr_db"],
            snr_reported_db=NAN,
            budget=meta["budget"],
            images=images,
            true=true,
            **measured,
        )
