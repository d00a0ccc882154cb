# SPDX-License-Identifier: GPL-3.0-or-later
"""Large encoders as teachers: the head learns, the file brings it back, and a missing library says what to install."""

import sys

import numpy as np
import pytest
import torch
import yaml

from semantic_models import CodecError, load_images
from semantic_models import foundation as module
from semantic_models.distill import build_knowledge
from semantic_models.foundation import Foundation, fit_head, open_encoder
from semantic_models.knowledge_store import KnowledgeStore, verify_store
from semantic_models.teacher import teacher_logits
from semantic_models.teachers import open_teacher

IMAGES = load_images("synthetic:300")
SMALL = {"timm": "timm:test_resnet", "open_clip": "open_clip:RN50"}


class Encoder(torch.nn.Module):
    """Fixed random weights; remembers the last input."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.weight = torch.nn.Parameter(0.5 * torch.randn(40, 3, 7, 7, generator=draw))

    def forward(self, images):
        self.seen = images
        return torch.nn.functional.conv2d(images, self.weight, stride=3).relu().mean((2, 3))


@pytest.fixture
def small_encoder(monkeypatch):
    torch.set_num_threads(1)
    opened = []

    def timm(model, pretrained):
        assert pretrained
        opened.append(Encoder())
        return opened[-1], (32, 32), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)

    monkeypatch.setattr(module, "_timm", timm)
    return opened


def test_head_learns_and_comes_back(small_encoder, tmp_path):
    fit_head("timm:small", IMAGES, tmp_path / "head.safetensors")
    teacher = open_teacher(str(tmp_path / "head.safetensors"))
    assert isinstance(teacher, Foundation)
    logits = teacher_logits(teacher, IMAGES.images)
    assert (logits.argmax(1) == IMAGES.labels).mean() > 0.8  # ten classes; a head of zeros is right on 10 %
    again = open_teacher(str(tmp_path / "head.safetensors"))
    assert np.array_equal(teacher_logits(again, IMAGES.images), logits)
    assert not any(value.requires_grad for value in teacher.parameters())


def test_images_arrive_resized_in_colour_and_normalised(small_encoder):
    model = open_encoder("timm:small", 10)
    model(torch.full((2, 1, 28, 28), 0.6))
    seen = small_encoder[-1].seen
    assert seen.shape == (2, 3, 32, 32)
    expected = (0.6 - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.25, 0.5])
    assert seen[1].mean((1, 2)).numpy() == pytest.approx(expected, abs=1e-5)


def test_result_does_not_depend_on_the_split_into_batches(small_encoder, monkeypatch):
    model = open_encoder("timm:small", 10)
    images = torch.from_numpy(IMAGES.images[:30]) / 255
    whole = model.features(images)
    monkeypatch.setattr(module, "BATCH", 7)
    assert torch.allclose(model.features(images), whole, atol=1e-6)


def test_experiment_builds_a_store_from_an_encoder(small_encoder, tmp_path):
    experiment = {
        "name": "x",
        "data": {"train": "synthetic:300", "validation": "synthetic:20", "test": "synthetic:20"},
        "teacher": {"name": "timm:small"},
        "store": {"views": 2, "kept": 3, "seed": 1, "bfloat16": False, "augmentation": {}},
        "student": {},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(experiment))
    store = KnowledgeStore(build_knowledge(tmp_path / "x.yaml", tmp_path / "work", "cpu"))
    assert verify_store(store, open_teacher(store.header["teacher"]), IMAGES, records=50)["records"] == 50


@pytest.mark.parametrize(("library", "package"), [("timm", "timm"), ("open_clip", "open_clip_torch")])
def test_missing_library_says_what_to_install(library, package, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(CodecError, match=f"pip install {package}") as caught:
        open_encoder(f"{library}:anything", 10)
    assert "\n" not in str(caught.value)


def test_bare_encoder_name_has_no_head():
    with pytest.raises(CodecError, match="in an experiment timm:MODEL"):
        open_teacher("timm:vit")


@pytest.mark.parametrize("library", list(SMALL))
def test_real_library_with_random_weights(library):
    """Runs where the optional library is installed."""
    pytest.importorskip(library, reason=f"{library} is optional and not installed")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = open_encoder(SMALL[library], 10, pretrained=False)
    assert teacher_logits(model, IMAGES.images[:3]).shape == (3, 10)
    with pytest.raises(CodecError, match="no-such-model"):
        open_encoder(f"{library}:no-such-model", 10, pretrained=False)
