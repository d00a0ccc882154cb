# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run comes to: the numbers of its rows in one dict."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

from gr_semantic.link.frame_log import FrameRow

BIN_DB = 2.0
ADOPTED_WITHIN_DB = 3.0
_Z95 = 1.959964


def summarize(
    rows: Iterable[FrameRow], reference_accuracy: Callable[[float, int], float], drop_s: float | None, feedback: bool
) -> dict:
    """Numbers of a run.

    Args:
        rows: all rows.
        reference_accuracy: (snr_db, budget) -> accuracy 0..1 of the offline evaluation.
        drop_s: link time of the trajectory's sudden drop, or None.
        feedback: whether the loop was closed.

    Returns:
        frames_sent, frames_received; images (decoded), accuracy over them (None if their truth is unknown);
        accuracy_by_snr: see accuracy_by_snr; feedback: frames sent by B, received by A, used; adoption_ms: see
        adoption_ms (None in an open loop); mean_budget: mean complex channel uses per image sent.
    """
    rows = list(rows)
    scores = [score(row) for row in rows]
    judged, correct = sum(seen for seen, _ in scores), sum(right for _, right in scores)
    return {
        "frames_sent": len(rows),
        "frames_received": sum(row.received for row in rows),
        "images": sum(len(row.predicted) for row in rows),
        "accuracy": correct / judged if judged else None,
        "accuracy_by_snr": accuracy_by_snr(rows, reference_accuracy),
        "feedback": {
            "sent": sum(row.feedback_sent for row in rows),
            "received": sum(row.feedback_received for row in rows),
            "used": sum(row.feedback_used for row in rows),
        },
        "adoption_ms": adoption_ms(rows, drop_s) if feedback else None,
        "mean_budget": sum(row.budget for row in rows) / len(rows) if rows else None,
    }


def score(row: FrameRow) -> tuple[int, int]:
    """(images decoded with known truth, correct ones) of a row; (0, 0) for lost frames and unlabelled images."""
    if not row.received or not row.true:
        return 0, 0
    return len(row.true), sum(guess == truth for guess, truth in zip(row.predicted, row.true, strict=True))


def snr_bin(snr_db: float) -> float:
    """Centre of the 2 dB wide bin: an even number of dB; a bin reaches from centre - 1 (included) to centre + 1."""
    return BIN_DB * math.floor(snr_db / BIN_DB + 0.5)


def accuracy_by_snr(rows: Iterable[FrameRow], reference_accuracy: Callable[[float, int], float]) -> list[dict]:
    """Accuracy in 2 dB wide bins of the true SNR, from low to high; bins without decoded images are left out.

    Each has snr_db (centre), images, accuracy, reference_accuracy (offline accuracy at each image's true SNR and
    budget, averaged over the bin's images) and ci95 (low, high: Wilson's interval of the accuracy).
    """
    bins = defaultdict(lambda: [0, 0, 0.0])
    for row in rows:
        seen, right = score(row)
        if seen:
            sums = bins[snr_bin(row.snr_true_db)]
            sums[0] += seen
            sums[1] += right
            sums[2] += seen * reference_accuracy(row.snr_true_db, row.budget)
    return [
        {
            "snr_db": centre,
            "images": seen,
            "accuracy": right / seen,
            "reference_accuracy": expected / seen,
            "ci95": wilson_interval(right, seen),
        }
        for centre, (seen, right, expected) in sorted(bins.items())
    ]


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion; ``trials`` >= 1."""
    share, spread = successes / trials, _Z95**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def adoption_ms(rows: Iterable[FrameRow], drop_s: float | None) -> float | None:
    """Link time in ms from the drop to the start of the first frame sent after it whose encoder SNR is adopted.

    Adopted: at most 3 dB above the true SNR at that frame. None: no drop in the run, or never adopted.
    """
    if drop_s is None:
        return None
    after = (row for row in rows if row.time_s >= drop_s)
    adopted = (row.time_s for row in after if row.snr_used_db <= row.snr_true_db + ADOPTED_WITHIN_DB)
    first = next(adopted, None)
    return None if first is None else round(1e3 * (first - drop_s), 3)
