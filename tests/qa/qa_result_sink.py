# SPDX-License-Identifier: GPL-3.0-or-later
import csv
import math

import numpy as np
import pytest
from bench import Bench, wait_until

from gr_semantic.blocks.image_sets import register_images
from gr_semantic.blocks.pdu import tick
from gr_semantic.blocks.result_sink import ResultSink
from gr_semantic.errors import UserError
from gr_semantic.link.frame_log import read_frame_log

INDICES = np.array([3, 5], np.int32)


def images_meta(images, slot):
    fields = {"slot": slot, "sequence": slot % 65536, "snr_db": 4.0, "budget": 8, "images": register_images(images)}
    return fields | {"reported_snr_db": 4.5}


def result_meta(slot):
    fields = {"kind": "data", "sequence": slot % 65536, "start_sample": 2000 * slot + 10, "frame_len": 700}
    return fields | {"measured_snr_db": 5.0, "cfo_hz": 3.0, "sro_ppm": 0.5, "evm_db": -20.0}


def feedback_tick(slot):
    return tick(slot) | {"feedback_received": 1, "feedback_used": 0}


def post_slot(bench, images, slot, lost=False):
    if not lost:
        bench.post("results", result_meta(slot), images.labels[INDICES].astype(np.int32))
    bench.post("results", tick(slot))
    bench.post("feedback", {"slot": slot, "kind": "feedback"})
    bench.post("feedback", {"slot": slot, "measured_slot": slot, "snr_db": 3.0})
    bench.post("feedback", feedback_tick(slot))
    bench.post("images", images_meta(images, slot), INDICES)


def test_rows_come_in_order_with_lost_frames_and_truth(images, tmp_path):
    rows = []
    sink = ResultSink(0.002, 1e6, 3, rows.append, str(tmp_path / "frames.csv"), snr_at=lambda t_s: 100 * t_s)
    with Bench(sink, "end") as bench:
        for slot in (0, 1, 2):
            post_slot(bench, images, slot, lost=slot == 1)
        assert bench["end"].wait_for(1) == [({"kind": "end"}, None)]
        assert sink.finished.wait(30)
    assert [row.slot for row in rows] == [0, 1, 2] and [row.received for row in rows] == [True, False, True]
    last = rows[2]
    assert last.time_s == 0.004 and last.snr_true_db == pytest.approx(0.4) and last.budget == 8
    assert (last.snr_used_db, last.snr_reported_db, last.snr_measured_db) == (4.0, 4.5, 5.0)
    assert last.images == (3, 5) and last.true == last.predicted == tuple(images.labels[INDICES])
    assert (last.feedback_sent, last.feedback_received, last.feedback_used) == (1, 1, 0)
    assert last.latency_s == pytest.approx(710e-6)
    assert rows[1].predicted == () and math.isnan(rows[1].snr_measured_db) and rows[1].true == last.true
    assert (sink.frames, sink.images_decoded, sink.images_correct) == (2, 4, 4)
    assert [row.slot for row in read_frame_log(tmp_path / "frames.csv")] == [0, 1, 2]
    assert sink.run_error is None and bench["status"].pdus == []


def test_a_row_waits_for_all_of_its_slot(images):
    rows = []
    sink = ResultSink(0.002, 1e6, 0, rows.append)
    with Bench(sink, "end") as bench:
        bench.post("images", images_meta(images, 0), INDICES)
        bench.post("feedback", feedback_tick(0))
        bench.post("results", tick(0))
        bench.post("results", {"kind": "tick", "slot": None})
        bench["status"].wait_for(1)
        assert rows == []
        bench.post("feedback", {"slot": 0})
        wait_until(lambda: rows)
    assert [row.feedback_sent for row in rows] == [0]


def test_an_input_that_is_not_connected_is_reported_once(images):
    sink = ResultSink(0.002, 1e6)
    with Bench(sink, "end") as bench:
        for slot in range(80):
            bench.post("images", images_meta(images, slot), INDICES)
            bench.post("results", tick(slot))
        bench["status"].wait_for(1)
        bench.post("status", {"block": "x", "level": "warning", "text": "last"})
        wait_until(lambda: sink.warnings)
    (status,) = bench["status"].metas
    assert "slot 0 still lacks" in status["text"] and "reported by node B and heard by node A" in status["text"]


def test_a_frame_under_another_number_is_not_counted(images):
    rows = []
    with Bench(ResultSink(0.002, 1e6, 1, rows.append, with_feedback=False), "end") as bench:
        bench.post("images", images_meta(images, 0), INDICES)
        bench.post("results", result_meta(7), INDICES)
        bench.post("results", tick(0))
        bench["end"].wait_for(1)
        assert "frame 7" in bench["status"].wait_for(1)[0][0]["text"]
    assert [row.received for row in rows] == [False]


def test_an_error_of_any_block_ends_the_run(images):
    sink = ResultSink(0.002, 1e6)
    with Bench(sink, "end") as bench:
        bench.post("status", {"block": "x", "level": "warning", "text": "mind the gap"})
        bench.post("status", {"block": "y", "level": "error", "text": "out of memory"})
        bench.post("status", {"block": "z", "level": "error", "text": "later"})
        bench["end"].wait_for(1)
        assert sink.finished.wait(30)
    assert sink.run_error == "y: out of memory" and list(sink.warnings) == ["x: mind the gap"]
    assert len(bench["end"].pdus) == 1


def test_a_failing_callback_ends_the_run(images):
    def fail(row):
        raise RuntimeError("the disk is gone")

    sink = ResultSink(0.002, 1e6, 5, fail, with_feedback=False)
    with Bench(sink, "end") as bench:
        bench.post("images", images_meta(images, 0), INDICES)
        bench.post("results", tick(0))
        bench["end"].wait_for(1)
    assert "the disk is gone" in sink.run_error


def test_an_exception_in_the_sink_itself_ends_the_run():
    def fail(snr_db, symbols):
        raise RuntimeError("no place for symbols")

    sink = ResultSink(0.002, 1e6, on_symbols=fail)
    with Bench(sink, "end") as bench:
        bench.post("symbols", {"measured_snr_db": 3.0}, np.ones(2, np.complex64))
        assert sink.finished.wait(30)
        bench["end"].wait_for(1)
    assert "no place for symbols" in sink.run_error


def test_a_full_disk_ends_the_run_and_not_the_process(images, tmp_path):
    sink = ResultSink(0.002, 1e6, 5, log_path=str(tmp_path / "frames.csv"), with_feedback=False)
    sink.log._file.close()
    sink.log._file = open("/dev/full", "w")  # noqa: SIM115, closed by the sink
    sink.log._writer = csv.writer(sink.log._file)
    with Bench(sink, "end") as bench:
        bench.post("images", images_meta(images, 0), INDICES)
        bench.post("results", tick(0))
        bench["end"].wait_for(1)
    assert "cannot write /dev/full" in sink.run_error


def test_settings_are_checked(tmp_path):
    with pytest.raises(UserError, match="slot_s"):
        ResultSink(0, 1e6)
    with pytest.raises(UserError, match="cannot write"):
        ResultSink(0.1, 1e6, log_path=str(tmp_path / "no" / "frames.csv"))
