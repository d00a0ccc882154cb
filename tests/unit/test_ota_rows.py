# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a run over the air: joined by sequence number, whatever is lost, late or foreign."""

import numpy as np
import pytest

from gr_semantic.blocks import ota_rows
from gr_semantic.blocks.image_sets import register_images
from gr_semantic.blocks.ota_rows import OtaRows, ReceivedRows
from gr_semantic.blocks.pdu import PduError
from gr_semantic.link.frame_log import FrameLog, read_frame_log
from gr_semantic.link.image_schedule import ImageSchedule
from gr_semantic.link.ota_row import OtaRow
from semantic_models import load_images

SET = "synthetic:64"
SLOT, SLOT_S = 1000, 0.1


@pytest.fixture(autouse=True)
def image_set():
    register_images(SET)


@pytest.fixture
def clock(monkeypatch):
    """The wall clock, moved by hand."""
    now = [100.0]
    monkeypatch.setattr(ota_rows.time, "monotonic", lambda: now[0])
    return now


def send(rows, slot, measured=-1, made_s=None):
    meta = {"slot": slot, "sequence": slot % 65536, "snr_db": 9.0, "budget": 4, "images": SET}
    meta |= {"measured_slot": measured, "made_s": slot / 10 if made_s is None else made_s}
    return rows.images(meta, np.array([slot % 64, 1], np.int32))


def begin(rows, slot, sample=None):
    return rows.feedback({"kind": "tick", "slot": slot, "sample": slot * SLOT if sample is None else sample})


def arrive(rows, slot, sample=None, found_s=0.0):
    meta = {"sequence": slot % 65536, "measured_snr_db": 7.0, "cfo_hz": 1.0, "sro_ppm": 2.0, "found_s": found_s}
    meta |= {
        "start_sample": slot * SLOT + 77 if sample is None else sample,
        "frame_len": 500,
        "snr_db": 9.0,
        "budget": 4,
    }
    return rows.result(meta, np.array([3, 4], np.int32))


def report(rows, slot):
    return rows.feedback({"kind": "feedback", "acked_sequence": slot % 65536, "received": 1})


def hear(rows, slot):
    return rows.feedback({"slot": slot + 2, "measured_slot": slot, "snr_db": 7.0})


def test_a_row_comes_once_frame_and_report_are_there(clock):
    rows = OtaRows(1e6, SLOT_S)
    assert send(rows, 0) == [] and begin(rows, 0) == [] and arrive(rows, 0) == [] and report(rows, 0) == []
    (row,) = hear(rows, 0)
    assert row.received and row.predicted == (3, 4) and row.images == (0, 1) and len(row.true) == 2
    assert (row.feedback_sent, row.feedback_received, row.feedback_used) == (1, 1, 1)
    assert (row.tx_sample, row.rx_sample, row.time_s) == (0, 77, 0.0)


def test_a_lost_frame_has_a_row_once_a_later_one_arrived(clock):
    rows = OtaRows(1e6, SLOT_S, with_feedback=False)
    for slot in range(3):
        send(rows, slot)
    assert arrive(rows, 0)[0].received
    lost, late = arrive(rows, 2)
    assert not lost.received and lost.slot == 1 and lost.predicted == () and late.slot == 2 and late.received


def test_a_lost_frame_has_a_row_after_a_while_if_nothing_arrives(clock):
    rows = OtaRows(1e6, SLOT_S)
    send(rows, 0)
    assert [begin(rows, slot) for slot in range(41)] == [[]] * 41
    assert [row.received for row in begin(rows, 41)] == [False]
    assert arrive(rows, 0) == [] and rows.rest() == []  # too late


def test_a_lost_report_does_not_hold_the_row_for_ever(clock):
    rows = OtaRows(1e6, SLOT_S)
    send(rows, 0)
    assert arrive(rows, 0) == [] and report(rows, 0) == []
    assert [begin(rows, slot) for slot in range(6)] == [[]] * 6
    (row,) = begin(rows, 6)
    assert (row.feedback_sent, row.feedback_received) == (1, 0)


