# SPDX-License-Identifier: GPL-3.0-or-later
"""Every experiment file can start: its fields are known, its student is as small as promised, it trains and resumes."""

import numpy as np
import pytest
import torch

from gr_semantic.paths import ROOT
from semantic_models import CodecError, ImageSet, SemanticCodec
from semantic_models.augmentation import Augmentation, view_seeds
from semantic_models.distill import load_experiment
from semantic_models.evaluate import count_macs, count_parameters
from semantic_models.knowledge_store import KnowledgeStore, build_store
from semantic_models.publish import publish
from semantic_models.resnet import Ensemble, ResNet
from semantic_models.student import Student
from semantic_models.student_training import train_student
from semantic_models.testing import tiny_codec

EXPERIMENTS = sorted((ROOT / "models" / "experiments").glob("*.yaml"))
SHAPES = {"fashion-mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
COLOUR = (3, 32, 32)


def colour_images(count=8, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *COLOUR), np.uint8)
    return ImageSet(images, rng.integers(0, 10, count), tuple(f"class {k}" for k in range(10)), f"noise:{seed}")


def student_of(experiment):
    settings = experiment["student"]
    return Student(SHAPES[experiment["name"]], 10, max(settings["budgets"]), **settings["model"])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_file_names_itself_and_small_students(path):
    experiment = load_experiment(path)
    assert experiment["name"] == path.stem
    assert set(experiment["data"]) == {"train", "validation", "test"}
    assert sum(experiment["student"]["training"]["channels"].values()) == pytest.approx(1)
    Augmentation(**experiment["store"]["augmentation"])
    student = student_of(experiment)
    assert count_parameters(student)["total"] <= 500_000
    assert count_macs(student, SHAPES[path.stem])["total"] <= 60_000_000


def test_cifar10_experiment_takes_its_steps(tmp_path):
    """Its own settings on eight images of noise, two networks of random weights as teacher: store, student, codec."""
    torch.set_num_threads(1)
    experiment = load_experiment(ROOT / "models" / "experiments" / "cifar10.yaml")
    train, settings, store_settings = colour_images(), experiment["student"], experiment["store"]
    augmentation = Augmentation(**store_settings["augmentation"])
    teacher = Ensemble([ResNet(8).eval(), ResNet(8).eval()])
    build_store(
        tmp_path / "store",
        teacher,
        train,
        2,
        store_settings["kept"],
        augmentation,
        store_settings["seed"],
        bfloat16=True,
    )
    torch.manual_seed(0)
    student = student_of(experiment)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    budgets, range_db = tuple(settings["budgets"]), tuple(settings["snr_range_db"])
    student = train_student(
        settings["training"] | {"epochs": 1, "batch": 4},
        student,
        budgets,
        range_db,
        train,
        colour_images(4, 1),
        tmp_path / "student",
        KnowledgeStore(tmp_path / "store"),
    )
    after = student.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert not torch.equal(after["encoder.trunk.0.0.weight"], before["encoder.trunk.0.0.weight"])
    assert not torch.equal(after["decoder.body.0.weight"], before["decoder.body.0.weight"])
    publish(tmp_path / "codec", "noise", train.classes, COLOUR, settings, student, colour_images(6, 2), {})
    codec = SemanticCodec.load(tmp_path / "codec", "cpu")
    assert codec.image_shape == COLOUR
    assert codec.encode(train.images, 3.0, 8).shape == (8, 8)


def test_colour_codec_does_not_depend_on_the_batch(tmp_path):
    codec = SemanticCodec.load(tiny_codec(tmp_path, image_shape=COLOUR), "cpu")
    images = colour_images(19).images
    symbols = codec.encode(images, 5.0, 16)
    assert all(np.array_equal(codec.encode(images[k : k + 1], 5.0, 16), symbols[k : k + 1]) for k in range(19))
    logits = codec.decode(symbols, np.float32(0.1))
    assert all(np.array_equal(codec.decode(symbols[k : k + 1], np.float32(0.1)), logits[k : k + 1]) for k in range(19))


def test_augmentation_moves_the_colours_of_a_pixel_together():
    """Each view's pixels are triples of its image, black (the border), or one grey (the erased rectangle)."""
    images = colour_images(20).images
    views = Augmentation(pad=4, erase=0.5).apply(images, view_seeds(1, 1, np.arange(20)))
    assert views.shape == images.shape
    assert not np.array_equal(views, images)
    for image, view in zip(images, views, strict=True):
        known = {tuple(pixel) for pixel in image.reshape(3, -1).T} | {(0, 0, 0)}
        new = {tuple(pixel) for pixel in view.reshape(3, -1).T} - known
        assert len(new) <= 1
        assert all(len(set(pixel)) == 1 for pixel in new)


@pytest.mark.parametrize("blocks", [["d", "r"], ["d", "x", "r"]])
def test_unknown_blocks_are_refused(blocks):
    with pytest.raises(CodecError, match="three strings of the letters d r"):
        Student(COLOUR, 10, 8, blocks=blocks)
