# SPDX-License-Identifier: GPL-3.0-or-later
"""Code and decoder behind a frozen trunk, trained on what it made of some views."""

import json

import numpy as np
import pytest
import torch

from semantic_models import CodecError, load_images
from semantic_models.augmentation import Augmentation, view_seeds
from semantic_models.feature_distillation import load_teacher_trunk
from semantic_models.pooled_views import PooledViews
from semantic_models.student import Student
from semantic_models.student_training import train_student
from semantic_models.teacher import Teacher, to_unit

TRAIN = load_images("synthetic:120")
BUDGETS, RANGE_DB = (4, 8), (-6.0, 24.0)
MODEL = {"widths": [4, 8, 8], "blocks": ["", "r", "r"], "phi_hidden": 16, "decoder_hidden": [16], "code_words": 8.0}
CONFIG = {
    "seed": 2,
    "epochs": 2,
    "batch": 20,
    "learning_rate": 5e-3,
    "weight_decay": 0.02,
    "average_decay": 0.9,
    "bfloat16": False,
    "distillation": 0.7,
    "rate_beta": 2e-4,
    "report_error_db": 1.0,
    "channels": {"awgn": 0.75, "selective": 0.25},
    "trunk": "teacher",
    "pooled_views": 2,
    "augmentation": {"pad": 1, "mirror": False},
}


@pytest.fixture
def teacher():
    torch.set_num_threads(1)
    torch.manual_seed(5)
    return Teacher(widths=(4, 8, 8)).eval()


def train(folder, teacher, config=CONFIG, **changes):
    torch.manual_seed(0)
    student = Student((1, 28, 28), 10, max(BUDGETS), **MODEL)
    return train_student(config, student, BUDGETS, RANGE_DB, TRAIN, TRAIN, folder, teacher=teacher, **changes)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_it_is_the_training_on_new_views_as_long_as_views_do_not_come_again(tmp_path, teacher):
    pooled = train(tmp_path / "pooled", teacher)
    plain = train(tmp_path / "plain", teacher, {key: CONFIG[key] for key in CONFIG if key != "pooled_views"})
    assert losses(tmp_path / "pooled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-3)
    for key, value in plain.state_dict().items():
        assert torch.allclose(value, pooled.state_dict()[key], atol=0.02), key
    trunk = teacher.trunk.state_dict()
    assert all(torch.equal(value, trunk[key]) for key, value in pooled.encoder.trunk.state_dict().items())


def test_rows_are_what_the_encoder_makes_of_the_views(tmp_path, teacher):
    encoder = Student((1, 28, 28), 10, 8, **MODEL).encoder.eval()
    views = PooledViews(CONFIG, encoder, TRAIN, tmp_path, torch.device("cpu"))
    chosen = np.array([3, 100, 7])
    seen = Augmentation(**CONFIG["augmentation"]).apply(TRAIN.images[chosen], view_seeds(2, 1, chosen))
    expected = encoder.pooled(to_unit(seen, "cpu")).detach()
    for view in (1, 3):  # of two views, the second comes again
        assert torch.allclose(views.rows(view, chosen), expected, rtol=2e-3, atol=2e-3)
    assert not torch.allclose(views.rows(0, chosen), expected, rtol=2e-3, atol=2e-3)


def test_views_that_were_made_are_made_no_more_and_those_of_others_are_not_taken(tmp_path, teacher):
    encoder = Student((1, 28, 28), 10, 8, **MODEL).encoder.eval()
    PooledViews(CONFIG, encoder, TRAIN, tmp_path, torch.device("cpu"))
    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(made) == 2
    PooledViews(CONFIG | {"pooled_views": 3}, encoder, TRAIN, tmp_path, torch.device("cpu"))
    assert {path: path.stat().st_mtime_ns for path in made} == made and len(list(tmp_path.iterdir())) == 3
    with torch.no_grad():
        encoder.trunk[0][0].weight.mul_(2)
    PooledViews(CONFIG, encoder, TRAIN, tmp_path, torch.device("cpu"))
    assert len(list(tmp_path.iterdir())) == 5


def test_a_trunk_that_learns_has_no_pooled_views(tmp_path, teacher):
    with pytest.raises(CodecError, match="pooled_views needs trunk: teacher"):
        train(tmp_path, teacher, {key: CONFIG[key] for key in CONFIG if key != "trunk"})


def test_code_words_begin_with_the_teachers_decisions_and_a_sharp_one_is_sent_alone(teacher):
    student = Student((1, 28, 28), 10, 8, **MODEL).eval()
    images, last = to_unit(TRAIN.images[:40], "cpu"), teacher.head[-1]
    with torch.no_grad():
        last.weight.mul_(100)
        last.bias.copy_(-last.weight @ teacher.features(images).mean(0))
        load_teacher_trunk(student, teacher)
        decided = teacher(images).argmax(1)
        code = student.encoder.project
        assert len(decided.unique()) > 1 and torch.equal(
            code.classify(student.encoder.pooled(images)).argmax(1), decided
        )
        code.sharpness = 1e5
        assert torch.allclose(student.encoder(images), code.words.weight.T[decided], atol=1e-3)
