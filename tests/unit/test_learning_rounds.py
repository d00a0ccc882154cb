# SPDX-License-Identifier: GPL-3.0-or-later
"""A teacher's later rounds: their answers, mixed images, gates and averaged weights."""

import json

import numpy as np
import pytest
import torch
from learning_settings import TEACHER_TRAINING

from semantic_models import CodecError, load_images, teacher
from semantic_models.cutmix import cut_and_mix
from semantic_models.knowledge_store import KnowledgeStore
from semantic_models.losses import task_and_distillation
from semantic_models.teacher import Teacher, load_teacher, train_teacher
from semantic_models.teacher_rounds import train_in_rounds
from semantic_models.training import Log, epoch_batches, measure_norms

TRAIN = load_images("synthetic:80")
SECOND = {"epochs": 3, "learning_rate": 0.02, "views": 2, "distillation": 0.5, "cutmix": 0.5}
CONFIG = TEACHER_TRAINING | {"rounds": [SECOND]}
THIRD = {"epochs": 3, "views": 1, "seed": 5, "distillation": 0.5, "mean_from": 0.5, "model": {"blocks": ["", "g", "g"]}}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_every_pixel_is_ones_own_or_the_partners_and_the_share_says_how_many():
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 20, 30).contiguous(memory_format=torch.channels_last)
    shares = []
    for seed in range(300):
        mixed, partners, own = cut_and_mix(images, np.random.default_rng(seed))
        shares.append(own)
        assert sorted(partners.tolist()) == list(range(6))
        for k, partner in enumerate(partners.tolist()):
            theirs = mixed[k] != k
            assert (mixed[k][theirs] == partner).all()
            assert partner == k or theirs.float().mean().item() == pytest.approx(1 - own, abs=1e-6)
    assert torch.equal(images[:, 0, 0, 0], torch.arange(6.0))  # the originals are left alone
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06) and np.std(shares) == pytest.approx(12**-0.5, abs=0.03)


def test_a_mixed_batch_counts_both_targets_by_their_share():
    model = Teacher(widths=(4, 8, 8), dropout=0.0)
    images, labels = torch.rand(8, 1, 28, 28), torch.arange(8)
    said = torch.softmax(torch.randn(8, 10), 1)
    config = {"cutmix": 1.0, "bfloat16": False, "distillation": 0.3, "label_smoothing": 0.1}
    draw = np.random.default_rng(3)
    loss = teacher._loss(config, model, images, labels, said, np.random.default_rng(3))
    draw.uniform()
    mixed, partners, own = cut_and_mix(images, draw)
    logits = model(mixed)
    parts = [task_and_distillation(logits, labels[k], said[k], 0.3, 0.1) for k in (slice(None), partners)]
    assert 0.05 < own < 0.95
    assert loss.item() == pytest.approx((own * parts[0] + (1 - own) * parts[1]).item(), rel=1e-5)
    plain = teacher._loss(config | {"cutmix": 0.0}, model, images, labels, said, np.random.default_rng(3))
    assert plain.item() == pytest.approx(task_and_distillation(model(images), labels, said, 0.3, 0.1).item(), rel=1e-5)


def test_the_second_round_begins_with_the_firsts_weights_and_learns_its_answers(tmp_path):
    path = train_in_rounds(CONFIG, TRAIN, TRAIN, tmp_path)
    first, last = load_teacher(tmp_path / "teacher.safetensors"), load_teacher(path)
    alone = train_teacher(TEACHER_TRAINING, TRAIN, TRAIN, tmp_path / "alone")
    assert all(torch.equal(value, alone.state_dict()[key]) for key, value in first.state_dict().items())
    store = KnowledgeStore(path.parent / "answers.store")
    assert store.views == 2

    def answers(epoch, chosen):
        return store.rebuild(store.records[epoch % 2][chosen])

    again = TEACHER_TRAINING | SECOND
    by_hand = train_teacher(again, TRAIN, TRAIN, tmp_path / "hand", start=first, answers=answers)
    other = train_teacher(again, TRAIN, TRAIN, tmp_path / "other", answers=answers)
    for key, value in last.state_dict().items():
        assert torch.equal(value, by_hand.state_dict()[key]), key
    weight = "trunk.0.0.weight"
    assert not torch.equal(other.state_dict()[weight], by_hand.state_dict()[weight])


