# SPDX-License-Identifier: GPL-3.0-or-later
import dataclasses
import os
import sys

import numpy as np
import pytest
from bench import Bench, wait_until

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from PyQt5.QtWidgets import QApplication

from gr_semantic.blocks.dashboard import figures
from gr_semantic.blocks.display_history import DisplayHistory
from gr_semantic.blocks.frame_rows import FrameRows
from gr_semantic.blocks.image_sets import register_images
from gr_semantic.blocks.pdu import PduError, tick
from gr_semantic.blocks.semantic_display import SemanticDisplay
from gr_semantic.errors import UserError
from gr_semantic.link.frame_log import FrameRow

INDICES = np.arange(4, dtype=np.int32)


@pytest.fixture(scope="module")
def application():
    return QApplication.instance() or QApplication(sys.argv[:1])


def row(images, slot, predicted, **fields):
    true = tuple(images.labels[INDICES].tolist())
    common = {"slot": slot, "sequence": slot, "time_s": 0.5 * slot, "snr_true_db": 9.0, "snr_used_db": 7.0}
    common |= {"snr_reported_db": 7.0, "budget": 8, "images": tuple(INDICES.tolist()), "true": true}
    return FrameRow(**common | {"received": bool(predicted), "predicted": predicted} | fields)


def test_history_counts_lost_images_as_wrong_and_forgets_the_old(images):
    name, true = register_images(images), tuple(images.labels[INDICES].tolist())
    history = DisplayHistory(span_s=2.0, average_images=8)
    nothing = history.snapshot(8)
    assert nothing.tiles == () and nothing.curves.shape == (0, 6) and "waiting" in figures(nothing)["SNR"][1]
    history.add(row(images, 0, true, snr_measured_db=8.5), name, 9.0)
    assert history.snapshot(8).curves[-1].tolist() == [0.0, 9.0, 8.5, 7.0, 100.0, 8.0]
    history.add(row(images, 1, ()), name, 9.0)
    now = history.snapshot(2)
    assert now.curves[-1, 4] == 50.0 and np.isnan(now.curves[-1, 2]) and (now.frames, now.lost) == (2, 1)
    assert [(tile.decoded, tile.right) for tile in now.tiles] == [("", False)] * 2
    for slot in range(2, 12):
        history.add(row(images, slot, true), name, 9.0)
    now = history.snapshot(8)
    assert now.curves[0, 0] == 5.5 - 2.0 and now.curves[-1, 4] == 100.0 and now.images_judged == 8
    tile = now.tiles[3]
    assert tile.decoded == tile.sent == images.classes[true[3]] and tile.right and tile.pixels.shape == (28, 28)


def test_wrong_and_unknown_classes(images):
    name, true = register_images(images), images.labels[INDICES].tolist()
    history = DisplayHistory(2.0, 8)
    history.add(row(images, 0, ((true[0] + 1) % 10, *true[1:3], 77)), name, 9.0)
    assert [tile.right for tile in history.snapshot(4).tiles] == [False, True, True, False]
    assert history.snapshot(4).tiles[3].decoded == "class 77"
    history.add(row(images, 1, tuple(true), true=()), name, 9.0)
    tiles = history.snapshot(4).tiles
    assert [tile.right for tile in tiles] == [None] * 4 and [tile.sent for tile in tiles] == [""] * 4


def test_carrier_errors_are_averaged_over_frames():
    history = DisplayHistory(2.0, 8)
    carriers = np.array([-1, 1], np.int32)
    history.add_symbols(np.ones(5000, np.complex64), carriers, np.array([0.1, 0.01], np.float32))
    np.testing.assert_allclose(history.snapshot(1).carrier_evm_db, [-10, -20], atol=1e-3)
    history.add_symbols(np.ones(3, np.complex64), carriers, np.array([0.1, 0.11], np.float32))
    now = history.snapshot(1)
    np.testing.assert_allclose(now.carrier_evm_db, [-10, 10 * np.log10(0.02)], atol=1e-3)
    assert len(now.symbols) == 3


def test_figures_say_what_is_not_known(images):
    history = DisplayHistory(2.0, 8, classes=("shoe", "bag"))
    nobody = {"images": (), "true": (), "snr_measured_db": 8.5}
    history.add(dataclasses.replace(row(images, 0, (1, 0)), **nobody), None, np.nan)
    now = history.snapshot(4)
    assert [(tile.pixels, tile.sent, tile.decoded, tile.right) for tile in now.tiles] == [
        (None, "", "bag", None),
        (None, "", "shoe", None),
    ]
    name = register_images(images)  # the set is known, but not which of its images this frame carried
    history.add(dataclasses.replace(row(images, 1, (1, 0)), images=(), true=()), name, np.nan)
    assert [(tile.pixels, tile.decoded) for tile in history.snapshot(4).tiles] == [
        (None, images.classes[1]),
        (None, images.classes[0]),
    ]
    shown = figures(now)
    assert shown["Right answers"][0] == "–" and shown["SNR"] == (
        "8.5 dB measured",
        "true –, used by the encoder 7.0 dB",
    )
    assert shown["Feedback age"][0] == "–" and shown["Budget"][0] == "8" and shown["Lost frames"] == ("0", "of 1")
    history.set_feedback_age(0.06)
    assert figures(history.snapshot(4))["Feedback age"][0] == "60 ms"
    history.set_feedback_age(3.21)
    assert figures(history.snapshot(4))["Feedback age"][0] == "3.2 s"


