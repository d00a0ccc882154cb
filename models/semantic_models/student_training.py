# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a student on labels, the knowledge store and a random channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from .augmentation import Augmentation, view_seeds
from .channels import KINDS, transmit
from .checkpoint import resume_training, save_training
from .data import ImageSet
from .errors import CodecError
from .evaluate import accuracy_at, features_of
from .knowledge_store import KnowledgeStore
from .losses import RateBound, task_and_distillation
from .student import Student
from .teacher import to_unit
from .training import Average, Log, config_hash, epoch_batches, mixed_precision, one_cycle, progress

GRADIENT_LIMIT = 2.0
LOST_STEPS_LIMIT = 20  # so many non-finite losses in one epoch, and the run stops


class _Trainee(nn.Module):
    """What the optimiser changes: the student and the rate bound's power profile."""

    def __init__(self, student: Student):
        super().__init__()
        self.student, self.rate = student, RateBound(student.symbols)


def train_student(
    config: dict,
    student: Student,
    budgets: tuple[int, ...],
    snr_range_db: tuple[float, float],
    train: ImageSet,
    validation: ImageSet,
    folder: Path,
    store: KnowledgeStore | None = None,
    device="cpu",
) -> Student:
    """Train `student` (or go on from the checkpoint in `folder`) and return its averaged copy.

    config: seed, epochs, batch, learning_rate, weight_decay, average_decay, bfloat16, distillation (share of the
    teacher's term), rate_beta, channels (kind -> share of the samples), report_error_db (standard deviation of the SNR
    that the module is told), augmentation (used without a store). store: None trains on labels only.
    Raises CodecError if the loss stays NaN or infinite, or the store belongs to other data.
    """
    folder, device = Path(folder), torch.device(device)
    if store is not None:
        store.matches(train)
    checksum = store.header["records_sha256"] if store else None
    log = Log(folder)
    shapes = {key: list(value.shape) for key, value in student.state_dict().items()}
    facts = [config, train.content_hash, checksum, list(budgets), list(snr_range_db), shapes]
    signature = config_hash(facts)
    seed, epochs, batch = config["seed"], config["epochs"], config["batch"]
    trainee = _Trainee(student).to(device, memory_format=torch.channels_last)
    average = Average(trainee, config["average_decay"])
    optimizer = torch.optim.AdamW(_parameter_groups(trainee, config["weight_decay"]))
    checkpoint = folder / "checkpoint.safetensors"
    start = resume_training(checkpoint, trainee, average.model, optimizer, signature)
    steps = epochs * (len(train) // batch)
    for epoch in range(start, epochs):
        draw = torch.Generator(device).manual_seed(seed * 100_003 + epoch)
        trainee.train()
        losses, lost = [], 0
        batches = epoch_batches(len(train), batch, seed, epoch)
        for number, chosen in enumerate(progress(batches, f"epoch {epoch + 1}")):
            step = epoch * len(batches) + number
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(step, steps, config["learning_rate"])
            views, teacher = _views(config, train, store, epoch, chosen)
            labels = torch.from_numpy(train.labels[chosen]).to(device)
            teacher = None if teacher is None else torch.from_numpy(teacher).to(device)
            loss = _loss(config, trainee, budgets, snr_range_db, to_unit(views, device), labels, teacher, draw)
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(trainee.parameters(), GRADIENT_LIMIT)
            if not torch.isfinite(loss + norm):  # a step that would ruin the weights is left out
                lost += 1
                if lost >= min(LOST_STEPS_LIMIT, len(batches)):
                    raise CodecError(f"student: the loss stays {loss.item()} in epoch {epoch + 1}; lower learning_rate")
                continue
            optimizer.step()
            average.update(trainee, step)
            losses.append(loss.detach())
        save_training(checkpoint, trainee, average.model, optimizer, epoch + 1, signature)
        log(
            epoch=epoch + 1,
            loss=torch.stack(losses).mean().item(),
            lost_steps=lost,
            **_validate(average.model.student, budgets, snr_range_db, validation),
        )
    return average.model.student


def _views(config: dict, train: ImageSet, store: KnowledgeStore | None, epoch: int, chosen: np.ndarray):
    if store is not None:
        return store.view(train.images, epoch, chosen)
    augmentation = Augmentation(**config.get("augmentation", {}))
    return augmentation.apply(train.images[chosen], view_seeds(config["seed"], epoch, chosen)), None


def _loss(config: dict, trainee: _Trainee, budgets, snr_range_db, images, labels, teacher, draw) -> torch.Tensor:
    """One pass of the encoder; every budget then meets its own SNRs and noise."""
    with mixed_precision(images.device, config["bfloat16"]):
        features = trainee.student.encoder(images)
    count, low, high = len(images), *snr_range_db
    shares = torch.tensor([config["channels"].get(kind, 0.0) for kind in KINDS], device=draw.device)
    total = features.new_zeros(())
    for budget in budgets:
        snr_db = low + (high - low) * torch.rand(count, generator=draw, device=draw.device)
        told_db = snr_db + config["report_error_db"] * torch.randn(count, generator=draw, device=draw.device)
        kind = torch.multinomial(shares, count, replacement=True, generator=draw)
        symbols = trainee.student.send(features, told_db.clamp(low, high), budget)
        received, noise_var = transmit(symbols, snr_db, kind, draw)
        logits = trainee.student.decode(received, noise_var)
        total = total + task_and_distillation(logits, labels, teacher, config["distillation"])
        total = total + config["rate_beta"] * trainee.rate(symbols, noise_var)
    return total / len(budgets)


def _parameter_groups(trainee: nn.Module, weight_decay: float) -> list[dict]:
    """No weight decay on biases, norms and the power profile."""
    matrices = [value for value in trainee.parameters() if value.ndim > 1]
    vectors = [value for value in trainee.parameters() if value.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _validate(student: Student, budgets, snr_range_db, validation: ImageSet) -> dict[str, float]:
    features = features_of(student, validation.images)
    result = {}
    for snr_db in (0.0, 10.0):
        for budget in budgets:
            accuracy = accuracy_at(student, features, validation.labels, snr_db, budget, snr_range_db, seed=1)
            result[f"validation_{budget}_at_{snr_db:.0f}_db"] = accuracy
    return result
