# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate control in link time: fast down, calm up, safe when nothing is heard."""

import math
import random

import pytest

from gr_semantic.errors import UserError
from gr_semantic.link.config import LoopConfig, RateControllerConfig
from gr_semantic.link.feedback import FeedbackMonitor, FeedbackReporter, Report
from gr_semantic.link.frame_log import FrameRow
from gr_semantic.link.rate_controller import RateController
from gr_semantic.link.summary import adoption_ms

BUDGETS = (4, 8, 16, 32)
RANGE_DB = (-6.0, 24.0)
SLOT_S = 0.02048
LINK = 7


def choose_budget(snr_db):
    return 4 if snr_db >= 12 else 8 if snr_db >= 6 else 16 if snr_db >= 0 else 32


def make(feedback=True, **settings):
    return RateController(choose_budget, BUDGETS, RANGE_DB, SLOT_S, RateControllerConfig(**settings), feedback)


def feed(controller, snr_values, first_slot=0):
    """One report a slot, on the frame of the slot before; the profiles."""
    profiles = []
    for slot, snr_db in enumerate(snr_values, first_slot):
        if snr_db is not None:
            controller.on_report(Report(slot, slot - 1, snr_db))
        profiles.append(controller.on_tick(slot))
    return profiles


def test_profiles_cover_every_slot_once_and_start_safe():
    controller = make(delay_slots=3)
    profiles = controller.start() + feed(controller, [None] * 5)
    assert [profile.slot for profile in profiles] == list(range(8))
    assert {(profile.snr_db, profile.budget) for profile in profiles} == {(-6.0, 32)}
    assert all(math.isnan(profile.reported_snr_db) for profile in profiles)


def test_sequence_is_the_slot_modulo_65536():
    assert make(delay_slots=1).on_tick(65536 + 4).sequence == 5


def test_first_report_is_adopted_at_once():
    profile = feed(make(delay_slots=1), [17.0])[0]
    assert (profile.slot, profile.snr_db, profile.budget, profile.reported_snr_db) == (1, 17.0, 4, 17.0)


def test_noise_is_averaged():
    rng = random.Random(1)
    used = [profile.snr_db for profile in feed(make(), [10 + rng.gauss(0, 1) for _ in range(2000)])][100:]
    mean = sum(used) / len(used)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in used) / len(used))
    assert mean == pytest.approx(10, abs=0.15)
    assert deviation < 0.6


def test_sudden_drop_is_taken_with_the_first_report_and_a_rise_is_not():
    controller = make()
    feed(controller, [20.0] * 20)
    assert feed(controller, [5.0], 20)[0].snr_db == 5.0
    assert feed(controller, [20.0], 21)[0].snr_db < 10


def test_a_larger_budget_is_taken_at_once_and_a_smaller_one_after_confirmation():
    controller = make(smoothing=1.0, confirm_reports=5)
    feed(controller, [20.0] * 10)
    assert feed(controller, [3.0], 10)[0].budget == 16
    assert [profile.budget for profile in feed(controller, [20.0] * 6, 11)] == [16, 16, 16, 16, 4, 4]


def test_an_interrupted_confirmation_starts_again():
    controller = make(smoothing=1.0, sudden_drop_db=50, confirm_reports=3)
    feed(controller, [3.0])
    budgets = [profile.budget for profile in feed(controller, [20.0, 20.0, 3.0, 20.0, 20.0, 20.0], 1)]
    assert budgets == [16, 16, 16, 16, 16, 4]


def test_hysteresis_keeps_the_budget_still_at_a_threshold():
    """Reports that sway half a dB around a threshold of the policy: at most the one move to the robust side."""
    controller = make(smoothing=1.0, hysteresis_db=1.0, confirm_reports=1)
    budgets = [profile.budget for profile in feed(controller, [12.4, 11.6] * 50)]
    assert budgets == [4] + [8] * 99


@pytest.mark.parametrize("snr_db", [-16.0, -6.0, -3.25, -0.25, 0.0])
def test_negative_snr_is_an_snr_like_any_other(snr_db):
    profile = feed(make(), [snr_db] * 30)[-1]
    assert profile.snr_db == pytest.approx(max(snr_db, -6.0))
    assert profile.budget == choose_budget(max(snr_db, -6.0))
    assert profile.reported_snr_db == snr_db


def test_snr_is_clamped_to_the_codecs_range():
    assert feed(make(), [47.0])[0].snr_db == 24.0
    assert feed(make(), [-16.0])[0].snr_db == -6.0


