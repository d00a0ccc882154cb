# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a student on labels, the knowledge store and a random channel."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .augmentation import Augmentation, view_seeds
from .channels import KINDS, erase, transmit
from .checkpoint import resume_training, save_training
from .data import ImageSet
from .errors import CodecError
from .evaluate import accuracy_at, pooled_of
from .feature_distillation import distill_trunk, freeze_trunk, load_teacher_trunk
from .knowledge_store import KnowledgeStore, teacher_hash
from .losses import RATES, embedding_term, task_and_distillation
from .pooled_views import PooledViews
from .processes import average_gradients, average_over_processes, process_rank
from .snr_report import told_snr_db
from .student import Student
from .teacher import to_unit
from .training import Average, Log, config_hash, epoch_batches, mixed_precision, one_cycle, progress, scaled_images

GRADIENT_LIMIT = 2.0
LOST_STEPS_LIMIT = 20  # so many non-finite losses in one epoch, and the run stops


class _Trainee(nn.Module):
    """What the optimiser changes: the student and the rate bound's power profile."""

    def __init__(self, student: Student, rate: str):
        super().__init__()
        if rate not in RATES:
            raise CodecError(f"student: rate is {rate!r}; known are {', '.join(RATES)}")
        self.student, self.rate = student, RATES[rate](student.symbols)


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
    teacher: nn.Module | None = None,
) -> Student:
    """Train `student` (or go on from the checkpoint in `folder`) and return its averaged copy.

    config: seed, epochs, batch, learning_rate, weight_decay, average_decay, bfloat16, distillation (share of the
    teacher's term), rate_beta, channels (kind -> share of the samples), report_error_db (standard deviation of the SNR
    that the module is told); and optionally
      augmentation: used without a store. images: how many of the training images are used (the first ones; all).
      passes: how often an epoch goes over them (1). report_delay, erasures: see snr_report.py and channels.erase.
      rate: one of losses.RATES. own_views: True shows the student other views than the store's answers are about.
      first_stage: training of the trunk without a channel before (feature_distillation.py), then it is frozen.
      trunk: "teacher" takes the teacher's own trunk, frozen; pooled_views: then so many augmented views are taken
      through it once (pooled_views.py), instead of a new one in every epoch.
      label_smoothing: see losses.task_and_distillation.
      small_images: see training.scaled_images.
      embedding_weight: of the term that makes the receiver rebuild the embeddings in the store (student.embedder).
    store: None trains on labels, or on what `teacher` says about each batch if one is given (online distillation).
    Started by torchrun, every process takes its part of each batch; process 0 writes.
    Raises CodecError if the loss stays NaN or infinite, or the store belongs to other data.
    """
    folder, device = Path(folder), torch.device(device)
    if store is not None:
        store.matches(train)
    checksum = store.header["records_sha256"] if store else None
    _check_embedding(config, student, store)
    rank, processes = process_rank()
    log = Log(folder)
    shapes = {key: list(value.shape) for key, value in student.state_dict().items()}
    facts = [config, train.content_hash, checksum, list(budgets), list(snr_range_db), shapes]
    frozen = "first_stage" in config or "trunk" in config
    if teacher is not None and (frozen or store is None):
        facts.append(teacher_hash(teacher))
    signature = config_hash(facts)
    epochs = config["epochs"]
    if "first_stage" in config:
        distill_trunk(config, student, teacher, train, folder / "first_stage", device)
    if config.get("trunk") == "teacher":
        load_teacher_trunk(student, teacher)
    if frozen:
        freeze_trunk(student)
    online = teacher.eval() if teacher is not None and store is None and config["distillation"] > 0 else None
    pooled = pooled_validation = None
    if config.get("pooled_views"):
        if config.get("trunk") != "teacher" or store is not None:
            raise CodecError("student: pooled_views needs trunk: teacher, and store: online")
        pooled = PooledViews(config, student.to(device), train, folder / "pooled", device)
        pooled_validation = pooled_of(student, validation.images)
    trainee = _Trainee(student, config.get("rate", "gaussian")).to(device, memory_format=torch.channels_last)
    average = Average(trainee, config["average_decay"])
    optimizer = torch.optim.AdamW(_parameter_groups(trainee, config["weight_decay"]))
    checkpoint = folder / "checkpoint.safetensors"
    start = resume_training(checkpoint, trainee, average.model, optimizer, signature)
    for epoch in range(start, epochs):
        began = time.perf_counter(), time.process_time()
        draw = torch.Generator(device).manual_seed(config["seed"] * 100_003 + epoch + rank * 1_000_003)
        trainee.train()
        if frozen:
            freeze_trunk(student)
        losses, lost = [], 0
        batches = _batches(config, train, epoch)
        for number, (view, chosen) in enumerate(progress(batches, f"epoch {epoch + 1}")):
            step = epoch * len(batches) + number
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(step, epochs * len(batches), config["learning_rate"])
            chosen = chosen[rank::processes]
            labels = torch.from_numpy(train.labels[chosen]).to(device)
            if pooled is not None:
                seen = pooled.rows(view, chosen)
                answers = _ask(online and online.classify, seen, bfloat16=False)
                features = student.encoder.code(seen)
            else:
                views, answers = _views(config, train, store, view, chosen)
                images = to_unit(views, device)
                answers = (
                    _ask(online, images, config["bfloat16"])
                    if answers is None
                    else torch.from_numpy(answers).to(device)
                )
                with mixed_precision(device, config["bfloat16"]):
                    features = student.encoder(scaled_images(config, images, epoch))
            embedding = None
            if config.get("embedding_weight"):
                embedding = torch.from_numpy(store.embedding(view, chosen)).to(device)
            loss = _loss(config, trainee, budgets, snr_range_db, features, labels, answers, draw, embedding)
            optimizer.zero_grad()
            loss.backward()
            average_gradients(trainee)
            loss = average_over_processes(loss.detach())
            norm = nn.utils.clip_grad_norm_(trainee.parameters(), GRADIENT_LIMIT)
            if not torch.isfinite(loss + norm):  # a step that would ruin the weights is left out
                lost += 1
                if lost >= min(LOST_STEPS_LIMIT, len(batches)):
                    raise CodecError(f"student: the loss stays {loss.item()} in epoch {epoch + 1}; lower learning_rate")
                continue
            optimizer.step()
            average.update(trainee, step)
            losses.append(loss)
        seconds, processor_seconds = time.perf_counter() - began[0], time.process_time() - began[1]
        if rank:
            continue
        save_training(checkpoint, trainee, average.model, optimizer, epoch + 1, signature)
        log(
            epoch=epoch + 1,
            loss=torch.stack(losses).mean().item(),
            lost_steps=lost,
            seconds=round(seconds, 2),
            processor_seconds=round(processor_seconds, 3),
            **_validate(average.model.student, budgets, snr_range_db, validation, pooled_validation),
        )
    return average.model.student


