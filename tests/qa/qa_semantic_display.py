# SPDX-License-Identifier: GPL-3.0-or-later
import os
import sys

import numpy as np
import pytest
from bench import Bench, wait_until

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from PyQt5.QtWidgets import QApplication

from gr_semantic.blocks.display_history import DisplayHistory
from gr_semantic.blocks.image_sets import register_images
from gr_semantic.blocks.pdu import tick
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
    assert history.tiles(8) == [] and history.curves().shape == (0, 6) and "waiting" in history.summary()
    history.add(row(images, 0, true, snr_measured_db=8.5), name, 9.0)
    assert history.curves()[-1].tolist() == [0.0, 9.0, 8.5, 7.0, 100.0, 8.0]
    history.add(row(images, 1, ()), name, 9.0)
    assert history.curves()[-1, 4] == 50.0 and np.isnan(history.curves()[-1, 2])
    assert [(tile.text, tile.right) for tile in history.tiles(2)] == [("lost", False)] * 2
    for slot in range(2, 12):
        history.add(row(images, slot, true), name, 9.0)
    curves = history.curves()
    assert curves[0, 0] == 5.5 - 2.0 and curves[-1, 4] == 100.0
    tile = history.tiles(8)[3]
    assert tile.text == images.classes[true[3]] and tile.right and tile.pixels.shape == (28, 28)


def test_wrong_and_unknown_classes(images):
    name, true = register_images(images), images.labels[INDICES].tolist()
    history = DisplayHistory(2.0, 8)
    history.add(row(images, 0, ((true[0] + 1) % 10, *true[1:3], 77)), name, 9.0)
    assert [tile.right for tile in history.tiles(4)] == [False, True, True, False]
    assert history.tiles(4)[3].text == "class 77"
    history.add(row(images, 1, tuple(true), true=()), name, 9.0)
    assert [tile.right for tile in history.tiles(4)] == [None] * 4


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
        bench.post("results", {"kind": "tick"})
        bench["status"].wait_for(1)
        wait_until(lambda: len(display._history.curves()) == 3)
        display.set_snr_db(None)
        display.widget.refresh()
    assert display.widget.grab().toImage() != blank
    assert display._history.curves()[:, 1].tolist() == [9.0] * 3


def test_settings_are_checked(application):
    with pytest.raises(UserError, match="slot_s"):
        SemanticDisplay(0)
