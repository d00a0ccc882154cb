# SPDX-License-Identifier: GPL-3.0-or-later
"""Muon for the convolutions of a teacher: what a step does, and a run that was killed."""

import pytest
import torch

from semantic_models import load_images, teacher
from semantic_models.muon import MuonAndSgd
from semantic_models.teacher import Teacher, build_teacher, load_teacher, teacher_logits, train_teacher

CONFIG = {
    "seed": 1,
    "epochs": 3,
    "batch": 20,
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "average_decay": 0.5,
    "bfloat16": False,
    "label_smoothing": 0.1,
    "muon": {"learning_rate": 0.1, "momentum": 0.6},
    "small_images": [{"side": 14, "share": 0.3}, {"side": 20, "share": 0.6}],
    "model": {"kind": "residual", "widths": [4, 8, 8, 12], "blocks": ["", "d", "r", "r"], "dropout": 0.0},
    "augmentation": {"pad": 1, "mirror": False, "erase": 0.0},  # a mirrored grating is of another class
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_a_step_turns_every_filter_bank_by_an_orthogonal_matrix_and_moves_the_rest():
    torch.manual_seed(0)
    model = build_teacher(image_shape=(3, 16, 16), classes=5, widths=[4, 8, 16]).to(memory_format=torch.channels_last)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = MuonAndSgd(model, momentum=0.6, weight_decay=0.0)
    optimizer.set_rates(muon=0.25, sgd=0.5)
    model(torch.rand(8, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    for name, value in model.named_parameters():
        if value.ndim == 4:
            old = before[name] * len(value) ** 0.5 / before[name].norm()
            step = (old - value.detach()).flatten(1) / 0.25
            assert torch.linalg.svdvals(step).sub(1).abs().max() < 0.5, name  # Newton-Schulz: 1 to within a third or so
            along = (step.flatten() @ value.grad.flatten()) / step.norm() / value.grad.norm()
            assert along > 0.1, name
        else:
            assert torch.allclose(value.detach(), before[name] - 0.5 * 1.9 * value.grad, atol=1e-6), name
    optimizer.zero_grad()
    assert all(value.grad is None for value in model.parameters())


def test_a_teacher_learns_and_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    train, sides = load_images("synthetic:80"), []
    forward = Teacher.forward
    monkeypatch.setattr(Teacher, "forward", lambda self, x: sides.append(x.shape[-1]) or forward(self, x))
    whole = train_teacher(CONFIG | {"epochs": 8}, train, train, tmp_path / "whole")
    seen = [side for side in sides if side != 28]
    assert seen == [14] * 12 + [20] * 8  # 4 steps an epoch: up to 0.3 and 0.6 of eight epochs
    assert (teacher_logits(whole, train.images).argmax(1) == train.labels).mean() > 0.5

    class DyingLog(teacher.Log):
        def __call__(self, **fields):
            super().__call__(**fields)
            if fields["epoch"] == 2:
                raise KeyboardInterrupt

    once = train_teacher(CONFIG, train, train, tmp_path / "once")
    monkeypatch.setattr(teacher, "Log", DyingLog)
    with pytest.raises(KeyboardInterrupt):
        train_teacher(CONFIG, train, train, tmp_path / "killed")
    monkeypatch.undo()
    resumed = train_teacher(CONFIG, train, train, tmp_path / "killed")
    for key, value in once.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    loaded = load_teacher(tmp_path / "killed" / "teacher.safetensors")
    assert torch.equal(loaded.trunk[0][0].weight, resumed.trunk[0][0].weight)
