# SPDX-License-Identifier: GPL-3.0-or-later
"""Trunks that no channel has trained: distilled on the teacher's features first, or the teacher's own."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .augmentation import Augmentation, view_seeds
from .checkpoint import resume_training, save_training
from .code_words import CodeWords
from .data import ImageSet
from .errors import CodecError
from .processes import average_gradients, first_process_first, process_rank
from .student import Student
from .teacher import to_unit
from .training import Average, Log, config_hash, epoch_batches, mixed_precision, one_cycle, progress


class _Stage(nn.Module):
    """The student's trunk, a classifier and a map to the teacher's features; the latter two serve this stage alone."""

    def __init__(self, student: Student, classes: int, features: int):
        super().__init__()
        width = student.encoder.pooled_width
        self.encoder, self.classify, self.imitate = (
            student.encoder,
            nn.Linear(width, classes),
            nn.Linear(width, features),
        )


def distill_trunk(config: dict, student: Student, teacher: nn.Module, train: ImageSet, folder: Path, device) -> None:
    """Train the student's trunk without a channel, on labels and on the teacher's features (the input of its last
    linear layer): cross entropy + feature_weight x mean squared error of the standardised features.

    config: the student's training section; first_stage holds epochs and feature_weight. Resumes from `folder`; at the
    end the student holds the averaged weights. Raises CodecError without a teacher.
    """
    if teacher is None:
        raise CodecError("student: first_stage needs a teacher")
    settings, seed, batch = config["first_stage"], config["seed"], config["batch"]
    images, passes = config.get("images", len(train)), config.get("passes", 1)
    augmentation, log = Augmentation(**config.get("augmentation", {})), Log(folder)
    width = teacher_features(teacher, to_unit(train.images[:2], device)).shape[1]
    torch.manual_seed(seed)
    stage = _Stage(student, len(train.classes), width).to(device, memory_format=torch.channels_last)
    average = Average(stage, config["average_decay"])
    optimizer = torch.optim.AdamW(stage.parameters(), weight_decay=config["weight_decay"])
    signature = config_hash([config, train.content_hash])
    checkpoint = Path(folder) / "checkpoint.safetensors"
    start = resume_training(checkpoint, stage, average.model, optimizer, signature)
    rank, processes = process_rank()
    for epoch in range(start, settings["epochs"]):
        stage.train()
        began, losses = time.process_time(), []
        views = range(epoch * passes, (epoch + 1) * passes)
        batches = [(view, chosen) for view in views for chosen in epoch_batches(images, batch, seed, view)]
        for number, (view, chosen) in enumerate(progress(batches, f"first stage, epoch {epoch + 1}")):
            step = epoch * len(batches) + number
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(step, settings["epochs"] * len(batches), config["learning_rate"])
            chosen = chosen[rank::processes]
            seen = to_unit(augmentation.apply(train.images[chosen], view_seeds(seed, view, chosen)), device)
            with mixed_precision(seen.device, config["bfloat16"]):
                target = teacher_features(teacher, seen).float()
                pooled = stage.encoder.pooled(seen)
            target = F.batch_norm(target, None, None, training=True)
            error = F.mse_loss(stage.imitate(pooled), target)
            labels = torch.from_numpy(train.labels[chosen]).to(device)
            loss = F.cross_entropy(stage.classify(pooled), labels) + settings["feature_weight"] * error
            optimizer.zero_grad()
            loss.backward()
            average_gradients(stage)
            optimizer.step()
            average.update(stage, step)
            losses.append(loss.detach())
        mean_loss = torch.stack(losses).mean()
        if not torch.isfinite(mean_loss):
            raise CodecError(f"student: the first stage's loss became {mean_loss.item()}; lower learning_rate")
        if rank == 0:
            save_training(checkpoint, stage, average.model, optimizer, epoch + 1, signature)
            processor_seconds = round(time.process_time() - began, 2)
            log(epoch=epoch + 1, loss=mean_loss.item(), processor_seconds=processor_seconds)
    first_process_first()
    resume_training(checkpoint, stage, average.model, optimizer, signature)  # the same weights in all processes
    student.encoder.load_state_dict(average.model.encoder.state_dict())
    _take_decisions(student, average.model.classify)


@torch.no_grad()
def teacher_features(teacher: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the teacher's last linear layer gets, N x features; in an ensemble, its last member's.

    images: float32 0..1, N x C x H x W.
    """
    last = [module for module in teacher.modules() if isinstance(module, nn.Linear)][-1]
    caught = []
    hook = last.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    try:
        teacher.eval()(images)
    finally:
        hook.remove()
    return caught[0]


def load_teacher_trunk(student: Student, teacher: nn.Module) -> None:
    """Copy the teacher's trunk into the student, and its last layer, if the student's code words begin with one.
    CodecError if the student's are of another shape."""
    try:
        student.encoder.trunk.load_state_dict(teacher.trunk.state_dict())
        _take_decisions(student, teacher.head[-1])
    except (AttributeError, RuntimeError):
        raise CodecError("student: trunk: teacher needs widths and blocks that are the teacher's own") from None


def _take_decisions(student: Student, last: nn.Linear) -> None:
    """Code words begin with the decisions of a trained last layer."""
    if isinstance(student.encoder.project, CodeWords):
        student.encoder.project.classify.load_state_dict(last.state_dict())


def freeze_trunk(student: Student) -> None:
    """Keep the trunk as it is, its batch norms too: as in use, not as in training; and of code words the decisions,
    which would learn the training images by heart, and the words, which would draw nearer to similar classes's."""
    student.encoder.trunk.requires_grad_(False).eval()
    if isinstance(student.encoder.project, CodeWords):
        student.encoder.project.requires_grad_(False)
