# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of a run, against hand-counted ones."""

import dataclasses
import math

import pytest

from gr_semantic.link.frame_log import FrameRow
from gr_semantic.link.summary import accuracy_by_snr, adoption_ms, snr_bin, summarize, wilson_interval


def row(slot, true_db=10.0, used_db=10.0, right=2, wrong=0, budget=8, received=True):
    count = right + wrong
    return FrameRow(
        slot=slot,
        sequence=slot,
        time_s=0.02 * slot,
        snr_true_db=true_db,
        snr_used_db=used_db,
        snr_reported_db=math.nan,
        budget=budget,
        images=tuple(range(count)),
        true=(1,) * count,
        received=received,
        predicted=(1,) * right + (2,) * wrong if received else (),
        feedback_sent=1,
        feedback_received=slot % 2,
    )


def reference(snr_db, budget):
    return snr_db / 100 + budget / 1000


def test_summary_counts_what_was_decoded_and_lost_frames_as_sent():
    summary = summarize([row(0), row(1, right=1, wrong=1), row(2, received=False, budget=32)], reference, None, True)
    assert (summary["frames_sent"], summary["frames_received"]) == (3, 2)
    assert (summary["images"], summary["accuracy"]) == (4, 0.75)
    assert summary["feedback"] == {"sent": 3, "received": 1, "used": 0}
    assert summary["adoption_ms"] is None
    assert summary["mean_budget"] == 16


def test_a_run_without_rows_or_labels_has_a_summary_too():
    empty = summarize([], reference, 1.0, True)
    assert (empty["frames_sent"], empty["images"], empty["accuracy"], empty["accuracy_by_snr"]) == (0, 0, None, [])
    unlabelled = summarize([dataclasses.replace(row(0), true=())], reference, None, True)
    assert (unlabelled["frames_received"], unlabelled["images"], unlabelled["accuracy"]) == (1, 2, None)


@pytest.mark.parametrize(
    ("snr_db", "centre"), [(-5, -4), (-3.01, -4), (-3, -2), (-0.5, 0), (0.99, 0), (1, 2), (24, 24), (23, 24)]
)
def test_bins_are_2_db_wide_around_even_numbers(snr_db, centre):
    assert snr_bin(snr_db) == centre


def test_reference_is_averaged_over_the_images_of_the_bin():
    bins = accuracy_by_snr(
        [row(0, 9.0, right=1, budget=4), row(1, 10.5, right=2, wrong=1, budget=8), row(2, -4.0)], reference
    )
    assert [entry["snr_db"] for entry in bins] == [-4, 10]
    assert bins[1]["images"] == 4
    assert bins[1]["accuracy"] == 0.75
    assert bins[1]["reference_accuracy"] == pytest.approx((1 * 0.094 + 3 * 0.113) / 4)
    assert bins[1]["ci95"] == wilson_interval(3, 4)


def test_wilson_interval_of_known_values():
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, method 3
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    low, high = wilson_interval(20, 20)
    assert (low, high) == (pytest.approx(0.8389, abs=1e-4), 1.0)


def test_adoption_is_the_link_time_to_the_first_frame_within_3_db_or_below():
    rows = [row(0, 24, 24), row(1, 24, 24), row(2, 9, 24), row(3, 9, 12.01), row(4, 9, 12.0), row(5, 9, -6)]
    assert adoption_ms(rows, drop_s=0.035) == pytest.approx(45)
    assert adoption_ms(rows[:4], drop_s=0.035) is None
    assert adoption_ms(rows, drop_s=None) is None
    assert summarize(rows, reference, 0.035, feedback=False)["adoption_ms"] is None


def test_a_lost_frame_was_sent_with_its_profile_all_the_same():
    rows = [row(2, 9, 24), dataclasses.replace(row(3, 9, 9), received=False)]
    assert adoption_ms(rows, drop_s=0.03) == pytest.approx(30)
