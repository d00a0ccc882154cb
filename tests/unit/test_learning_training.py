# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment end to end on a small synthetic set: it learns, resumes bit for bit, and stops at NaN."""

import json

import pytest
import torch
import yaml
from learning_settings import EXPERIMENT, MODEL, TRAINING

from semantic_models import CodecError, SemanticCodec, load_images
from semantic_models import student_training as module
from semantic_models.checkpoint import read_tensors
from semantic_models.distill import distill, load_experiment
from semantic_models.student import Encoder, Student
from semantic_models.student_training import train_student
from semantic_models.training import Log, one_cycle

TRAIN, VALIDATION = load_images("synthetic:400"), load_images("synthetic:100")
BUDGETS, RANGE_DB = (4, 8), (-6.0, 24.0)
CONFIG = TRAINING | {"epochs": 3}
EXPERIMENT = EXPERIMENT | {"student": EXPERIMENT["student"] | {"training": CONFIG}}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def train(folder, config=CONFIG, **changes):
    torch.manual_seed(0)
    student = Student((1, 28, 28), 10, max(BUDGETS), **MODEL)
    settings = {"train": TRAIN, "validation": VALIDATION} | changes
    return train_student(config, student, BUDGETS, RANGE_DB, folder=folder, **settings)


def test_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")

    class DyingLog(Log):
        def __call__(self, **fields):
            super().__call__(**fields)
            if fields["epoch"] == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(module, "Log", DyingLog)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed")
    monkeypatch.undo()
    resumed = train(tmp_path / "killed")
    lines = (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_existing_experiments_train_as_they_did(tmp_path):
    """Checkpoints made before options were added resume, and the numbers drawn are the same: signature and losses of a
    run with an earlier version (losses to what machines differ in rounding)."""
    train(tmp_path, CONFIG | {"epochs": 2})
    _, metadata = read_tensors(tmp_path / "checkpoint.safetensors")
    assert metadata["config"] == "43869f6e462f8a422c7f2952f928f98dd8f3de316c0fdd9fb2632c81217261a3"
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert losses == pytest.approx([2.3103456, 2.2572832], abs=1e-3)


def test_checkpoint_of_other_settings_is_refused(tmp_path):
    train(tmp_path, CONFIG | {"epochs": 1})
    with pytest.raises(CodecError, match="another configuration"):
        train(tmp_path, CONFIG | {"epochs": 1, "seed": 9})


def test_first_epochs_on_small_images(tmp_path, monkeypatch):
    """Half of three epochs: two on 20 x 20 pixels that are the views scaled down, the last on whole ones."""
    seen, forward = [], Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, images: seen.append(images) or forward(self, images))
    train(tmp_path / "whole", CONFIG | {"epochs": 1})
    train(tmp_path / "small", CONFIG | {"small_images": {"side": 20, "share": 0.5}})
    whole, *small = [images for images in seen if len(images) == CONFIG["batch"]][:: len(TRAIN) // CONFIG["batch"]]
    assert [images.shape[-1] for images in small] == [20, 20, 28]
    assert torch.allclose(small[0].mean((2, 3)), whole.mean((2, 3)), atol=0.02)


def test_training_that_diverges_stops_with_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "task_and_distillation", lambda logits, *_: logits.sum() * float("nan"))
    with pytest.raises(CodecError, match="lower learning_rate"):
        train(tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_one_bad_step_is_left_out(tmp_path, monkeypatch):
    calls = []
    real = module.task_and_distillation

    def sometimes(*arguments):
        calls.append(None)
        return real(*arguments) * (float("inf") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(module, "task_and_distillation", sometimes)
    student = train(tmp_path, CONFIG | {"epochs": 1})
    assert json.loads((tmp_path / "log.jsonl").read_text())["lost_steps"] == 1
    assert all(torch.isfinite(value).all() for value in student.state_dict().values())


def test_experiment_becomes_a_codec_and_is_not_done_twice(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    result = distill(path, tmp_path / "zoo", tmp_path / "work")
    first = {file.name: file.read_bytes() for file in (tmp_path / "zoo").iterdir()}
    assert set(first) == {"weights.safetensors", "codec.toml", "golden.safetensors", "README.md", "accuracy.png"}
    assert result["clean_accuracy"] > 0.2  # ten classes, a few seconds: it has begun to learn
    codec = SemanticCodec.load(tmp_path / "zoo")
    assert codec.clean_accuracy == pytest.approx(result["clean_accuracy"], abs=1e-4)
    assert codec.model_id == result["model_id"]
    distill(path, tmp_path / "zoo", tmp_path / "work")
    assert {file.name: file.read_bytes() for file in (tmp_path / "zoo").iterdir()} == first
    log = [json.loads(line) for line in (tmp_path / "work" / "student" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2, 3]
    assert log[-1]["loss"] < log[0]["loss"]


def test_labels_only_experiment_needs_no_teacher(tmp_path):
    path = tmp_path / "labels.yaml"
    student = EXPERIMENT["student"] | {"training": CONFIG | {"epochs": 1}}
    path.write_text(yaml.safe_dump({key: EXPERIMENT[key] for key in ("name", "data")} | {"student": student}))
    distill(path, tmp_path / "zoo", tmp_path / "work")
    assert SemanticCodec.load(tmp_path / "zoo").budgets == BUDGETS
    assert not (tmp_path / "work" / "teacher").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [", "not valid YAML"),
        ("just text", "must be a mapping"),
        ("name: x\ndata: {}", "section student is missing"),
        ("name: x\ndata: {}\nstudent: {}\nteacher: {name: a}", "go together .* store: online"),
        ("name: x\ndata: {}\nstudent: {}\nteacher: {}\nstore: {}", "needs name .* or training"),
        ("name: x\ndata: {}\nstudent: {}\nteacher: {name: a, training: {}}\nstore: {}", "one of them"),
    ],
)
def test_wrong_experiment_file(tmp_path, text, reason):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(CodecError, match=reason) as caught:
        load_experiment(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_field_is_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({key: EXPERIMENT[key] for key in ("name", "data")} | {"student": {"budgets": [4]}}))
    with pytest.raises(CodecError, match="field training is missing"):
        distill(path, tmp_path / "zoo", tmp_path / "work")


def test_learning_rate_curve():
    curve = [one_cycle(step, 100, 0.1) for step in range(101)]
    assert max(curve) == pytest.approx(0.1)
    assert curve[0] == pytest.approx(0.005)
    assert curve[100] == pytest.approx(0, abs=1e-9)
