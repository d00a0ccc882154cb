# SPDX-License-Identifier: GPL-3.0-or-later
"""CIFAR files as they are published: read rightly, refused when damaged; and the teachers that are made for them."""

import numpy as np
import pytest
import torch

from semantic_models import CodecError, load_images
from semantic_models.evaluate import wilson_interval
from semantic_models.knowledge_store import teacher_hash
from semantic_models.resnet import Ensemble, ResNet
from semantic_models.teacher import teacher_logits
from semantic_models.teachers import ENSEMBLE, NAMES, open_teacher

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Both sets with their full sizes, images nearly all zero, and records 0 and 5 of the test parts filled in."""
    monkeypatch.setenv("GR_SEMANTIC_DATA", str(tmp_path))
    ten, hundred = tmp_path / "cifar-10-batches-bin", tmp_path / "cifar-100-binary"
    for folder, names, files in (
        (ten, "batches.meta.txt", [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]),
        (hundred, "fine_label_names.txt", ["train.bin", "test.bin"]),
    ):
        folder.mkdir()
        classes = TEN if folder == ten else [f"class{k}" for k in range(100)]
        (folder / names).write_text("\n".join(classes) + "\n\n")
        for file in files:
            size = 10_000 * 3073 if folder == ten else (50_000 if file == "train.bin" else 10_000) * 3074
            with open(folder / file, "wb") as stream:
                stream.truncate(size)
    pixels = np.arange(3072) % 251
    write(ten / "test_batch.bin", 5 * 3073, bytes([7]) + bytes(pixels.tolist()))
    write(hundred / "test.bin", 5 * 3074, bytes([3, 88]) + bytes(pixels.tolist()))
    for number in range(1, 6):
        write(ten / f"data_batch_{number}.bin", 0, bytes([number]))
    return tmp_path


def write(path, offset, content):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize(("name", "label", "classes"), [("cifar10", 7, 10), ("cifar100", 88, 100)])
def test_records_become_images_and_labels(made, name, label, classes):
    found = load_images(f"{name}:test[4:7]")
    assert found.images.shape == (3, 3, 32, 32)
    assert found.images.dtype == np.uint8
    assert found.labels.tolist() == [0, label, 0]
    plane, row, column = 2, 30, 9  # planes, then rows
    assert found.images[1, plane, row, column] == (plane * 1024 + row * 32 + column) % 251
    assert found.images[0].max() == 0
    assert len(found.classes) == classes


def test_coarse_labels_are_the_first_byte(made):
    hundred = made / "cifar-100-binary"
    (hundred / "coarse_label_names.txt").write_text("\n".join(f"group{k}" for k in range(20)) + "\n")
    found, fine = load_images("cifar100-coarse:test[4:7]"), load_images("cifar100:test[4:7]")
    assert found.labels.tolist() == [0, 3, 0]
    assert found.classes[3] == "group3" and len(found.classes) == 20
    assert np.array_equal(found.images, fine.images)
    write(hundred / "test.bin", 0, bytes([20]))
    with pytest.raises(CodecError, match="label 20"):
        load_images("cifar100-coarse:test")


def test_five_files_make_the_training_part_in_order(made):
    found = load_images("cifar10:train")
    assert found.images.shape == (50_000, 3, 32, 32)
    assert found.labels[::10_000].tolist() == [1, 2, 3, 4, 5]
    assert found.classes == TEN


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "test_batch.bin").unlink(), r"test_batch\.bin: missing"),
        (lambda folder: write(folder / "test_batch.bin", 10_000 * 3073, b"\0"), "truncated or altered"),
        (lambda folder: (folder / "test_batch.bin").write_bytes(b"\0" * 3073), "truncated or altered"),
        (lambda folder: write(folder / "test_batch.bin", 3073, b"\x0a"), "label 10"),
        (lambda folder: (folder / "batches.meta.txt").write_text("cat\n"), "1 class names"),
        (lambda folder: (folder / "batches.meta.txt").unlink(), r"batches\.meta\.txt: missing"),
    ],
)
def test_damaged_files_are_refused(made, damage, reason):
    damage(made / "cifar-10-batches-bin")
    with pytest.raises(CodecError, match=reason):
        load_images("cifar10:test")


def test_absent_data_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("GR_SEMANTIC_DATA", str(tmp_path))
    with pytest.raises(CodecError, match=r"cifar-100-binary.*set GR_SEMANTIC_DATA"):
        load_images("cifar100:train")
    with pytest.raises(CodecError, match=r"resnet20-\*\.th.*set GR_SEMANTIC_DATA"):
        open_teacher("cifar10-resnet20")
    monkeypatch.delenv("GR_SEMANTIC_DATA")
    with pytest.raises(CodecError, match="is not set"):
        load_images("cifar10:train")
    with pytest.raises(CodecError, match="is not set"):
        open_teacher(ENSEMBLE)


def test_unknown_teacher_is_answered_with_the_names():
    with pytest.raises(CodecError, match="socrates") as caught:
        open_teacher("socrates")
    assert all(name in str(caught.value) for name in NAMES)


def test_weights_of_another_kind_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GR_SEMANTIC_DATA", str(tmp_path))
    path = tmp_path / "weights" / "resnet20-0.th"
    path.parent.mkdir()
    for content in (b"", b"not weights", None):
        if content is None:
            torch.save({"state_dict": ResNet(32).state_dict()}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(CodecError, match=r"resnet20-0\.th: not the weights of a ResNet-20") as caught:
            open_teacher("cifar10-resnet20")
        assert "\n" not in str(caught.value)


def test_ensemble_averages_probabilities():
    members = [ResNet(8).eval(), ResNet(8).eval()]
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    mean = np.mean([torch.softmax(torch.from_numpy(teacher_logits(m, images)), 1).numpy() for m in members], 0)
    assert np.exp(teacher_logits(Ensemble(members), images)) == pytest.approx(mean, abs=1e-5)
    assert teacher_hash(Ensemble(members)) != teacher_hash(Ensemble(members[::-1]))


@pytest.fixture
def real(real_data, monkeypatch):
    monkeypatch.setenv("GR_SEMANTIC_DATA", str(real_data))
    torch.set_num_threads(1)


def test_real_sets_are_balanced(real):
    ten, hundred = load_images("cifar10:train"), load_images("cifar100:test")
    assert np.bincount(ten.labels).tolist() == [5000] * 10
    assert ten.classes == TEN
    assert hundred.images.shape == (10_000, 3, 32, 32)
    assert len(set(hundred.classes)) == len(np.unique(hundred.labels)) == 100


def test_real_resnet20(real):
    """Known: 91.73 % on all 10,000 test images. A wrong pixel order, normalisation or shortcut costs far more."""
    test = load_images("cifar10:test[0:1000]")
    right = teacher_logits(open_teacher("cifar10-resnet20"), test.images).argmax(1) == test.labels
    low, high = wilson_interval(float(right.mean()), len(test))
    assert low < 0.9173 < high


def test_real_ensemble(real):
    """Known: 94.3 % on all 10,000 test images."""
    test = load_images("cifar10:test[0:200]")
    logits = teacher_logits(open_teacher(ENSEMBLE), test.images)
    assert np.exp(logits).sum(1) == pytest.approx(1, abs=1e-4)
    low, high = wilson_interval(float((logits.argmax(1) == test.labels).mean()), len(test))
    assert low < 0.943 < high
