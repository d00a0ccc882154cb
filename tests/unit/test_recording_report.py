# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: pictures, page and numbers, for every shape that a run can have."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from link_rows import make_rows
from PIL import Image

from gr_semantic.link.config import LoopConfig
from gr_semantic.link.summary import summarize
from gr_semantic.recording.page import PICTURES, render_page
from gr_semantic.recording.plots import Shown, pick_images, plot_images
from gr_semantic.recording.report import open_run_folder, write_report
from gr_semantic.recording.run_folder import make_manifest
from gr_semantic.recording.symbol_sample import SymbolSample

CODEC = SimpleNamespace(
    budgets=(4, 8, 16, 32),
    clean_accuracy=0.9,
    reference_accuracy=lambda snr_db, budget: 0.5 + snr_db / 100,
)
FILES = {"frames.csv", "summary.json", "manifest.json", *PICTURES}


def image_set(channels=1):
    images = np.random.default_rng(0).integers(0, 256, (64, channels, 28, 28), dtype=np.uint8)
    return SimpleNamespace(images=images, classes=tuple(f"class {number}" for number in range(10)))


def sample(count=3000):
    symbols, rng = SymbolSample(), np.random.default_rng(0)
    for snr_db in range(-4, 24, 3):
        symbols.add(snr_db, rng.normal(size=(count, 2)) @ [1, 1j])
    return symbols


def report(path, rows, status="complete", images=None, symbols=None):
    config = LoopConfig(seconds=3)
    folder = open_run_folder(path, config, {})
    return write_report(folder, status, config, {}, rows, CODEC, images or image_set(), symbols or sample())


def page(rows, status="complete", feedback=True):
    """The page's HTML and the summary in it, without drawing."""
    config = LoopConfig(seconds=3, feedback=feedback)
    summary = summarize(rows, CODEC.reference_accuracy, config.drop_s, feedback)
    manifest = make_manifest(status, config.model_dump(mode="json"), {"model_id": "ab<c>"})
    return render_page(manifest, summary, CODEC.clean_accuracy), summary


@pytest.mark.parametrize(
    ("rows", "images"),
    [
        (make_rows(150), image_set()),
        (make_rows(60, labelled=False), image_set()),
        (make_rows(60), image_set(channels=3)),
        (make_rows(1), image_set()),
        (make_rows(5, lost_every=1), image_set()),
        ([], image_set()),
    ],
    ids=["usual", "unlabelled", "colour", "one frame", "all lost", "none"],
)
def test_every_run_has_a_whole_report(tmp_path, rows, images):
    symbols = sample() if any(row.received for row in rows) else SymbolSample()
    report(tmp_path, rows, images=images, symbols=symbols)
    pictures = re.findall(r'<img src="([^"]+)"', (tmp_path / "index.html").read_text())
    assert pictures == ["snr_budget.png", "accuracy.png", "constellation.png", "images.png"]
    for name in pictures:
        with Image.open(tmp_path / name) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert picture.width > 1100
    assert json.loads((tmp_path / "summary.json").read_text())["frames_sent"] == len(rows)
    assert json.loads((tmp_path / "manifest.json").read_text())["status"] == "complete"
    assert not list(tmp_path.glob(".*.part"))


def test_page_needs_nothing_but_its_folder_and_escapes_what_it_shows():
    html, _ = page(make_rows(100))
    assert "://" not in html
    assert "<script" not in html
    assert "ab&lt;c&gt;" in html
    assert set(re.findall(r'(?:src|href)="([^"]+)"', html)) == FILES


def test_page_shows_the_numbers_of_the_summary():
    html, summary = page(make_rows(140))
    assert f"{100 * summary['accuracy']:.1f} %" in html
    assert f"{summary['frames_received']} / {summary['frames_sent']}" in html
    assert summary["frames_received"] == 120
    for entry in summary["accuracy_by_snr"]:
        assert f"{entry['snr_db']:+.0f} dB" in html


@pytest.mark.parametrize(("status", "said"), [("interrupted", True), ("failed", True), ("complete", False)])
def test_a_run_that_did_not_finish_says_so(status, said):
    html, _ = page(make_rows(20), status)
    assert ("after 20 frames; this page shows what was gathered until then" in html) == said


def test_page_says_whether_the_loop_was_closed():
    assert "without feedback" in page(make_rows(20), feedback=False)[0]
    assert "without feedback" not in page(make_rows(20))[0]


def test_manifest_holds_the_trajectory_and_makes_the_same_config_again(tmp_path):
    config = LoopConfig(seconds=3, seed=5)
    open_run_folder(tmp_path, config, {})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["status"] == "running"
    again = LoopConfig(**manifest["config"])
    assert again.snr_trajectory == config.snr_trajectory
    assert again.seed == 5


def test_symbol_sample_is_bounded_and_spread():
    symbols = sample(count=3000)
    panels = symbols.spread(4)
    assert [snr_db for snr_db, _ in panels] == [-4, 6, 14, 24]
    assert all(len(values) == 2000 for _, values in panels)
    assert SymbolSample().spread(4) == []


def test_pictures_of_images_come_from_received_frames_over_the_whole_run():
    rows = make_rows(200)
    shown = pick_images(rows, image_set(), count=30)
    assert len(shown) == 30
    assert shown[0].snr_db == rows[0].snr_true_db
    assert all(picture.true is not None for picture in shown)
    assert pick_images(make_rows(20, labelled=False), image_set())[0].true is None


def test_a_wrong_class_is_marked_by_more_than_colour(tmp_path):
    """Even in grey, the picture of a wrong one differs at its border from that of a right one."""
    grey = {}
    for name, predicted in (("right", "Bag"), ("wrong", "Coat")):
        plot_images(tmp_path / name, [Shown(np.zeros((28, 28), np.uint8), 3.0, predicted, "Bag")], columns=1)
        with Image.open(tmp_path / name) as picture:
            grey[name] = np.asarray(picture.convert("L").resize((300, 40)), float)
    assert np.abs(grey["right"] - grey["wrong"]).mean() > 1