@pytest.mark.parametrize("rounds", ([SECOND], [SECOND, THIRD]), ids=("second", "third"))
def test_a_killed_later_round_goes_on_to_the_same_weights(tmp_path, monkeypatch, rounds):
    config = CONFIG | {"rounds": rounds}
    whole = load_teacher(train_in_rounds(config, TRAIN, TRAIN, tmp_path / "whole"))

    class DyingLog(Log):
        def __call__(self, **fields):
            super().__call__(**fields)
            if fields["epoch"] == 2 and self.path.parent.name == f"round_{len(rounds) + 1}":
                raise KeyboardInterrupt

    monkeypatch.setattr(teacher, "Log", DyingLog)
    with pytest.raises(KeyboardInterrupt):
        train_in_rounds(config, TRAIN, TRAIN, tmp_path / "killed")
    monkeypatch.undo()
    path = train_in_rounds(config, TRAIN, TRAIN, tmp_path / "killed")
    log = (path.parent / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3]
    for key, value in load_teacher(path).state_dict().items():
        assert torch.equal(value, whole.state_dict()[key]), key


def test_a_third_round_learns_the_mean_of_both_answers_and_ends_with_the_mean_of_its_weights(tmp_path, monkeypatch):
    seen, weights, rates = [], [], []
    step = torch.optim.SGD.step

    def watched_step(self):
        step(self)
        rates.append(self.param_groups[0]["lr"])
        weights.append(self.param_groups[0]["params"][0].detach().clone())

    train_in_rounds(CONFIG, TRAIN, TRAIN, tmp_path)  # the first two rounds
    monkeypatch.setattr(torch.optim.SGD, "step", watched_step)
    monkeypatch.setattr(teacher, "task_and_distillation", lambda *a: seen.append(a[2]) or task_and_distillation(*a))
    path = train_in_rounds(CONFIG | {"rounds": [SECOND, THIRD]}, TRAIN, TRAIN, tmp_path)
    stores = [KnowledgeStore(tmp_path / name / "answers.store") for name in ("round_2", "round_3")]
    chosen = epoch_batches(80, 20, 5, 1)[0]
    expected = sum(store.answers(1, chosen) for store in stores) / 2
    assert np.allclose(seen[4], expected, atol=1e-6)
    assert not np.allclose(seen[4], stores[0].answers(1, chosen), atol=0.01)
    assert len(rates) == 12 and rates[1:] == [0.05] * 11  # after the first one, which warms up
    network = load_teacher(path)
    assert torch.allclose(network.trunk[0][0].weight, torch.stack(weights[6:]).mean(0), atol=1e-6)


def test_answers_of_another_round_are_refused(tmp_path):
    train_in_rounds(CONFIG, TRAIN, TRAIN, tmp_path)
    more_views = CONFIG | {"rounds": [SECOND | {"views": 3}]}
    with pytest.raises(CodecError, match="another round; remove it"):
        train_in_rounds(more_views, TRAIN, TRAIN, tmp_path)


def test_gates_begin_open_and_other_differences_between_rounds_are_refused(tmp_path):
    torch.manual_seed(4)
    plain, gated = Teacher(widths=(4, 8, 8), dropout=0.0), Teacher(widths=(4, 8, 8), dropout=0.0, blocks=("", "g", "g"))
    teacher._begin_with(gated, plain)
    images = torch.rand(6, 1, 28, 28)
    assert torch.allclose(plain.eval()(images), gated.eval()(images), atol=1e-6)
    with torch.no_grad():
        gated.trunk[2].gate[-1].bias.fill_(-100.0)  # the block is shut
        block = torch.rand(6, 8, 5, 5)
        assert torch.equal(gated.trunk[2](block), block)
    deeper = CONFIG | {"rounds": [SECOND | {"model": {"blocks": ["", "r", "rr"]}}]}
    with pytest.raises(CodecError, match="by gates only"):
        train_in_rounds(deeper, TRAIN, TRAIN, tmp_path)


def test_measured_norms_are_the_statistics_of_the_given_batches():
    model = Teacher(widths=(4, 8, 8), dropout=0.0).eval()
    batches = [torch.rand(5, 1, 28, 28) for _ in range(3)]
    measure_norms(model, iter(batches), bfloat16=False)
    convolution, norm = model.trunk[0][0], model.trunk[0][1]
    with torch.no_grad():
        maps = [convolution((batch - 0.3) / 0.35) for batch in batches]
    assert torch.allclose(norm.running_mean, torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, torch.stack([m.var((0, 2, 3)) for m in maps]).mean(0), atol=1e-5)
    assert not model.training
