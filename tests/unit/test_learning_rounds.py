# SPDX-License-Identifier: GPL-3.0-or-later
"""A teacher's second round, and the images that are mixed in it."""

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
from semantic_models.training import Log

TRAIN = load_images("synthetic:80")
SECOND = {"epochs": 3, "learning_rate": 0.02, "views": 2, "distillation": 0.5, "cutmix": 0.5}
CONFIG = TEACHER_TRAINING | {"second_round": SECOND}


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
    store = KnowledgeStore(path.parent / "first_round.store")
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


def test_a_killed_second_round_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole = load_teacher(train_in_rounds(CONFIG, TRAIN, TRAIN, tmp_path / "whole"))

    class DyingLog(Log):
        def __call__(self, **fields):
            super().__call__(**fields)
            if fields["epoch"] == 2 and self.path.parent.name == "second_round":
                raise KeyboardInterrupt

    monkeypatch.setattr(teacher, "Log", DyingLog)
    with pytest.raises(KeyboardInterrupt):
        train_in_rounds(CONFIG, TRAIN, TRAIN, tmp_path / "killed")
    monkeypatch.undo()
    path = train_in_rounds(CONFIG, TRAIN, TRAIN, tmp_path / "killed")
    log = (path.parent / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3]
    for key, value in load_teacher(path).state_dict().items():
        assert torch.equal(value, whole.state_dict()[key]), key


def test_answers_of_another_first_round_are_refused(tmp_path):
    train_in_rounds(CONFIG, TRAIN, TRAIN, tmp_path)
    more_views = CONFIG | {"second_round": SECOND | {"views": 3}}
    with pytest.raises(CodecError, match="another first round; remove it"):
        train_in_rounds(more_views, TRAIN, TRAIN, tmp_path)
