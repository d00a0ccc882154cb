# SPDX-License-Identifier: GPL-3.0-or-later
"""Training DeepJSCC: the least squared error of the rebuilt picture, over random SNRs, budgets and channels."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .augmentation import Augmentation, view_seeds
from .channel_adaptive import send_prefix
from .channels import KINDS, transmit
from .checkpoint import resume_training, save_training
from .data import ImageSet, load_images
from .deepjscc import DeepJSCC, teacher_form
from .device import choose_device
from .distill import make_writable, open_knowledge
from .errors import CodecError
from .evaluate import accuracy_at, features_of
from .experiment_file import ONLINE, load_experiment
from .knowledge_store import teacher_hash
from .publish import publish
from .teacher import to_unit
from .training import Average, Log, config_hash, epoch_batches, mixed_precision, one_cycle, progress

GRADIENT_LIMIT = 2.0


def train_deepjscc(
    config: dict,
    model: DeepJSCC,
    budgets: tuple[int, ...],
    snr_range_db: tuple[float, float],
    train: ImageSet,
    validation: ImageSet,
    folder: Path,
    device="cpu",
) -> DeepJSCC:
    """Train `model` (or go on from the checkpoint in `folder`) and return its averaged copy. The teacher is frozen.

    config: seed, epochs, batch, learning_rate, weight_decay, average_decay, bfloat16, channels (kind -> share of the
    samples), report_error_db, budgets_a_step (how many of the budgets each step draws), augmentation.
    Raises CodecError if the loss becomes NaN or infinite.
    """
    folder, device = Path(folder), torch.device(device)
    log = Log(folder)
    signature = config_hash([config, train.content_hash, list(budgets), list(snr_range_db)])
    model = model.to(device, memory_format=torch.channels_last)
    average = Average(model, config["average_decay"])
    learnt = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learnt, weight_decay=config["weight_decay"])
    checkpoint = folder / "checkpoint.safetensors"
    start = resume_training(checkpoint, model, average.model, optimizer, signature)
    augmentation = Augmentation(**config["augmentation"])
    steps = len(train) // config["batch"]
    for epoch in range(start, config["epochs"]):
        began = time.perf_counter()
        draw = torch.Generator(device).manual_seed(config["seed"] * 100_003 + epoch)
        model.train()
        losses = []
        batches = epoch_batches(len(train), config["batch"], config["seed"], epoch)
        for number, chosen in enumerate(progress(batches, f"epoch {epoch + 1}")):
            step = epoch * steps + number
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(step, config["epochs"] * steps, config["learning_rate"])
            views = augmentation.apply(train.images[chosen], view_seeds(config["seed"], epoch, chosen))
            loss = _loss(config, model, budgets, snr_range_db, to_unit(views, device), draw)
            if not torch.isfinite(loss):
                raise CodecError(f"deepjscc: the loss became {loss.item()} in epoch {epoch + 1}; lower learning_rate")
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learnt, GRADIENT_LIMIT)
            optimizer.step()
            average.update(model, step)
            losses.append(loss.detach())
        save_training(checkpoint, model, average.model, optimizer, epoch + 1, signature)
        log(
            epoch=epoch + 1,
            squared_error=torch.stack(losses).mean().item(),
            seconds=round(time.perf_counter() - began, 2),
            **_validate(average.model, budgets, snr_range_db, validation),
        )
    return average.model


def is_deepjscc(experiment: dict) -> bool:
    """Whether an experiment is one for distill_deepjscc."""
    model = experiment["student"].get("model") if isinstance(experiment["student"], dict) else None
    return isinstance(model, dict) and model.get("kind") == "deepjscc"


def distill_deepjscc(
    experiment_path: Path, out: Path, work: Path, device: str = "auto", knowledge: Path | None = None
) -> dict:
    """Run an experiment whose student.model.kind is deepjscc, or what is left of it, and write the codec folder `out`.

    knowledge: folder of the teacher, where experiments share it (None: work). Returns the evaluation.
    Raises CodecError for a bad file, missing data or a diverging loss.
    """
    experiment = load_experiment(experiment_path)
    settings, chosen, work = experiment["student"], choose_device(device), Path(work)
    for folder in (work, Path(out)):
        make_writable(folder)
    data = {part: load_images(spec) for part, spec in experiment["data"].items()}
    if experiment.get("store") != ONLINE:
        raise CodecError(
            f"experiment {experiment_path}: DeepJSCC asks its teacher only at the end; set store: {ONLINE}"
        )
    _, teacher = open_knowledge(experiment, data, Path(knowledge or work), chosen)
    shape, classes, budgets = data["train"].images.shape[1:], data["train"].classes, tuple(settings["budgets"])
    form = {key: value for key, value in settings["model"].items() if key != "kind"} | {
        "teacher": teacher_form(teacher)
    }
    torch.manual_seed(settings["training"]["seed"])
    model = DeepJSCC(shape, len(classes), max(budgets), **form)
    model.decoder.teacher.load_state_dict(teacher.state_dict())
    range_db = tuple(settings["snr_range_db"])
    model = train_deepjscc(
        settings["training"], model, budgets, range_db, data["train"], data["validation"], work / "deepjscc", chosen
    )
    origin = {
        "train_data": data["train"].name,
        "train_sha256": data["train"].content_hash,
        "teacher_sha256": teacher_hash(teacher),
        "epochs": settings["training"]["epochs"],
    }
    described = settings | {"model": {"kind": "deepjscc"} | form}
    return publish(out, experiment["name"], classes, shape, described, model.cpu(), data["test"], origin)


def _loss(config: dict, model: DeepJSCC, budgets, snr_range_db, images: torch.Tensor, draw) -> torch.Tensor:
    """Mean squared error over some of the budgets, each with its own SNRs and noise."""
    count, (low, high) = len(images), snr_range_db
    shares = torch.tensor([config["channels"].get(kind, 0.0) for kind in KINDS], device=draw.device)
    with mixed_precision(images.device, config["bfloat16"]):
        features = model.encoder(images)
    drawn = torch.randperm(len(budgets), generator=draw, device=draw.device)[: config["budgets_a_step"]]
    total = images.new_zeros(())
    for index in drawn.tolist():
        snr_db = low + (high - low) * torch.rand(count, generator=draw, device=draw.device)
        error_db = config["report_error_db"] * torch.randn(count, generator=draw, device=draw.device)
        kind = torch.multinomial(shares, count, replacement=True, generator=draw)
        with mixed_precision(images.device, config["bfloat16"]):
            code = model.adapt(features, (snr_db + error_db).clamp(low, high))
        received, noise_var = transmit(send_prefix(code.float(), budgets[index]), snr_db, kind, draw)
        with mixed_precision(images.device, config["bfloat16"]):
            picture = model.reconstruct(received, noise_var)
        total = total + F.mse_loss(picture.float(), images)
    return total / len(drawn)


def _validate(model: DeepJSCC, budgets, snr_range_db, validation: ImageSet) -> dict[str, float]:
    features = features_of(model, validation.images)
    return {
        f"validation_{budget}_at_10_db": accuracy_at(
            model, features, validation.labels, 10.0, budget, snr_range_db, seed=1
        )
        for budget in budgets
    }
