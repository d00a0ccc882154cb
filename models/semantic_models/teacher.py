# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher: a residual network that is trained once and then only asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from .augmentation import Augmentation, view_seeds
from .checkpoint import read_tensors, resume_training, save_training, write_tensors
from .cutmix import cut_and_mix
from .data import ImageSet
from .errors import CodecError
from .losses import task_and_distillation
from .muon import MuonAndSgd
from .processes import average_gradients, first_process_first, process_rank
from .training import (
    Average,
    Log,
    PlainMean,
    config_hash,
    epoch_batches,
    measure_norms,
    mixed_precision,
    one_cycle,
    progress,
    scaled_images,
)
from .trunk import convolutional_trunk, pooled_features
from .wide_resnet import WideResNet

BLOCKS = ("", "r", "r")
NORM_BATCHES = 16  # that the batch norms of averaged weights are measured with


class Teacher(nn.Module):
    """images float32 0..1, N x C x H x W -> logits N x classes. widths, blocks: see trunk.py."""

    def __init__(
        self, image_shape=(1, 28, 28), classes: int = 10, widths=(32, 64, 128), dropout: float = 0.1, blocks=BLOCKS
    ):
        super().__init__()
        self.config = {"image_shape": list(image_shape), "classes": classes, "widths": list(widths), "dropout": dropout}
        if list(blocks) != list(BLOCKS):
            self.config["blocks"] = list(blocks)
        self.trunk = convolutional_trunk(image_shape[0], widths, blocks)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * widths[-1], classes))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images as for forward -> the embedding: maximum and mean of each channel, N x 2 widths[-1]."""
        return pooled_features(self.trunk, images)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """What features gives -> logits."""
        return self.head(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(images))


KINDS = {"residual": Teacher, "wide-resnet": WideResNet}


def build_teacher(kind: str = "residual", **arguments) -> nn.Module:
    """A network with fresh weights. kind: one of KINDS; arguments: that class's own. CodecError for unknown ones."""
    if kind not in KINDS:
        raise CodecError(f"teacher: kind is {kind!r}; known are {', '.join(KINDS)}")
    try:
        return KINDS[kind](**arguments)
    except TypeError as error:
        raise CodecError(f"teacher: model of kind {kind}: {error}") from None