def test_silence_ends_in_the_safe_profile_and_the_next_report_ends_silence():
    controller = make(max_age_s=0.25)  # 12 slots
    feed(controller, [20.0] * 10)  # newest measurement: slot 8
    profiles = feed(controller, [None] * 20, 10)
    safe = [profile.budget == 32 and profile.snr_db == -6.0 for profile in profiles]
    assert safe == [False] * 11 + [True] * 9  # reverse slot 20 is 12 slots after the measurement, 21 is 13
    assert feed(controller, [15.0], 30)[0].snr_db == 15.0


def test_reports_without_a_new_measurement_do_not_keep_the_profile_alive():
    """B is heard but hears nothing: its reports repeat an old measurement, which the monitor refuses."""
    controller, monitor = make(), FeedbackMonitor(LINK, 12)
    for slot in range(40):
        fields = {"kind": "feedback", "link_id": LINK, "snr_db": 20.0, "acked_sequence": min(slot, 5), "received": 5}
        accepted = monitor.on_frame(fields, slot)
        if accepted:
            controller.on_report(accepted)
        profile = controller.on_tick(slot)
    assert (profile.snr_db, profile.budget) == (-6.0, 32)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_change_nothing(value):
    controller = make()
    feed(controller, [10.0])
    assert feed(controller, [value], 1)[0].snr_db == 10.0


def test_open_loop_keeps_the_middle_whatever_is_reported():
    profiles = feed(make(feedback=False), [20.0, -5.0, None, 3.0])
    assert {(profile.snr_db, profile.budget) for profile in profiles} == {(9.0, 16)}
    profile = make(feedback=False, open_loop_snr_db=4.0, open_loop_budget=32).start()[0]
    assert (profile.snr_db, profile.budget) == (4.0, 32)
    with pytest.raises(UserError, match="open_loop_budget"):
        make(open_loop_budget=5)


def run_loop(rng, snr_at, slots, loss=0.0, garble=0.0, forward_loss=0.0):
    """Reporter, monitor and controller over a reverse link that loses, repeats, delays and invents reports."""
    controller, monitor, reporter = make(), FeedbackMonitor(LINK, 12), FeedbackReporter(LINK)
    profiles = {profile.slot: profile for profile in controller.start()}
    in_flight, rows = [], []
    for slot in range(slots):
        time_s = slot * SLOT_S
        if rng.random() >= forward_loss:
            frame = {"kind": "data", "link_id": LINK, "sequence": slot % 65536}
            reporter.on_frame(frame | {"measured_snr_db": snr_at(time_s) + rng.gauss(0, 1)})
        arriving = []
        if rng.random() >= loss:
            in_flight.append(reporter.on_tick(slot))
        while in_flight and rng.random() >= garble:
            arriving.append(in_flight.pop(rng.randrange(len(in_flight))))
        if rng.random() < garble:
            arriving.append(
                {"kind": "feedback", "link_id": rng.randrange(256), "snr_db": rng.uniform(-16, 47), "received": 1}
                | {"acked_sequence": rng.randrange(65536), "sequence": rng.randrange(65536), "lost": 0}
            )
            arriving += arriving[:1]
        for fields in arriving:
            accepted = monitor.on_frame(fields, slot)
            if accepted:
                controller.on_report(accepted)
        made = controller.on_tick(slot)
        profiles[made.slot] = made
        used = profiles[slot]
        rows.append(
            FrameRow(slot, slot, time_s, snr_at(time_s), used.snr_db, used.reported_snr_db, used.budget, (0,), (0,))
        )
    return rows


@pytest.mark.parametrize("seed", range(10))
def test_a_drop_of_15_db_is_adopted_within_100_ms(seed):
    config = LoopConfig(seconds=8)
    rows = run_loop(random.Random(seed), config.snr_trajectory.at, config.slots)
    assert adoption_ms(rows, config.drop_s) <= 100


@pytest.mark.parametrize("seed", range(10))
def test_a_bad_reverse_link_never_destabilises_the_loop(seed):
    """At a constant SNR the profile stays near it, or is the safe one; and it comes back when the link does."""
    rng = random.Random(seed)
    rows = run_loop(rng, lambda _: 10.0, 1000, loss=0.5, garble=0.3, forward_loss=0.1)
    for row in rows[1:]:
        assert (row.snr_used_db, row.budget) == (-6.0, 32) or abs(row.snr_used_db - 10) < 5
    adapted = sum(row.snr_used_db > -6 for row in rows)
    assert adapted > 700


def test_same_reports_same_profiles():
    first, second = (run_loop(random.Random(5), lambda _: 3.0, 300, loss=0.3, garble=0.2) for _ in range(2))
    assert repr(first) == repr(second)  # repr: NaN equals NaN
