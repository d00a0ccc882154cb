# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed loop as a flowgraph, with a codec that knows nothing: what is tested is the link around it."""

import math
import sys
import time

import numpy as np
import pmt
import pytest

from gr_semantic.blocks.pdu import make_pdu
from gr_semantic.errors import UserError
from gr_semantic.link.config import LoopConfig, RateControllerConfig
from gr_semantic.link.image_schedule import ImageSchedule
from gr_semantic.link.loop import LoopFlowgraph

SECONDS = 0.8
DROP = ((0.0, 18.0), (0.4, 18.0), (0.4, 2.0))


def run(codec, images, on_symbols=None, **settings):
    """Rows of a run that must end by itself."""
    rows = []
    settings = {"seconds": SECONDS, "images_per_frame": 4, "trajectory": DROP} | settings
    loop = LoopFlowgraph(LoopConfig(**settings), codec, images, rows.append, on_symbols)
    loop.start()
    assert loop.wait_finished(120)
    loop.wait()  # ends by itself: nobody called stop
    loop.stop_and_wait()
    assert loop.error is None and loop.warnings == [] and loop.finished()
    assert [row.slot for row in rows] == list(range(loop.config.slots))
    return rows


@pytest.fixture(scope="module")
def rows(codec, images):
    return run(codec, images)


def test_all_frames_arrive_under_their_number_with_their_images(rows, images):
    schedule = ImageSchedule(len(images), 4, seed=1)
    for row in rows:
        assert row.received and row.sequence == row.slot and len(row.predicted) == 4
        assert row.images == tuple(schedule.indices(row.slot))
        assert row.true == tuple(images.labels[list(row.images)])
        assert row.snr_measured_db == pytest.approx(row.snr_true_db, abs=4)
        assert 0 < row.latency_s < 0.01
        assert (row.feedback_sent, row.feedback_received, row.feedback_used) == (1, 1, 1)


def test_the_loop_adopts_what_the_other_end_measured(rows, codec):
    delay = RateControllerConfig().delay_slots
    for row in rows[:delay]:
        assert math.isnan(row.snr_reported_db) and row.snr_used_db == codec.snr_range_db[0]
    for before, row in zip(rows, rows[delay:], strict=False):
        assert row.snr_reported_db == pytest.approx(before.snr_measured_db, abs=0.126)  # the header's steps
    drop = next(row.slot for row in rows if row.snr_true_db < 10)
    assert rows[drop - 1].snr_used_db > 15 and rows[drop + delay + 1].snr_used_db < 6
    assert rows[-1].budget == codec.choose_budget(rows[-1].snr_used_db)


def test_same_seed_same_rows_to_the_last_bit_whatever_the_threads_do(rows, codec, images):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        assert repr(run(codec, images)) == repr(rows)
    finally:
        sys.setswitchinterval(interval)


def test_another_seed_gives_other_rows(rows, codec, images):
    assert repr(run(codec, images, seed=2)) != repr(rows)


def test_a_longer_delay_changes_when_reports_are_used(rows, codec, images):
    late = run(codec, images, rate_controller=RateControllerConfig(delay_slots=3))
    assert [math.isnan(row.snr_reported_db) for row in late[:4]] == [True, True, True, False]


def test_without_feedback_the_profile_is_fixed(codec, images):
    rows = run(codec, images, feedback=False)
    assert len({(row.snr_used_db, row.budget) for row in rows}) == 1
    assert all(row.received and row.feedback_sent == row.feedback_received == 0 for row in rows)


def test_no_signal_gives_rows_without_results_and_the_safe_profile(codec, images):
    rows = run(codec, images, trajectory=((0.0, -40.0),))
    assert not any(row.received for row in rows)
    assert {row.snr_used_db for row in rows} == {codec.snr_range_db[0]}


def test_a_sample_clock_offset_is_followed(codec, images):
    rows = run(codec, images, forward={"sro_ppm": 300.0}, reverse={"sro_ppm": -300.0})
    assert all(row.received for row in rows)


