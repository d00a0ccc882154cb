# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the ablation table: every file trains as it says, the table resumes, a label in bits obeys its bounds."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from gr_semantic.bench.label_bits import label_accuracy
from gr_semantic.paths import ROOT
from semantic_models import CodecError, ablations, load_images
from semantic_models.ablations import ROWS, quick_changes, run_ablations
from semantic_models.augmentation import Augmentation
from semantic_models.experiment_file import load_experiment, merged
from semantic_models.feature_distillation import teacher_features
from semantic_models.knowledge_store import KnowledgeStore, build_store
from semantic_models.student import Student
from semantic_models.student_training import train_student
from semantic_models.teacher import Teacher, to_unit

FOLDER = ROOT / "models" / "experiments" / "ablations"
TRAIN, VALIDATION = load_images("synthetic:160"), load_images("synthetic:40")
SMALL = {"epochs": 1, "batch": 16, "bfloat16": False}
SHARE = len(TRAIN) / 57_000


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(5)
    return Teacher(widths=(32, 64, 128)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def store(teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "teacher.store"
    build_store(path, teacher, TRAIN, 2, 5, Augmentation(), 3)
    return KnowledgeStore(path)


def train(experiment, folder, store, teacher):
    settings = experiment["student"]
    config = settings["training"] | SMALL
    if "images" in config:
        config["images"] = round(config["images"] * SHARE)
    if "first_stage" in config:
        config["first_stage"] = config["first_stage"] | {"epochs": 1}
    torch.manual_seed(0)
    student = Student((1, 28, 28), 10, max(settings["budgets"]), **settings["model"])
    return train_student(
        config,
        student,
        tuple(settings["budgets"]),
        tuple(settings["snr_range_db"]),
        TRAIN,
        VALIDATION,
        folder,
        store if isinstance(experiment.get("store"), dict) else None,
        "cpu",
        teacher if "teacher" in experiment else None,
    )


def test_each_row_has_a_file_and_each_file_is_a_row():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(ROWS)
    experiments = [load_experiment(FOLDER / f"{name}.yaml") for name in ROWS]
    assert [experiment["name"] for experiment in experiments] == list(ROWS)
    assert len({experiment["title"] for experiment in experiments}) == len(ROWS)


@pytest.mark.parametrize("name", [name for name in ROWS if name != "label-bits"])
def test_row_trains(name, tmp_path, store, teacher):
    experiment = load_experiment(FOLDER / f"{name}.yaml")
    student = train(experiment, tmp_path, store, teacher)
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert np.isfinite(line["loss"])
    assert line["lost_steps"] == 0
    assert all(torch.isfinite(value).all() for value in student.state_dict().values())


def test_frozen_trunk_stays_the_teachers(tmp_path, store, teacher):
    student = train(load_experiment(FOLDER / "teacher-at-edge.yaml"), tmp_path, store, teacher)
    for key, value in teacher.trunk.state_dict().items():
        assert torch.equal(value, student.encoder.trunk.state_dict()[key]), key


def test_first_stage_trains_the_trunk_and_is_not_done_twice(tmp_path, teacher):
    experiment = load_experiment(FOLDER / "rkd-sc-like.yaml")
    student = train(experiment, tmp_path, None, teacher)
    torch.manual_seed(0)
    fresh = Student((1, 28, 28), 10, 8, **experiment["student"]["model"])
    changed = [
        not torch.equal(a, b)
        for a, b in zip(student.encoder.trunk.parameters(), fresh.encoder.trunk.parameters(), strict=True)
    ]
    assert all(changed)
    again = train(experiment, tmp_path, None, teacher)  # done already: read from the checkpoints
    for key, value in student.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_teacher_features_are_the_last_layers_input(teacher):
    images = to_unit(TRAIN.images[:4], "cpu")
    features = teacher_features(teacher, images)
    assert torch.allclose(teacher.head[-1](features), teacher(images))


def test_first_stage_without_a_teacher_is_refused(tmp_path):
    experiment = load_experiment(FOLDER / "rkd-sc-like.yaml")
    with pytest.raises(CodecError, match="needs a teacher"):
        train({key: experiment[key] for key in ("name", "data", "student")}, tmp_path, None, None)


def test_share_of_the_images_is_all_that_is_seen(tmp_path, store, teacher):
    """With the other images painted over, a quarter's training gives the same weights."""
    experiment = load_experiment(FOLDER / "labels-only-25-percent.yaml")
    used = round(14_250 * SHARE)
    before = train(experiment, tmp_path / "a", None, None)
    images = TRAIN.images.copy()
    try:
        TRAIN.images[used:] = 0
        after = train(experiment, tmp_path / "b", None, None)
    finally:
        TRAIN.images[:] = images
    for key, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[key]), key


def test_quick_schedule_keeps_shares_and_steps():
    steps = {}
    for name in ROWS:
        experiment = load_experiment(FOLDER / f"{name}.yaml")
        training = merged(experiment, quick_changes(experiment))["student"]["training"]
        epochs = training["epochs"] + training.get("first_stage", {}).get("epochs", 0)
        steps[name] = training["images"] * training.get("passes", 1) * epochs
    assert set(steps.values()) == {ablations.QUICK_IMAGES * ablations.QUICK_EPOCHS}


def small_rows(folder, monkeypatch):
    """The real files over a base of small networks and data; only two rows."""
    monkeypatch.setattr(ablations, "ROWS", ("full", "label-bits"))
    monkeypatch.setattr(ablations, "SNR_DB", (0.0, 10.0))
    (folder / "ablations").mkdir()
    for name in ("full", "label-bits"):
        shutil.copy(FOLDER / f"{name}.yaml", folder / "ablations")
    base = load_experiment(FOLDER.parent / "fashion-mnist.yaml")
    small = {"widths": [4, 8, 8]}
    changes = {
        "data": {"train": "synthetic:160", "validation": "synthetic:40", "test": "synthetic:60"},
        "teacher": {"training": SMALL | {"model": small}},
        "student": {"budgets": [4, 8], "model": small, "training": SMALL},
    }
    (folder / "fashion-mnist.yaml").write_text(yaml.safe_dump(merged(base, changes)))
    return folder / "ablations"


def test_table_resumes_and_follows_its_files(tmp_path, monkeypatch):
    folder = small_rows(tmp_path, monkeypatch)
    calls = []

    def label_code(*arguments):
        calls.append(arguments[2:5])
        return label_accuracy(*arguments)

    def run(**options):
        return run_ablations(folder, tmp_path / "out", tmp_path / "work", tmp_path / "know", label_code, **options)

    rows = run()
    assert [row["name"] for row in rows] == ["full", "label-bits"]
    assert len(calls) == 8  # two channels, two SNRs, two budgets
    assert rows[1]["parameters"]["receiver"] == 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count("\n") == 6  # a title and four lines
    assert f"{100 * rows[0]['clean_accuracy']:.2f}" in table
    assert run() == rows
    assert len(calls) == 8
    label_file = folder / "label-bits.yaml"
    label_file.write_text(label_file.read_text() + "student: {margin: 0.02}\n")
    run()
    assert len(calls) == 16


def test_labels_in_bits_reach_their_bounds():
    """No error far above the code's threshold, chance far below it; more energy never hurts."""
    truth = np.random.default_rng(0).integers(0, 10, 480)
    assert label_accuracy(truth, truth, 8, 10.0) == 1.0
    assert label_accuracy(truth, truth, 4, 10.0) == 1.0  # punctured
    assert label_accuracy(truth, truth, 8, -20.0) < 0.2
    curve = [label_accuracy(truth, truth, 8, snr_db) for snr_db in (-8.0, -4.0, -2.0, 0.0)]
    assert curve == sorted(curve)
    assert curve[-1] > 0.97
    wrong = (truth + 1) % 10
    assert label_accuracy(wrong, truth, 8, 10.0) == 0.0  # the student's own mistakes stay
    assert label_accuracy(truth, truth, 8, 10.0, "rayleigh") < 1.0
