# SPDX-License-Identifier: GPL-3.0-or-later
"""Code and decoder behind a frozen trunk, trained on what it made of some views."""

import json

import numpy as np
import pytest
import torch
from learning_settings import MODEL, TRAINING

from semantic_models import CodecError, load_images
from semantic_models.augmentation import Augmentation, view_seeds
from semantic_models.checkpoint import read_tensors
from semantic_models.evaluate import count_macs
from semantic_models.feature_distillation import load_teacher_trunk
from semantic_models.pooled_views import PooledViews
from semantic_models.student import Student
from semantic_models.student_training import train_student
from semantic_models.teacher import Teacher, to_unit

TRAIN = load_images("synthetic:120")
BUDGETS, RANGE_DB = (4, 8), (-6.0, 24.0)
MODEL = MODEL | {"blocks": ["", "r", "r"], "code_words": 8.0}
CONFIG = TRAINING | {"trunk": "teacher", "pooled_views": 2, "augmentation": {"pad": 1, "mirror": False}}


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
    student = Student((1, 28, 28), 10, 8, **MODEL).eval()
    views = PooledViews(CONFIG, student, TRAIN, tmp_path, torch.device("cpu"))
    chosen = np.array([3, 100, 7])
    seen = Augmentation(**CONFIG["augmentation"]).apply(TRAIN.images[chosen], view_seeds(2, 1, chosen))
    expected = student.encoder.pooled(to_unit(seen, "cpu")).detach()
    for view in (1, 3):  # of two views, the second comes again
        assert torch.allclose(views.rows(view, chosen), expected, rtol=2e-3, atol=2e-3)
    assert not torch.allclose(views.rows(0, chosen), expected, rtol=2e-3, atol=2e-3)


def test_views_that_were_made_are_made_no_more_and_those_of_others_are_not_taken(tmp_path, teacher):
    student = Student((1, 28, 28), 10, 8, **MODEL).eval()
    PooledViews(CONFIG, student, TRAIN, tmp_path, torch.device("cpu"))
    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(made) == 2
    PooledViews(CONFIG | {"pooled_views": 3}, student, TRAIN, tmp_path, torch.device("cpu"))
    assert {path: path.stat().st_mtime_ns for path in made} == made and len(list(tmp_path.iterdir())) == 3
    with torch.no_grad():
        student.encoder.trunk[0][0].weight.mul_(2)
    PooledViews(CONFIG, student, TRAIN, tmp_path, torch.device("cpu"))
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


def test_a_mirror_images_features_are_the_images_own_and_the_mean_of_both(teacher):
    student = Student((1, 28, 28), 10, 8, **MODEL, mirror=True).eval()
    load_teacher_trunk(student, teacher)
    images = to_unit(TRAIN.images[:8], "cpu")
    with torch.no_grad():
        pooled, one, other = (
            student.encoder.pooled(images),
            teacher.features(images),
            teacher.features(images.flip(3)),
        )
        assert torch.allclose(pooled, (one + other) / 2, atol=1e-5) and not torch.allclose(one, other, atol=1e-2)
        assert torch.allclose(student.encoder.pooled(images.flip(3)), pooled, atol=1e-5)
    once, twice = (count_macs(Student((1, 28, 28), 10, 8, **MODEL, mirror=yes), (1, 28, 28)) for yes in (False, True))
    assert once["edge"] * 1.9 < twice["edge"] < once["edge"] * 2 and once["receiver"] == twice["receiver"]


def test_an_image_is_seen_in_two_places(teacher):
    """Two places, each with its mirror image; a shift only moves what is far from the edges."""
    student = Student((1, 28, 28), 10, 8, **MODEL, mirror=True, shift=2).eval()
    load_teacher_trunk(student, teacher)
    images = torch.zeros(6, 1, 28, 28)
    images[:, :, 5:23, 5:23] = torch.rand(6, 1, 18, 18)
    moved = [images.roll((far, far), (2, 3)) for far in (-2, 2)]
    with torch.no_grad():
        expected = sum(teacher.features(x) + teacher.features(x.flip(3)) for x in moved) / 4
        assert torch.allclose(student.encoder.pooled(images), expected, atol=1e-5)
        both = (teacher.features(images) + teacher.features(images.flip(3))) / 2
        assert torch.allclose(student.encoder.pooled(images, shifted=False), both, atol=1e-5)
        assert not torch.allclose(expected, both, atol=1e-3)
    models = (Student((1, 28, 28), 10, 8, **MODEL, shift=shift) for shift in (0, 2))
    once, twice = (count_macs(model, (1, 28, 28))["edge"] for model in models)
    assert once * 1.9 < twice < once * 2


def test_words_stay_a_simplex_and_their_correlator_learns(tmp_path, teacher):
    torch.manual_seed(0)
    student = Student((1, 28, 28), 10, 8, **MODEL | {"decoder_hidden": "words", "adaptation": "none"})
    words, most = student.encoder.project.words.weight.clone(), student.decoder.log_most.item()
    assert torch.equal(student.decoder.words.T, words)
    trained = train_student(CONFIG, student, BUDGETS, RANGE_DB, TRAIN, TRAIN, tmp_path, teacher=teacher)
    assert torch.equal(trained.encoder.project.words.weight, words)
    assert not torch.equal(trained.decoder.words.T, words) and trained.decoder.log_most.item() != most


def test_a_first_stage_leaves_its_classifier_to_the_code_words(tmp_path, teacher):
    """They are frozen from there on: random ones would stay random."""
    without = ("trunk", "pooled_views")
    config = {key: CONFIG[key] for key in CONFIG if key not in without} | {"epochs": 1}
    student = train(tmp_path, teacher, config | {"first_stage": {"epochs": 1, "feature_weight": 1.0}})
    stage, _ = read_tensors(tmp_path / "first_stage" / "checkpoint.safetensors")
    for key, value in student.encoder.project.classify.state_dict().items():
        assert torch.equal(value, stage[f"average.classify.{key}"])