def test_the_delay_of_a_report_counts_for_the_frame_that_uses_it_first(clock):
    rows = OtaRows(1e6, SLOT_S, with_feedback=False)
    send(rows, 0)
    arrive(rows, 0, found_s=5.0)
    send(rows, 1, measured=0, made_s=5.03)
    send(rows, 2, measured=0, made_s=5.05)
    first, second = arrive(rows, 1)[0], arrive(rows, 2)[0]
    assert first.report_delay_s == pytest.approx(0.03) and first.measured_slot == 0
    assert np.isnan(second.report_delay_s) and second.measured_slot == 0


def test_samples_that_are_missing_or_too_many_show_as_a_gap(clock):
    rows = OtaRows(1e6, SLOT_S, with_feedback=False)
    seen = []
    for slot, sample in ((0, 77), (1, 1077), (2, 2077 - 500), (4, 4077 + 300)):
        for between in range(rows._newest + 1, slot + 1):
            send(rows, between)
            begin(rows, between)
        seen += [row.gap_samples for row in arrive(rows, slot, sample) if row.received]
    assert seen == [0, 0, -500, 800]


def test_clocks_that_differ_are_no_gap(clock):
    rows = OtaRows(1e6, SLOT_S, with_feedback=False)
    for slot in range(3):
        send(rows, slot)
        begin(rows, slot, slot * 20_000)
        assert arrive(rows, slot, round(slot * 20_000 * (1 + 40e-6)))[0].gap_samples == 0


def test_numbers_wrap_around(clock):
    rows = OtaRows(1e6, SLOT_S, with_feedback=False)
    for slot in (65534, 65535, 65536, 65537):
        send(rows, slot)
        assert [row.slot for row in arrive(rows, slot)] == [slot]


@pytest.mark.parametrize("slot", [5, 40_000])
def test_a_frame_that_was_not_sent_is_foreign(clock, slot):
    rows = OtaRows(1e6, SLOT_S)
    send(rows, 3)
    with pytest.raises(PduError, match="another sender"):
        arrive(rows, slot)


def test_the_rest_is_given_out_at_the_end(clock):
    rows = OtaRows(1e6, SLOT_S)
    send(rows, 0)
    send(rows, 1)
    arrive(rows, 0)
    assert [(row.slot, row.received) for row in rows.rest()] == [(0, True), (1, False)] and rows.rest() == []


def test_a_sender_alone_waits_for_nobody(clock):
    rows = OtaRows(1e6, SLOT_S, with_feedback=False, listening=False)
    assert send(rows, 0) == []
    assert [row.slot for row in begin(rows, 0)] == [0]


def test_a_receiver_alone_knows_the_images_from_the_numbers(clock):
    labels = load_images(SET).labels
    schedule = ImageSchedule(64, 2, seed=4)
    rows = ReceivedRows(schedule, labels, 0.02)
    (first,) = arrive(rows, 10)
    assert first.slot == 0 and first.sequence == 10 and first.images == tuple(schedule.indices(10))
    assert first.true == tuple(labels[schedule.indices(10)]) and first.snr_used_db == 9.0
    lost, third = arrive(rows, 12)
    assert (lost.slot, lost.received, lost.sequence) == (1, False, 11) and third.slot == 2
    with pytest.raises(PduError, match="started anew"):
        arrive(rows, 12)


def test_rows_survive_the_table_and_a_kill(tmp_path, clock):
    rows = OtaRows(1e6, SLOT_S, with_feedback=False)
    send(rows, 0)
    (row,) = arrive(rows, 0)
    path = tmp_path / "frames.csv"
    log = FrameLog(path, OtaRow)
    log.append(row)
    log.close()
    path.write_text(path.read_text() + "1,1,0.0")  # cut off by a kill
    log = FrameLog(path, OtaRow, append=True)
    log.append(row.from_slot(1, 0.02))
    log.close()
    assert repr(read_frame_log(path, OtaRow)) == repr([row, row.from_slot(1, 0.02)])
    assert read_frame_log(path, OtaRow)[1].slot == 1