def _batches(config: dict, train: ImageSet, epoch: int) -> list[tuple[int, np.ndarray]]:
    """Number of the view and sample indices of an epoch's steps."""
    images, passes = config.get("images", len(train)), config.get("passes", 1)
    if not config["batch"] <= images <= len(train):
        raise CodecError(f"student: images is {images}, it must lie within {config['batch']}:{len(train)} (batch:set)")
    views = range(epoch * passes, (epoch + 1) * passes)
    return [(view, chosen) for view in views for chosen in epoch_batches(images, config["batch"], config["seed"], view)]


def _views(config: dict, train: ImageSet, store: KnowledgeStore | None, view: int, chosen: np.ndarray):
    """Augmented images, and the teacher's stored probabilities of them (None without a store)."""
    if store is not None and not config.get("own_views"):
        return store.view(train.images, view, chosen)
    augmentation = Augmentation(**config.get("augmentation", {}))
    views = augmentation.apply(train.images[chosen], view_seeds(config["seed"], view, chosen))
    return views, None if store is None else store.answers(view, chosen)


@torch.no_grad()
def _ask(ask: Callable | None, inputs: torch.Tensor, bfloat16: bool) -> torch.Tensor | None:
    """The probabilities of a teacher in the loop, N x classes. ask: inputs -> its logits."""
    if ask is None:
        return None
    with mixed_precision(inputs.device, bfloat16):
        logits = ask(inputs)
    return torch.softmax(logits.float(), 1)


def _check_embedding(config: dict, student: Student, store: KnowledgeStore | None) -> None:
    if bool(config.get("embedding_weight")) != (student.embedder is not None):
        raise CodecError("student: model.embedding and training.embedding_weight go together")
    if student.embedder is None:
        return
    if config.get("own_views"):
        raise CodecError("student: own_views has no stored embeddings; leave out embedding_weight")
    width = store.features.width if store is not None and store.features else 0
    if student.embedding != width:
        raise CodecError(
            f"student: model.embedding is {student.embedding}, the store's embeddings have {width} numbers; see "
            "features in section store, and remove the store to build it again"
        )


def _loss(
    config: dict, trainee: _Trainee, budgets, snr_range_db, features, labels, teacher, draw, embedding=None
) -> torch.Tensor:
    """features: X0, N x 2 symbols; every budget meets its own SNRs and noise."""
    count, low, high = len(features), *snr_range_db
    shares = torch.tensor([config["channels"].get(kind, 0.0) for kind in KINDS], device=draw.device)
    total = features.new_zeros(())
    for budget in budgets:
        snr_db = low + (high - low) * torch.rand(count, generator=draw, device=draw.device)
        told_db = told_snr_db(config, snr_db, draw)
        kind = torch.multinomial(shares, count, replacement=True, generator=draw)
        symbols = trainee.student.send(features, told_db.clamp(low, high), budget)
        received, noise_var = transmit(symbols, snr_db, kind, draw)
        if config.get("erasures"):
            received, noise_var = erase(received, noise_var, config["erasures"], draw)
        logits = trainee.student.decode(received, noise_var)
        smoothing = config.get("label_smoothing", 0.0)
        total = total + task_and_distillation(logits, labels, teacher, config["distillation"], smoothing)
        total = total + config["rate_beta"] * trainee.rate(symbols, noise_var)
        if embedding is not None:
            rebuilt = trainee.student.rebuild(received, noise_var)
            total = total + config["embedding_weight"] * embedding_term(rebuilt, embedding)
    return total / len(budgets)


def _parameter_groups(trainee: nn.Module, weight_decay: float) -> list[dict]:
    """No weight decay on biases, norms and the power profile."""
    matrices = [value for value in trainee.parameters() if value.ndim > 1]
    vectors = [value for value in trainee.parameters() if value.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _validate(student: Student, budgets, snr_range_db, validation: ImageSet, pooled=None) -> dict[str, float]:
    pooled = pooled_of(student, validation.images) if pooled is None else pooled
    features = student.encoder.code(pooled)
    result = {}
    for snr_db in (0.0, 10.0):
        for budget in budgets:
            accuracy = accuracy_at(student, features, validation.labels, snr_db, budget, snr_range_db, seed=1)
            result[f"validation_{budget}_at_{snr_db:.0f}_db"] = accuracy
    return result
