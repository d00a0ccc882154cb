# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic bench store`: who is asked in which kind of epoch. Times themselves are not tested."""

import json

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from test_learning_training import CONFIG, EXPERIMENT

from gr_semantic.cli.main import main
from semantic_models import CodecError, store_speed
from semantic_models.store_speed import MODES, SampleFiles, epoch_costs
from semantic_models.teacher import Teacher


def test_only_the_online_epochs_ask_the_teacher(monkeypatch):
    torch.set_num_threads(1)
    asked = []

    class Counting(Teacher):
        def forward(self, images):
            asked.append(len(images))
            return super().forward(images)

    monkeypatch.setattr(store_speed, "_teacher", lambda *_: Counting(widths=(4, 8, 8)).eval())
    images, repeats = 60, 2
    result = epoch_costs(EXPERIMENT, images, repeats, "cpu")
    steps = images // CONFIG["batch"]
    assert asked == [images] + [CONFIG["batch"]] * steps * (repeats + 1)  # the store once, then one mode of four
    assert result["clock"] == "processor"
    assert {mode: len(times) for mode, times in result["seconds"].items()} == dict.fromkeys(MODES, repeats)
    seconds = {mode: np.array(times) for mode, times in result["seconds"].items()}
    assert result["store_over_labels"] == pytest.approx(np.median(seconds["store"] / seconds["labels"]))
    assert result["online_over_store"] == pytest.approx(np.median(seconds["online"] / seconds["store"]))
    assert result["files_over_store"] > 0 and result["loader_files_over_store"] > 0
    too_few = dict.fromkeys(("store_over_labels", "files_over_store", "online_over_store"))
    assert result["ci95"] == too_few


def test_the_interval_of_a_median_holds_it_as_often_as_it_says():
    values = np.random.default_rng(3).permutation(17.0 * np.arange(1, 18))
    assert store_speed._median_interval(values) == [85.0, 221.0]  # 5th to 13th: 95.1 % by the binomial distribution
    assert store_speed._median_interval(values[:6]) == [min(values[:6]), max(values[:6])]  # 96.9 %
    assert store_speed._median_interval(values[:5]) is None
    draw = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        low, high = store_speed._median_interval(draw.exponential(size=17))
        held += low <= np.log(2) <= high
    assert 0.92 < held / 400 < 0.99


def test_sample_files_hold_what_the_store_holds(tmp_path):
    records = np.array([(7, [1, 2]), (8, [3, 4]), (9, [5, 6])], [("seed", "<u4"), ("index", "u1", 2)])
    files, chosen = SampleFiles(tmp_path / "files", records), np.array([2, 0, 2])
    assert np.array_equal(files[chosen], records[chosen]) and len(list((tmp_path / "files").iterdir())) == 3


@pytest.mark.parametrize("images", [5, 401])
def test_number_of_images_is_checked(images):
    with pytest.raises(CodecError, match="a batch to all 400"):
        epoch_costs(EXPERIMENT, images, 1, "cpu")


def test_command_prints_json_for_each_experiment(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    arguments = ["bench", "store", str(path), "--images", "40", "--repeats", "1", "--device", "cpu", "--json"]
    done = CliRunner(mix_stderr=False).invoke(main, arguments)
    assert done.exit_code == 0, done.output
    (result,) = json.loads(done.stdout)
    assert result["experiment"] == "small"
    assert result["images"] == 40


def test_experiment_without_teacher_is_refused():
    with pytest.raises(CodecError, match="has no teacher"):
        epoch_costs({key: EXPERIMENT[key] for key in ("name", "data", "student")}, 40, 1, "cpu")