def test_widget_draws_what_arrived(application, images):
    display = SemanticDisplay(0.02, snr_db=9.0)
    blank = display.widget.grab().toImage()
    with Bench(display) as bench:
        for slot in range(3):
            meta = {"slot": slot, "sequence": slot, "snr_db": 4.0, "budget": 8, "images": register_images(images)}
            bench.post("images", meta, INDICES)
            if slot != 1:
                measured = {"measured_snr_db": 5.0, "cfo_hz": 0.0, "sro_ppm": 0.0, "start_sample": 0, "frame_len": 9}
                bench.post("results", {"kind": "data", "sequence": slot} | measured, INDICES)
            bench.post("results", tick(slot))
        seen = {"carriers": np.array([-1, 1], np.int32), "carrier_error_lin": np.array([0.1, 0.1], np.float32)}
        bench.post("constellation", {"measured_snr_db": 5.0} | seen, np.ones(4, np.complex64))
        bench.post("feedback", tick(0))  # no report yet
        bench.post("feedback", {"slot": 1, "measured_slot": 1, "snr_db": 5.0, "received": 1, "lost": 0})
        bench.post("feedback", tick(2))
        bench.post("results", {"kind": "tick"})
        bench["status"].wait_for(1)
        wait_until(lambda: len(display._snapshot().curves) == 3 and not np.isnan(display._snapshot().feedback_age_s))
        display.set_snr_db(None)
        display.widget.refresh()
    assert display.widget.grab().toImage() != blank
    now = display._snapshot()
    assert now.curves[:, 1].tolist() == [9.0] * 3 and now.lost == 1
    assert now.feedback_age_s == pytest.approx(2 * 0.02)  # measured on frame 1, slot 2 is over
    assert now.carrier_evm_db == pytest.approx([-10, -10], abs=1e-3) and len(now.symbols) == 4


def decoded(sequence, classes, start=0):
    meta = {"kind": "data", "sequence": sequence, "snr_db": 4.0, "budget": 8, "measured_snr_db": 5.0}
    return meta | {"start_sample": start, "frame_len": 9}, np.array(classes, np.int32)


def test_without_slots_frames_are_joined_by_their_number(application, images):
    true = images.labels[INDICES].tolist()
    rows = FrameRows(sample_rate_hz=1000.0)
    for sequence in range(65534, 65540):
        sent = {"sequence": sequence % 65536, "images": register_images(images)}
        assert rows.images(sent, INDICES) == []
    assert rows.result(tick(0), None) == []
    (first,) = rows.result(*decoded(65534, true, 500))
    assert first.received and first.true == first.predicted == tuple(true) and first.time_s == 0.5
    *lost, third = rows.result(*decoded(1, true, 900))  # 65535 and 0 are missing
    assert [(row.sequence, row.received, row.true) for row in lost] == [
        (65535, False, tuple(true)),
        (0, False, tuple(true)),
    ]
    assert third.slot == 3 and third.snr_measured_db == 5.0 and third.snr_used_db == 4.0
    (again,) = rows.result(*decoded(1, true))  # the sender, or the recording, starts anew
    assert again.received and again.true == ()
    (elsewhere,) = rows.result(*decoded(30000, true))
    assert elsewhere.received
    with pytest.raises(PduError, match="no predictions"):
        rows.result(decoded(2, true)[0], None)


def test_shows_a_recording_without_its_sender(application, codec):
    display = SemanticDisplay(0, codec=codec)
    with Bench(display) as bench:
        for sequence in (0, 1, 3):
            bench.post("results", *decoded(sequence, [2, 3]))
        bench.post("feedback", {"slot": 1, "measured_slot": 1, "snr_db": 5.0, "received": 1, "lost": 0})
        wait_until(lambda: display._snapshot().frames == 4 and not np.isnan(display._snapshot().feedback_age_s))
    now = display._snapshot()
    assert now.feedback_age_s >= 0  # without ticks: since it arrived
    assert now.lost == 1 and [tile.decoded for tile in now.tiles] == [codec.classes[2], codec.classes[3]]
    display.widget.refresh()


def test_settings_are_checked(application):
    with pytest.raises(UserError, match="slot_s"):
        SemanticDisplay(-1)
    with pytest.raises(UserError, match="sample_rate_hz"):
        SemanticDisplay(0, sample_rate_hz=0)
