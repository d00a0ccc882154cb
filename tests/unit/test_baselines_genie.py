# SPDX-License-Identifier: GPL-3.0-or-later
"""The genie never does worse than any mode, the bars say what they should, and the command keeps its points."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gr_semantic.baselines.bars import breakdown_db, sentence, verdicts
from gr_semantic.baselines.compare import compare
from gr_semantic.baselines.config import BaselinesConfig
from gr_semantic.baselines.genie import (
    CRC_BITS,
    MOST_WORDS,
    PROFILE_BITS,
    best,
    options,
    picture_content,
    step_content,
    uses_needed,
)
from gr_semantic.baselines.modes import label_modes, message_modes
from gr_semantic.baselines.points import Point, measure_points
from gr_semantic.baselines.teacher import teacher_of
from gr_semantic.cli.main import main
from gr_semantic.errors import UserError
from semantic_models import load_images
from semantic_models.checkpoint import write_tensors
from semantic_models.teacher import Teacher
from semantic_models.testing import tiny_codec

GUESS = 0.1
CONTENT = step_content([(16, 0.3), (64, 0.7), (128, 0.6), (400, 0.95)], GUESS)


def shares(modes, seed=0):
    return np.random.default_rng(seed).random(len(modes))


def test_content_is_the_best_that_fits():
    assert CONTENT(np.array([0, 15, 16, 64, 128, 399, 400, 9999])).tolist() == [
        0.1,
        0.1,
        0.3,
        0.7,
        0.7,
        0.7,
        0.95,
        0.95,
    ]


@pytest.mark.parametrize("together", [False, True])
def test_genie_is_never_worse_than_a_mode(together):
    modes = message_modes()
    arrived = shares(modes)
    ways = options(modes, arrived, together)
    accuracy = ways.accuracy(CONTENT, GUESS)
    for uses in (4, 33, 256, 2000):
        pick = best(ways, modes, accuracy, uses, GUESS)
        assert pick.uses <= uses and pick.accuracy >= GUESS
        for mode, share in zip(modes, arrived, strict=True):
            if mode.channel_uses <= uses:
                alone = share * CONTENT(np.array([mode.info_bits]))[0] + (1 - share) * GUESS
                assert pick.accuracy >= alone - 1e-12


def test_more_channel_uses_never_hurt():
    modes = message_modes()
    ways = options(modes, shares(modes, 1), False)
    accuracy = ways.accuracy(CONTENT, GUESS)
    curve = [best(ways, modes, accuracy, uses, GUESS).accuracy for uses in range(1, 600, 13)]
    assert np.all(np.diff(curve) >= 0)


def test_words_of_a_message_multiply_or_stand_together():
    modes = [mode for mode in message_modes() if mode.length == 1024][:1]
    alone, fade = (options(modes, [0.9], together) for together in (False, True))
    assert alone.arrives.tolist() == pytest.approx([0.9**count for count in range(1, MOST_WORDS + 1)])
    assert set(fade.arrives.tolist()) == {0.9}
    assert alone.bits.tolist() == [modes[0].info_bits * count for count in range(1, MOST_WORDS + 1)]
    assert alone.uses.tolist() == [modes[0].channel_uses * count for count in range(1, MOST_WORDS + 1)]


def test_uses_needed_is_the_first_budget_with_which_best_reaches_it():
    modes = message_modes()
    ways = options(modes, np.ones(len(modes)), False)
    accuracy = ways.accuracy(CONTENT, GUESS)
    needed = uses_needed(ways, accuracy, 0.9)
    assert best(ways, modes, accuracy, needed, GUESS).accuracy >= 0.9
    assert best(ways, modes, accuracy, needed - 1, GUESS).accuracy < 0.9
    assert uses_needed(ways, accuracy, 0.99) is None


def test_a_label_is_one_word():
    modes = label_modes(4)
    assert options(modes, np.ones(len(modes)), False, one_word=True).words.tolist() == [1] * len(modes)


def test_pictures_take_the_least_error_that_fits():
    sizes = np.array([[4, 10], [8, 20], [2, 3]])
    errors = np.array([[5.0, 5.0], [1.0, 1.0], [9.0, 9.0]])
    right = np.array([[False, True], [True, True], [True, False]])
    content = picture_content(sizes, right, errors, [[0, 1, 2]], GUESS)
    overhead = CRC_BITS + PROFILE_BITS
    at = [content(np.array([overhead + 8 * size]))[0] for size in (0, 2, 3, 4, 8, 10, 20)]
    # 2: image 0 fits, right. 3: both, the second one wrong. 4: the first one's better picture is wrong, but what
    # fewer bytes reached stays open. 8: right, wrong. 10, 20: both right.
    assert at == pytest.approx([0.1, (1 + GUESS) / 2, (1 + GUESS) / 2, (1 + GUESS) / 2, (1 + GUESS) / 2, 1.0, 1.0])
    assert content(np.array([overhead + 8 * 4 - 1]))[0] == at[2]  # a byte that does not fit as a whole
    assert content(np.array([overhead - 1]))[0] == GUESS


def made_up(ours, pixels, pixel_uses):
    """A summary of one channel: accuracies at 0, 10 and 20 dB."""
    at_bar = {"pixels": {"uses": pixel_uses, "accuracy": pixels}} if pixel_uses else {}
    needed = next((int(budget) for budget, row in ours.items() if row[1] >= 0.9), None)
    limit = {"4": [0.85, 0.94, 0.94], "8": [0.93, 0.94, 0.94]}
    curves = {"ours": ours, "limit": limit, "at_bar": at_bar, "found": [0.9, 1.0, 1.0]}
    curves["needed"] = {"ours": [None, needed, needed]}
    return {"snr_db": [0.0, 10.0, 20.0], "target": 0.9, "bar_snr_db": 10.0, "channels": {"awgn": curves}}


def test_bars_met_and_missed():
    good = {"4": [0.8, 0.93, 0.93], "8": [0.92, 0.93, 0.93]}
    line = verdicts(made_up(good, [0.1, 0.9, 0.93], 160))[0]
    assert line["uses_bar_met"] and line["ratio"] == 40 and line["our_budget"] == 8
    assert line["breaks_at_db"] == 10.0 and line["our_accuracy"] == pytest.approx(0.92) and line["fade_bar_met"]
    assert "NOT MET" not in sentence(line)
    line = verdicts(made_up(good, [0.1, 0.9, 0.93], 159))[0]
    assert line["our_budget"] == 4 and line["fade_bar_met"] is False
    assert sentence(line).endswith(
        "NOT MET (no code of 4 uses surpasses 85.0 % there, and 90 % of the frames are found)"
    )
    line = verdicts(made_up(good, [0.1, 0.9, 0.93], 79))[0]
    assert not line["uses_bar_met"] and line["fade_bar_met"] is False
    line = verdicts(made_up({"4": [0.1, 0.5, 0.5]}, [0.1, 0.9, 0.93], 160))[0]
    assert not line["uses_bar_met"] and line["our_uses"] is None and "NOT MET" in sentence(line)
    line = verdicts(made_up(good, [0.1, 0.5, 0.93], None))[0]
    assert line["uses_bar_met"] and line["pixel_uses"] is None and "ours needs 4: met" in sentence(line)
    line = verdicts(made_up({"4": [0.1, 0.5, 0.5]}, [0.1, 0.5, 0.93], None))[0]
    assert not line["uses_bar_met"] and sentence(line).endswith("NOT MET")
    assert verdicts(made_up(good, [0.1, 0.9, 0.93], 160) | {"bar_snr_db": 5.0}) == []


def test_breakdown_is_where_a_curve_falls_below_the_target():
    assert breakdown_db([0.0, 10.0, 20.0], [0.5, 0.9, 0.95], 0.9) == 10.0
    assert breakdown_db([0.0, 10.0, 20.0], [0.8, 1.0, 0.95], 0.9) == pytest.approx(5.0)
    assert breakdown_db([0.0, 10.0], [0.95, 0.95], 0.9) == 0.0


def test_points_are_kept_and_not_measured_again(tmp_path):
    calls, told = [], []

    def point(number):
        return Point("number", {"number": number}, lambda: calls.append(number) or {"square": number**2})

    def stop(kind, done, total):
        told.append((kind, done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_points(tmp_path, [point(k) for k in range(4)], stop)
    results = measure_points(tmp_path, [point(k) for k in range(4)], lambda *_: None)
    assert results == [{"square": k**2} for k in range(4)] and calls == [0, 1, 2, 3] and told[0] == ("", 0, 4)
    broken = next(tmp_path.glob("number-*.json"))
    broken.write_text("{")
    assert measure_points(tmp_path, [point(k) for k in range(4)], lambda *_: None) == results and len(calls) == 5


@pytest.fixture
def material(tmp_path, monkeypatch):
    """A codec, its teacher and what a small comparison of them takes; random weights."""
    codec = tiny_codec(tmp_path / "tiny", budgets=(4, 8))
    teacher = Teacher(widths=(4, 4, 4))
    write_tensors(tmp_path / "teacher.safetensors", teacher.state_dict(), {"model": teacher.config})
    monkeypatch.setattr("gr_semantic.baselines.pictures.QUALITIES", (0, 40))
    monkeypatch.setattr("gr_semantic.baselines.compare.FIT_IMAGES", 40)
    lengths = (16, 256)
    monkeypatch.setattr("gr_semantic.baselines.modes.LENGTHS", lengths)
    return {"codec": str(codec), "images": "fashion-mnist:test[0:8]", "teacher": str(tmp_path / "teacher.safetensors")}


def test_a_comparison_from_end_to_end(material, tmp_path, monkeypatch):
    """The command writes its three files; the second call measures nothing; the curves are those of the points."""
    arguments = ["baselines", material["codec"], "-o", str(tmp_path / "out"), "--images", material["images"]]
    arguments += ["--teacher", material["teacher"], "--channel", "awgn", "--snr-db", "0", "--snr-db", "10"]
    arguments += ["--words", "2", "--json"]
    picture_codec = tiny_codec(tmp_path / "pictures", seed=1, budgets=(8, 16))  # any codec can stand in its place
    arguments += ["--picture-codec", str(picture_codec), "--picture-codec-images", "4"]
    result = CliRunner(mix_stderr=False).invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"points", "tiny.json", "tiny.md", "tiny.png"}
    assert json.loads((tmp_path / "out" / "tiny.json").read_text()) == summary
    curves = summary["channels"]["awgn"]
    for name in ("pixels", "pixels, smaller too", "features", "label"):
        rows = np.array(list(curves[name].values()))
        assert rows.shape == (9, 2) and (rows >= summary["guess"]).all() and (rows <= 1).all()
        assert (np.diff(rows, axis=0) >= 0).all()  # more channel uses
    assert (np.array(curves["pixels, smaller too"]["1024"]) >= np.array(curves["pixels"]["1024"])).all()
    assert len(curves["found"]) == 2 and 0.5 < curves["found"][1] <= 1
    assert set(curves["deepjscc"]) == {"8", "16"} and summary["picture_codec_images"] == 4
    assert set(curves["ours"]) == {"4", "8"} and len(summary["verdicts"]) == 2

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr("gr_semantic.baselines.compare.word_arrivals", never)
    monkeypatch.setattr("gr_semantic.baselines.compare.codec_accuracy", never)
    again = CliRunner(mix_stderr=False).invoke(main, arguments)
    assert again.exit_code == 0 and json.loads(again.stdout)["channels"] == summary["channels"]


def test_wrong_input_is_one_line(material, tmp_path):
    with pytest.raises(UserError, match="channel 'mars' is unknown"):
        BaselinesConfig(**material, channels=("mars",))
    no_labels = tmp_path / "folder"
    no_labels.mkdir()
    Image.fromarray(load_images("fashion-mnist:test[0:1]").images[0, 0]).save(no_labels / "a.png")
    with pytest.raises(UserError, match="no labels"):
        compare(BaselinesConfig(**material | {"images": str(no_labels)}), tmp_path)
    with pytest.raises(UserError, match="store build fashion-mnist"):
        teacher_of("fashion-mnist", tmp_path)
    with pytest.raises(UserError, match="give --teacher"):
        teacher_of("tiny", tmp_path)
    assert teacher_of("cifar10", tmp_path) == "cifar10-resnet-ensemble"