def train_teacher(
    config: dict, train: ImageSet, validation: ImageSet, folder: Path, device="cpu", start=None, answers=None
) -> nn.Module:
    """Train a teacher, or go on from the checkpoint in `folder`; returns the averaged network.

    config: seed, epochs, batch, learning_rate, weight_decay, average_decay, bfloat16, and model (kind, one of
    KINDS, and that class's arguments); optionally label_smoothing (see losses.py), small_images (see
    training.scaled_images), muon: {learning_rate, momentum} of the convolutions (see muon.py), cutmix: share of the
    batches that are mixed (cutmix.py), distillation: share of the answers' term in the loss, and mean_from: the
    learning rate then stays at its peak, and the network is the mean of the weights after each step from this share of
    the epochs on (see training.PlainMean).
    start: a network whose weights this one begins with; gates (trunk.GatedResidual) may be added to it.
    answers(epoch, chosen) -> what a teacher said about these training images, probabilities, float32, N x classes
    (numpy).
    Writes folder/teacher.safetensors, checkpoint.safetensors and log.jsonl.
    Started by torchrun, every process takes its part of each batch; process 0 writes.
    """
    folder, device = Path(folder), torch.device(device)
    log, signature = Log(folder), config_hash(config | {"data": train.content_hash})
    seed, epochs, batch = config["seed"], config["epochs"], config["batch"]
    torch.manual_seed(seed)
    rank, processes = process_rank()
    shape, classes = train.images.shape[1:], len(train.classes)
    model = build_teacher(image_shape=shape, classes=classes, **config.get("model", {}))
    if start is not None:
        _begin_with(model, start)
    model = model.to(device, memory_format=torch.channels_last)
    steps, level = epochs * (len(train) // batch), "mean_from" in config
    average = PlainMean(model, int(config["mean_from"] * steps)) if level else Average(model, config["average_decay"])
    optimizer = _optimizer(config, model)
    checkpoint = folder / "checkpoint.safetensors"
    start = resume_training(checkpoint, model, average.model, optimizer, signature)
    augmentation = Augmentation(**config.get("augmentation", {}))
    for epoch in range(start, epochs):
        torch.manual_seed(seed * 1000 + epoch + rank * 1_000_003)  # dropout
        model.train()
        losses = []
        batches = epoch_batches(len(train), batch, seed, epoch)
        for number, chosen in enumerate(progress(batches, f"teacher, epoch {epoch + 1}")):
            step = epoch * (len(train) // batch) + number
            _set_rate(config, optimizer, one_cycle(step, steps, 1.0, level=level))
            chosen = chosen[rank::processes]
            views = augmentation.apply(train.images[chosen], view_seeds(seed, epoch, chosen))
            images = scaled_images(config, to_unit(views, device), epoch)
            labels = torch.from_numpy(train.labels[chosen]).to(device)
            said = None if answers is None else torch.from_numpy(answers(epoch, chosen)).to(device)
            draw = np.random.default_rng([seed, epoch, number, rank])
            loss = _loss(config, model, images, labels, said, draw)
            optimizer.zero_grad()
            loss.backward()
            average_gradients(model)
            optimizer.step()
            average.update(model, step)
            losses.append(loss.detach())
        mean_loss = torch.stack(losses).mean().item()
        if not np.isfinite(mean_loss):
            raise CodecError(f"teacher: the loss became {mean_loss} in epoch {epoch + 1}; lower learning_rate")
        if level:
            measured = epoch_batches(len(train), batch, seed, epoch)[:NORM_BATCHES]
            views = (augmentation.apply(train.images[k], view_seeds(seed, epoch, k)) for k in measured)
            measure_norms(average.model, (to_unit(view, device) for view in views), config["bfloat16"])
        if rank:
            continue
        save_training(checkpoint, model, average.model, optimizer, epoch + 1, signature)
        right = teacher_logits(average.model, validation.images).argmax(1) == validation.labels
        log(epoch=epoch + 1, loss=mean_loss, validation_accuracy=float(right.mean()))
    if rank == 0:
        metadata = {"model": model.config, "training": config}
        write_tensors(folder / "teacher.safetensors", average.model.state_dict(), metadata)
    first_process_first()
    return average.model


def _begin_with(model: nn.Module, start: nn.Module) -> None:
    missing, unknown = model.load_state_dict(start.state_dict(), strict=False)
    if unknown or any(".gate." not in name for name in missing):
        raise CodecError("teacher: a later round's model may differ from the first one's by gates only (blocks g, r)")


def _loss(config: dict, model: nn.Module, images, labels, said, draw: np.random.Generator) -> torch.Tensor:
    partners, own = None, 1.0
    if draw.uniform() < config.get("cutmix", 0.0):
        images, partners, own = cut_and_mix(images, draw)
    with mixed_precision(images.device, config["bfloat16"]):
        logits = model(images)
    weights = config.get("distillation", 0.0), config.get("label_smoothing", 0.0)
    loss = task_and_distillation(logits, labels, said, *weights)
    if partners is None:
        return loss
    said = None if said is None else said[partners]
    return own * loss + (1 - own) * task_and_distillation(logits, labels[partners], said, *weights)


def _optimizer(config: dict, model: nn.Module):
    decay = config["weight_decay"]
    if "muon" in config:
        return MuonAndSgd(model, config["muon"]["momentum"], decay)
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=decay)


def _set_rate(config: dict, optimizer, share: float) -> None:
    """The learning rate of the next step: this share of the peak."""
    if "muon" in config:
        optimizer.set_rates(share * config["muon"]["learning_rate"], share * config["learning_rate"])
    else:
        optimizer.param_groups[0]["lr"] = share * config["learning_rate"]


def load_teacher(path: Path, device="cpu") -> nn.Module:
    """Load a trained teacher from its safetensors file; CodecError if it is not one."""
    tensors, metadata = read_tensors(path)
    try:
        model = build_teacher(**metadata["model"])
        model.load_state_dict(tensors)
    except (CodecError, KeyError, TypeError, RuntimeError):
        raise CodecError(f"teacher {path}: not a teacher's weights") from None
    return model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


@torch.inference_mode()
def teacher_logits(model: nn.Module, images: np.ndarray, batch: int = 500, bfloat16: bool = False) -> np.ndarray:
    """images uint8, N x C x H x W -> float32 logits, N x classes."""
    model.eval()
    device = next(model.parameters()).device
    with mixed_precision(device, bfloat16):
        parts = [model(to_unit(images[k : k + batch], device)).float().cpu() for k in range(0, len(images), batch)]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def teacher_outputs(model: nn.Module, images: np.ndarray, batch: int = 500, bfloat16: bool = False):
    """images uint8, N x C x H x W -> logits, N x classes, and features, N x F; both float32.

    CodecError if the teacher is of a kind that has no features.
    """
    if not hasattr(model, "features"):
        raise CodecError(f"teacher: a {type(model).__name__} gives no features")
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with mixed_precision(device, bfloat16):
        for start in range(0, len(images), batch):
            features = model.features(to_unit(images[start : start + batch], device))
            parts.append((model.classify(features).float().cpu(), features.float().cpu()))
    return tuple(torch.cat(column).numpy() for column in zip(*parts, strict=True))


def to_unit(images: np.ndarray, device) -> torch.Tensor:
    """uint8 images (numpy) -> float32 0..1 on the device, channels last."""
    return torch.tensor(images).to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
