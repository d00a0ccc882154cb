# SPDX-License-Identifier: GPL-3.0-or-later
"""The knowledge store gives back what the teacher saw and said, and refuses every file that is not whole."""

import numpy as np
import pytest
import torch

from semantic_models import CodecError, load_images
from semantic_models.augmentation import Augmentation
from semantic_models.knowledge_store import HEADER_BYTES, KnowledgeStore, build_store, record_dtype

IMAGES = load_images("synthetic:60")
VIEWS, KEPT = 3, 4


class SpyTeacher(torch.nn.Module):
    """A fixed random linear teacher that remembers what it was shown; it can be made to die in the middle."""

    def __init__(self, calls=None):
        super().__init__()
        self.linear = torch.nn.Linear(784, 10)
        with torch.no_grad():
            self.linear.weight.copy_(0.3 * torch.randn(10, 784, generator=torch.Generator().manual_seed(4)))
        torch.nn.init.zeros_(self.linear.bias)
        self.seen, self.said, self.calls = [], [], calls

    def forward(self, images):
        if self.calls is not None and len(self.seen) == self.calls:
            raise KeyboardInterrupt
        logits = self.linear(images.flatten(1))
        self.seen.append((images * 255).round().to(torch.uint8).numpy())
        self.said.append(torch.softmax(logits.double(), 1).numpy())
        return logits


def build(path, teacher=None, **changes):
    settings = {"views": VIEWS, "kept": KEPT, "augmentation": Augmentation(), "seed": 5} | changes
    teacher = teacher or SpyTeacher()
    build_store(path, teacher, IMAGES, **settings)
    return teacher


def test_student_sees_the_teachers_inputs_and_distribution(tmp_path):
    teacher = build(tmp_path / "store")
    store = KnowledgeStore(tmp_path / "store")
    store.matches(IMAGES)
    chosen = np.array([59, 0, 17])
    for view in range(VIEWS):
        images, probabilities = store.view(IMAGES.images, view, chosen)
        assert np.array_equal(images, teacher.seen[view][chosen])
        said = teacher.said[view][chosen]
        top = np.argsort(-said, 1)[:, :KEPT]
        kept = np.take_along_axis(said, top, 1)
        expected = np.repeat((1 - kept.sum(1, keepdims=True)) / (10 - KEPT), 10, 1)
        np.put_along_axis(expected, top, kept, 1)
        assert np.abs(probabilities - expected).max() < 1e-4
        assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
    assert np.array_equal(teacher.seen[0], IMAGES.images)
    assert not np.array_equal(teacher.seen[1], teacher.seen[2])


def test_all_classes_kept(tmp_path):
    teacher = build(tmp_path / "store", kept=10)
    _, probabilities = KnowledgeStore(tmp_path / "store").view(IMAGES.images, 1, np.arange(60))
    assert np.abs(probabilities - teacher.said[1]).max() < 10 * 0.5 / 65535  # ten roundings, then scaled to sum 1


def test_file_is_packed(tmp_path):
    build(tmp_path / "store")
    assert record_dtype(KEPT, 10).itemsize == 4 + KEPT + 2 * KEPT
    assert (tmp_path / "store").stat().st_size == HEADER_BYTES + VIEWS * 60 * (4 + KEPT + 2 * KEPT)
    assert record_dtype(5, 1000).itemsize == 4 + 2 * 5 + 2 * 5


def test_killed_build_goes_on(tmp_path):
    whole = build(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "store", SpyTeacher(calls=2))
    assert not (tmp_path / "store").exists()
    rest = build(tmp_path / "store")
    assert len(whole.seen) == VIEWS
    assert len(rest.seen) == VIEWS - 2
    assert (tmp_path / "store").read_bytes() == (tmp_path / "whole").read_bytes()


def test_killed_build_with_other_settings_starts_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "store", SpyTeacher(calls=2))
    assert len(build(tmp_path / "store", seed=6).seen) == VIEWS


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: raw[:-1], "truncated"),
        (lambda raw: raw + b"\0", "truncated or extended"),
        (lambda raw: raw[:100], "truncated in its header"),
        (lambda raw: raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:], "altered"),
        (lambda raw: b"X" + raw[1:], "not a knowledge store"),
        (lambda raw: raw[:8] + b" " * (HEADER_BYTES - 8) + raw[HEADER_BYTES:], "header"),
        (lambda raw: raw.replace(b"records_sha256", b"records_sha257"), "unfinished"),
    ],
)
def test_damaged_file_is_refused(tmp_path, damage, reason):
    path = tmp_path / "store"
    build(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CodecError, match=reason) as caught:
        KnowledgeStore(path)
    assert str(path) in str(caught.value)


def test_other_data_set_is_refused(tmp_path):
    build(tmp_path / "store")
    with pytest.raises(CodecError, match="another data set"):
        KnowledgeStore(tmp_path / "store").matches(load_images("synthetic:61"))


def test_missing_store_and_wrong_width(tmp_path):
    with pytest.raises(CodecError, match="not found"):
        KnowledgeStore(tmp_path / "none")
    with pytest.raises(CodecError, match="kept is 11"):
        build(tmp_path / "store", kept=11)
