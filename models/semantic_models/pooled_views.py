# SPDX-License-Identifier: GPL-3.0-or-later
"""What a frozen trunk makes of augmented views, computed once: epochs of the rest then cost next to nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from .augmentation import Augmentation, view_seeds
from .checkpoint import read_tensors, write_tensors
from .data import ImageSet
from .knowledge_store import teacher_hash
from .processes import first_process_first, process_rank
from .teacher import to_unit
from .training import config_hash, mixed_precision, progress

BATCH = 500


class PooledViews:
    """Files of one view each, float16, N x features, in `folder`; those that are there already are taken.

    encoder: a student.Encoder whose trunk does not change any more. config: the student's training section
    (pooled_views: how many; seed, augmentation, bfloat16). Started by torchrun, every process makes its share of them.
    """

    def __init__(self, config: dict, encoder: nn.Module, train: ImageSet, folder: Path, device: torch.device):
        self._folder, self._views, self._device = Path(folder), config["pooled_views"], device
        facts = [config["seed"], config.get("augmentation", {}), train.content_hash, teacher_hash(encoder.trunk)]
        self._signature = config_hash(facts)
        rank, processes = process_rank()
        for view in progress(list(range(self._views))[rank::processes], "views through the trunk"):
            if not self._path(view).is_file():
                pooled = _pooled(config, encoder, train, view, device)
                write_tensors(self._path(view), {"pooled": pooled}, {"config": self._signature})
        first_process_first()
        self._pooled = [read_tensors(self._path(view))[0]["pooled"] for view in range(self._views)]

    def rows(self, view: int, chosen) -> torch.Tensor:
        """What Encoder.pooled gave for these images in this view (they come again in turn): float32, N x features."""
        return self._pooled[view % self._views][torch.from_numpy(chosen)].to(self._device).float()

    def _path(self, view: int) -> Path:
        return self._folder / f"{self._signature[:16]}-{view}.safetensors"


@torch.inference_mode()
def _pooled(config: dict, encoder: nn.Module, train: ImageSet, view: int, device: torch.device) -> torch.Tensor:
    augmentation, parts = Augmentation(**config.get("augmentation", {})), []
    seeds = view_seeds(config["seed"], view, range(len(train)))
    with mixed_precision(device, config["bfloat16"]):
        for start in range(0, len(train), BATCH):
            views = augmentation.apply(train.images[start : start + BATCH], seeds[start : start + BATCH])
            parts.append(encoder.pooled(to_unit(views, device)).half().cpu())
    return torch.cat(parts)
