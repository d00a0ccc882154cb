# SPDX-License-Identifier: GPL-3.0-or-later
"""CutMix: a rectangle of each image comes from another one, and the target from both in proportion."""

from __future__ import annotations

import numpy as np
import torch


def cut_and_mix(images: torch.Tensor, draw: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Paste one rectangle, the same for the whole batch and uniform in area, from a partner into every image.

    images: N x C x H x W. Returns the mixed images, the partners' indices (int64, N), and the share of each image's
    area that is still its own. Source: Yun et al., "CutMix", ICCV 2019 (arXiv 1905.04899), with alpha = 1.
    """
    count, _, height, width = images.shape
    side = np.sqrt(draw.uniform())
    tall, wide = round(side * height), round(side * width)
    top, left = draw.integers(0, height - tall, endpoint=True), draw.integers(0, width - wide, endpoint=True)
    partners = torch.from_numpy(draw.permutation(count)).to(images.device)
    mixed = images.clone(memory_format=torch.preserve_format)
    rectangle = (slice(None), slice(None), slice(top, top + tall), slice(left, left + wide))
    mixed[rectangle] = images[partners][rectangle]
    return mixed, partners, 1 - tall * wide / (height * width)
