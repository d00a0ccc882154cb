# SPDX-License-Identifier: GPL-3.0-or-later
"""What a frozen trunk makes of augmented views, computed once: epochs of the rest then cost next to nothing."""

from __future__ import annotations

from pathlib import Path

import torch

from .augmentation import Augmentation, view_seeds
from .checkpoint import read_tensors, write_tensors
from .data import ImageSet
from .evaluate import BATCH, pooled_of
from .knowledge_store import teacher_hash
from .processes import first_process_first, process_rank
from .student import Student
from .training import config_hash, mixed_precision, progress


class PooledViews:
    """Files of one view each, float16, N x features, in `folder`; those that are there already are taken.

    student: its trunk does not change any more. config: the student's training section
    (pooled_views: how many; seed, augmentation, bfloat16). Started by torchrun, every process makes its share of them.
    """

    def __init__(self, config: dict, student: Student, train: ImageSet, folder: Path, device: torch.device):
        self._folder, self._views, self._device = Path(folder), config["pooled_views"], device
        same = {key: config.get(key) for key in ("seed", "augmentation", "bfloat16")}
        facts = [same, student.encoder.mirror, train.content_hash, teacher_hash(student.encoder.trunk)]
        self._signature = config_hash(facts)
        rank, processes = process_rank()
        for view in progress(list(range(self._views))[rank::processes], "views through the trunk"):
            if not self._path(view).is_file():
                pooled = _pooled(config, student, train, view, device)
                write_tensors(self._path(view), {"pooled": pooled}, {"config": self._signature})
        first_process_first()
        self._pooled = [read_tensors(self._path(view))[0]["pooled"] for view in range(self._views)]

    def rows(self, view: int, chosen) -> torch.Tensor:
        """What Encoder.pooled gave for these images in this view, unshifted (views come again in turn): float32,
        N x features."""
        return self._pooled[view % self._views][torch.from_numpy(chosen)].to(self._device).float()

    def _path(self, view: int) -> Path:
        return self._folder / f"{self._signature[:16]}-{view}.safetensors"


@torch.inference_mode()
def _pooled(config: dict, student: Student, train: ImageSet, view: int, device: torch.device) -> torch.Tensor:
    augmentation, parts = Augmentation(**config.get("augmentation", {})), []
    seeds = view_seeds(config["seed"], view, range(len(train)))
    with mixed_precision(device, config["bfloat16"]):
        for start in range(0, len(train), BATCH):
            views = augmentation.apply(train.images[start : start + BATCH], seeds[start : start + BATCH])
            parts.append(pooled_of(student, views, shifted=False).half().cpu())
    return torch.cat(parts)