def test_another_waveform(codec, images):
    assert all(row.received for row in run(codec, images, waveform="ofdm256"))


def test_symbols_are_handed_out(codec, images):
    seen = []
    rows = run(codec, images, lambda snr_db, symbols: seen.append((snr_db, symbols)))
    assert len(seen) >= len(rows) - 2
    for (snr_db, symbols), row in zip(seen, rows, strict=False):
        assert snr_db == row.snr_measured_db and symbols.shape == (4 * row.budget,) and symbols.dtype == np.complex64


def loop_of(codec, images, **settings):
    return LoopFlowgraph(LoopConfig(**({"seconds": 1000.0, "images_per_frame": 4} | settings)), codec, images)


def test_stop_before_the_start_while_running_and_twice(codec, images):
    never_started = loop_of(codec, images)
    never_started.stop_and_wait()
    never_started.stop_and_wait()
    for run_s in (0.0, 0.01, 0.3):
        loop = loop_of(codec, images)
        loop.start()
        time.sleep(run_s)
        loop.stop_and_wait()
        loop.stop_and_wait()
        assert loop.error is None


def test_runs_once(codec, images):
    loop = loop_of(codec, images)
    loop.stop_and_wait()
    with pytest.raises(RuntimeError, match="once"):
        loop.start()


def test_an_error_in_any_block_ends_the_run(codec, images):
    loop = loop_of(codec, images)
    loop.receiver_b.receiver.push = lambda samples: 1 / 0
    loop.start()
    assert loop.wait_finished(60)
    loop.wait()
    assert "semantic_ofdm_receiver" in loop.error and "ZeroDivisionError" in loop.error


def test_an_error_whose_message_was_lost_ends_the_run(codec, images):
    loop = loop_of(codec, images)
    loop.receiver_b.receiver.push = lambda samples: 1 / 0
    loop.msg_disconnect(loop.receiver_b, "status", loop.sink, "status")
    loop.start()
    assert loop.wait_finished(60)
    loop.stop_and_wait()
    assert "ZeroDivisionError" in loop.error


def test_a_loop_that_is_stuck_ends_with_an_error(codec, images, monkeypatch):
    monkeypatch.setattr("gr_semantic.link.loop._STALL_S", 0.5)
    loop = loop_of(codec, images)
    loop.feedback_receiver.publish = lambda *message: None
    loop.start()
    assert loop.wait_finished(60)
    loop.wait()
    loop.stop_and_wait()
    assert "stuck" in loop.error


def test_waiting_has_a_limit(codec, images):
    loop = loop_of(codec, images)
    loop.start()
    assert not loop.wait_finished(0.01) and not loop.finished()
    loop.stop_and_wait()


def test_foreign_and_corrupt_messages_do_not_stop_the_loop(codec, images):
    rows = []
    config = LoopConfig(seconds=SECONDS, images_per_frame=4, trajectory=DROP)
    loop = LoopFlowgraph(config, codec, images, rows.append)
    loop.start()
    for block, port in (
        (loop.decoder, "frames"),
        (loop.feedback_receiver, "frames"),
        (loop.feedback_transmitter, "frames"),
        (loop.rate_controller, "feedback"),
    ):
        for message in (
            pmt.PMT_NIL,
            make_pdu({}),
            make_pdu({"kind": "data", "link_id": config.link_id, "sequence": "x"}),
        ):
            block.to_basic_block()._post(pmt.intern(port), message)
    assert loop.wait_finished(120)
    loop.stop_and_wait()
    assert loop.error is None and loop.warnings
    assert len(rows) == config.slots and all(row.received for row in rows)


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"waveform": "ofdm9000"}, "ofdm9000"),
        ({"slot_len": 4096}, "slot_len is 4096"),
        ({"images_per_frame": 256}, "images_per_frame is 256"),
    ],
)
def test_settings_that_do_not_fit_are_one_clear_error(codec, images, settings, text):
    with pytest.raises(UserError, match=text):
        loop_of(codec, images, **settings)
