# SPDX-License-Identifier: GPL-3.0-or-later
"""Split by effort: encoders stay within their MACs, a receiver may do most of the work, and the front is the front."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gr_semantic.cli.distill import experiment_file
from gr_semantic.cli.main import main
from gr_semantic.paths import ROOT
from semantic_models import SemanticCodec, load_images
from semantic_models.codec_folder import CodecConfig, save_codec
from semantic_models.evaluate import count_macs
from semantic_models.experiment_file import load_experiment
from semantic_models.pareto import pareto_rows, pareto_table
from semantic_models.student import Student
from semantic_models.testing import tiny_codec

EXPERIMENTS = ROOT / "models" / "experiments"
EDGES = sorted((EXPERIMENTS / "edge").glob("*.yaml")) + sorted((EXPERIMENTS / "reduced").glob("*edge*.yaml"))
MORE = sorted((EXPERIMENTS / "embedding").glob("*.yaml")) + sorted((EXPERIMENTS / "reduced").glob("*.yaml"))
MAP = {"side": 4, "width": 8, "blocks": 2}


def student_of(experiment):
    data, settings = experiment["data"]["train"], experiment["student"]
    shape = (1, 28, 28) if data.startswith("fashion-mnist") else (3, 32, 32)
    return Student(shape, 100 if "cifar100" in data else 10, max(settings["budgets"]), **settings["model"]), shape


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("path", EDGES, ids=lambda path: path.stem)
def test_encoders_stay_within_the_effort_that_they_are_named_for(path):
    experiment = load_experiment(path)
    assert experiment["name"] == path.stem
    allowed = 1e6 * int(path.stem.removesuffix("-small-receiver").rpartition("-")[2])
    macs = count_macs(*student_of(experiment))
    assert 0.8 * allowed < macs["edge"] <= allowed


@pytest.mark.parametrize("path", MORE, ids=lambda path: path.stem)
def test_embedding_experiments_ask_for_what_the_store_keeps(path):
    experiment = load_experiment(path)
    assert experiment["name"] == path.stem
    student, _ = student_of(experiment)
    weight = experiment["student"]["training"].get("embedding_weight", 0)
    assert bool(weight) == bool(student.embedding)
    assert student.embedding in (0, experiment["store"]["features"]["width"])


def test_held_out_classes_are_in_no_part_of_the_data():
    for path, held_out in (("embedding/cifar10-held-out", {1, 3, 5, 9}), ("reduced/fashion-mnist-12k-held-out", None)):
        experiment = load_experiment(experiment_file(ROOT / "models" / "experiments" / f"{path}.yaml"))
        trained = {spec.partition("{")[2] for spec in experiment["data"].values()}
        assert len(trained) == 1  # the same classes in every part
        numbers = {int(number) for number in trained.pop().rstrip("}").split(",")}
        assert numbers == set(range(10)) - (held_out or {2, 4, 5, 6, 7, 9})
        assert experiment["store"]["kept"] <= len(numbers)


def test_experiments_in_folders_have_short_names(tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    assert experiment_file(Path("edge/cifar10-edge-2")) == EXPERIMENTS / "edge" / "cifar10-edge-2.yaml"
    assert experiment_file(Path("edge/none")) == Path("edge/none")


@pytest.fixture
def map_codec(tmp_path):
    snr_db = (-10.0, 24.0)
    config = CodecConfig(
        name="map",
        image_shape=(1, 28, 28),
        classes=tuple(f"class {index}" for index in range(10)),
        budgets=(4, 32),
        snr_range_db=(-6.0, 24.0),
        model={"widths": [4, 8, 8], "phi_hidden": 16, "decoder_hidden": MAP},
        margin=0.01,
        images=100,
        clean_accuracy=0.5,
        snr_db=snr_db,
        accuracy={4: (0.1, 0.4), 32: (0.2, 0.5)},
    )
    torch.manual_seed(0)
    save_codec(tmp_path / "map", config, config.build())
    return tmp_path / "map"


def test_map_receiver_gives_the_same_bits_in_any_batch_and_sees_what_was_not_sent(map_codec):
    codec = SemanticCodec.load(map_codec, "cpu")
    symbols = codec.encode(load_images("synthetic:21").images, 5.0, 32)
    logits = codec.decode(symbols, np.float32(0.2))
    alone = np.concatenate([codec.decode(row[None], np.float32(0.2)) for row in symbols])
    assert np.array_equal(logits, alone)
    missing = np.concatenate([np.full((21, 4), 0.2), np.full((21, 28), 1e12)], 1).astype(np.float32)
    zeros = np.concatenate([symbols[:, :4], np.zeros((21, 28), np.complex64)], 1)
    assert np.allclose(codec.decode(symbols[:, :4], np.float32(0.2)), codec.decode(zeros, missing), atol=1e-5)


def test_map_receivers_work_is_counted(map_codec):
    """Linear layer to the map, two blocks of two convolutions, linear layer to the classes."""
    macs = count_macs(SemanticCodec.load(map_codec, "cpu").model, (1, 28, 28))
    assert macs["receiver"] == 96 * 8 * 16 + 2 * 2 * 16 * 9 * 8 * 8 + 8 * 10


class _Codec:
    """Of a codec, what pareto_rows asks."""

    def __init__(self, name, widths, accuracies):
        self.name, self.image_shape, self.budgets = name, (1, 28, 28), (4, 8)
        self.model = Student((1, 28, 28), 10, 8, widths=widths)
        self.accuracies = dict(zip(self.budgets, accuracies, strict=True))

    def reference_accuracy(self, snr_db, budget):
        return self.accuracies[budget]


def test_front_holds_what_nothing_beats():
    """Small: 0.80 at 4, 0.90 at 8. Large: 0.85 at 4 (more effort, better), 0.90 at 8 (more effort, no better)."""
    rows = pareto_rows([_Codec("small", (4, 8, 8), (0.8, 0.9)), _Codec("large", (8, 16, 16), (0.85, 0.9))], 10.0)
    assert {(row["codec"], row["budget"]): row["front"] for row in rows} == {
        ("small", 4): True,
        ("small", 8): True,
        ("large", 4): True,
        ("large", 8): False,
    }
    lines = pareto_table(rows).splitlines()
    assert len(lines) == 2 + 4
    assert "**80.00**" in lines[2] and "| 90.00 |" in lines[5]


def invoke(*arguments):
    return CliRunner(mix_stderr=False).invoke(main, [str(argument) for argument in arguments])


def test_command_makes_table_figure_and_json(map_codec, tmp_path):
    tiny_codec(tmp_path / "tiny")
    options = ("--snr-db", "0", "--snr-db", "24", "--figure", tmp_path / "p.png")
    machine = invoke("pareto", map_codec, tmp_path / "tiny", *options, "--json")
    assert machine.exit_code == 0, machine.stderr
    rows = json.loads(machine.stdout)
    assert len(rows) == 2 * (2 + 4)
    found = {(row["codec"], row["budget"], row["snr_db"]): row["accuracy"] for row in rows}
    assert found["map", 4, 0.0] == pytest.approx(0.1 + 0.3 * 10 / 34)
    assert found["map", 32, 24.0] == 0.5
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "| map |" in invoke("pareto", map_codec).stdout


def test_codecs_of_other_images_are_refused(map_codec, tmp_path):
    tiny_codec(tmp_path / "colour", image_shape=(3, 32, 32))
    result = invoke("pareto", map_codec, tmp_path / "colour")
    assert result.exit_code == 2
    assert "cannot be compared" in result.stderr and result.stderr.count("\n") == 1
