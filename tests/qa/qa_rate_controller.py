# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
from bench import Bench

from gr_semantic.blocks.pdu import tick
from gr_semantic.blocks.rate_controller import RateController
from gr_semantic.errors import UserError
from semantic_models.testing import tiny_codec


def report(slot, snr_db):
    return {"slot": slot, "measured_slot": slot, "snr_db": snr_db, "received": 1, "lost": 0}


def test_first_profiles_come_at_the_start_and_one_for_each_tick(codec):
    with Bench(RateController(codec, 0.02, delay_slots=2), "profile") as bench:
        bench["profile"].wait_for(2)
        bench.post("feedback", report(0, 12.0))
        for slot in range(4):
            bench.post("feedback", tick(slot))
        metas = [meta for meta, _ in bench["profile"].wait_for(6)]
    assert [meta["slot"] for meta in metas] == list(range(6))
    safe, used = metas[:2], metas[2:]
    assert all(meta["snr_db"] == codec.snr_range_db[0] and math.isnan(meta["reported_snr_db"]) for meta in safe)
    assert all(meta["snr_db"] == 12.0 == meta["reported_snr_db"] for meta in used)
    assert all(meta["budget"] == codec.choose_budget(12.0) for meta in used)
    assert bench["status"].pdus == []


def test_no_profile_beyond_the_last_slot(codec):
    with Bench(RateController(codec, 0.02, slots=3), "profile") as bench:
        for slot in range(5):
            bench.post("feedback", tick(slot))
        bench["profile"].wait_for(3)
        bench.post("feedback", {"kind": "tick"})
        bench["status"].wait_for(1)
    assert [meta["slot"] for meta in bench["profile"].metas] == [0, 1, 2]


def test_open_loop_ignores_reports_until_it_is_closed(codec):
    fixed = {"open_loop_snr_db": 5.0, "open_loop_budget": 16}
    controller = RateController(codec, 0.02, feedback=False, delay_slots=1, **fixed)
    with Bench(controller, "profile") as bench:
        bench.post("feedback", report(0, -3.0))
        bench.post("feedback", tick(0))
        bench["profile"].wait_for(2)
        controller.set_feedback(True)
        bench.post("feedback", report(1, -3.0))
        bench.post("feedback", tick(1))
        metas = [meta for meta, _ in bench["profile"].wait_for(3)]
    assert [(meta["snr_db"], meta["budget"]) for meta in metas[:2]] == [(5.0, 16)] * 2
    assert metas[2]["snr_db"] == -3.0


def test_a_new_codec_brings_its_budgets_and_waits_for_a_report(codec, tmp_path):
    other = tiny_codec(tmp_path / "other", budgets=(2, 6))
    with Bench(RateController(codec, 0.02), "profile") as bench:
        bench.post("feedback", report(0, 12.0))
        bench.post("feedback", tick(0))
        bench["profile"].wait_for(3)
        bench.block.set_codec(other)
        bench.post("feedback", tick(1))
        bench.post("feedback", report(2, 12.0))
        bench.post("feedback", tick(2))
        waiting, reported = [meta for meta, _ in bench["profile"].wait_for(5)[3:]]
        bench.block.set_codec("no-such-codec")
        bench["status"].wait_for(1)
    assert waiting["snr_db"] == bench.block.codec.snr_range_db[0] and waiting["slot"] == 3
    assert reported["snr_db"] == 12.0 and reported["budget"] in (2, 6)


@pytest.mark.parametrize("change", [{"snr_db": math.nan}, {"snr_db": "x"}, {"measured_slot": None}, {"slot": 1.5}])
def test_a_wrong_report_is_dropped_with_a_warning(codec, change):
    with Bench(RateController(codec, 0.02, delay_slots=1), "profile") as bench:
        bench.post("feedback", report(0, 9.0) | change)
        bench.post("feedback", tick(0))
        assert bench["profile"].wait_for(2)[1][0]["snr_db"] == codec.snr_range_db[0]
        assert bench["status"].wait_for(1)[0][0]["level"] == "warning"


def test_settings_are_checked(codec):
    with pytest.raises(UserError, match="slot_s"):
        RateController(codec, 0)
    with pytest.raises(UserError, match="smoothing"):
        RateController(codec, 0.02, smoothing=2)
    with pytest.raises(UserError, match="speed"):
        RateController(codec, 0.02, speed=2)


def call(slot):
    return {"kind": "call", "slot": slot}


def test_on_report_a_profile_waits_for_the_report_that_comes_in_time(codec):
    with Bench(RateController(codec, 0.02, delay_slots=1, on_report=True), "profile") as bench:
        bench.post("feedback", report(0, 12.0))  # before slot 0: slot 1's profile waits for a newer one
        bench.post("feedback", tick(0))
        bench.post("feedback", report(1, 8.0))
        bench.post("feedback", call(1))
        bench["profile"].wait_for(2)
        bench.post("feedback", tick(1))
        bench.post("feedback", call(2))  # no report came
        metas = [meta for meta, _ in bench["profile"].wait_for(3)]
    assert [meta["slot"] for meta in metas] == [0, 1, 2]
    assert [meta["measured_slot"] for meta in metas] == [-1, 1, 1]


def test_a_report_that_comes_after_the_call_is_used_at_the_next_tick(codec):
    with Bench(RateController(codec, 0.02, delay_slots=1, on_report=True), "profile") as bench:
        for message in (tick(0), call(1), report(0, 12.0), tick(1), report(1, 11.0), tick(2), report(2, 10.0)):
            bench.post("feedback", message)
        metas = [meta for meta, _ in bench["profile"].wait_for(4)]
    # That on slot 1 came before slot 2 was called for, but slot 2 had its profile: a newer one is worth waiting for.
    assert [(meta["slot"], meta["measured_slot"]) for meta in metas] == [(0, -1), (1, -1), (2, 0), (3, 2)]
