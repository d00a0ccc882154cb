# SPDX-License-Identifier: GPL-3.0-or-later
"""What every training run shares: batches, averaged weights, learning-rate curve, log, device settings."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn


def config_hash(config) -> str:
    """sha256 (hex) of a JSON-able configuration, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def epoch_batches(count: int, batch: int, seed: int, epoch: int):
    """Index arrays of one epoch's full batches; the order depends on (seed, epoch) only."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[start : start + batch] for start in range(0, count - batch + 1, batch)]


def one_cycle(step: int, steps: int, peak: float, warm_share: float = 0.15, level: bool = False) -> float:
    """Learning rate: linear rise from peak/20 to the peak, then half a cosine down to zero, or level."""
    warm = max(1, int(warm_share * steps))
    if step < warm:
        return peak * (0.05 + 0.95 * step / warm)
    if level:
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class Average:
    """Exponential moving average of a model's weights and buffers, with a short memory at the start."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = self._decay(step)
        for mine, its in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(its.to(mine.dtype), 1 - decay)
            else:
                mine.copy_(its)

    def _decay(self, step: int) -> float:
        return min(self.decay, (1 + step) / (10 + step))


class PlainMean(Average):
    """The plain mean of the weights after each step from `first` on; before, the latest ones.

    With a learning rate that stays high this is stochastic weight averaging (Izmailov et al., arXiv 1803.05407); the
    batch norms' statistics are those of no network on the way, so that they must be measured anew (measure_norms).
    """

    def __init__(self, model: nn.Module, first: int):
        super().__init__(model, decay=0.0)
        self.first = first

    def _decay(self, step: int) -> float:
        seen = max(0, step - self.first)
        return seen / (seen + 1)


def measure_norms(model: nn.Module, batches: Iterable[torch.Tensor], bfloat16: bool) -> None:
    """Set the statistics of all batch norms to those of these batches of inputs (on the model's device)."""
    device = next(model.parameters()).device
    with mixed_precision(device, bfloat16):
        torch.optim.swa_utils.update_bn(batches, model)


class Log:
    """One JSON object a line in `folder/log.jsonl`, and a line for people on stderr."""

    def __init__(self, folder: Path):
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.path = Path(folder) / "log.jsonl"

    def __call__(self, **fields) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")
        shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in fields.items()}
        print(time.strftime("%H:%M:%S"), *map("{0[0]}={0[1]}".format, shown.items()), file=sys.stderr, flush=True)


def progress(items: list, text: str):
    """Iterate with a progress bar where stderr is a terminal, silently elsewhere."""
    console = Console(stderr=True)
    return track(items, text, console=console, transient=True) if console.is_terminal else items


def mixed_precision(device: torch.device, enabled: bool):
    """bfloat16 autocast: on CPUs with avx512_bf16 twice as fast here, on GPUs more."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def scaled_images(config: dict, images: torch.Tensor, epoch: int) -> torch.Tensor:
    """The images, N x C x H x W, as this epoch (from 0) sees them.

    small_images of config, {side, share} or a list of them with growing shares: up to this share of the epochs, images
    are scaled down to side x side, which costs (side / full side)^2 of the time (progressive resizing, as in the
    DAWNBench entry of fast.ai, 2018).
    """
    phases = config.get("small_images", [])
    for phase in [phases] if isinstance(phases, dict) else phases:
        if epoch < phase["share"] * config["epochs"]:
            size = (phase["side"],) * 2
            return nn.functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    return images
