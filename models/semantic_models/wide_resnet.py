# SPDX-License-Identifier: GPL-3.0-or-later
"""Wide residual networks (Zagoruyko, Komodakis, arXiv 1605.07146) for 28 x 28 and 32 x 32 images: a strong teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .errors import CodecError


class _Block(nn.Module):
    """Batch norm and ReLU before each convolution; a 1 x 1 convolution where the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.norm1(x))
        straight = x if self.shortcut is None else self.shortcut(active)
        return straight + self.conv2(self.dropout(F.relu(self.norm2(self.conv1(active)))))


class WideResNet(nn.Module):
    """images float32 0..1, N x C x H x W -> logits, N x classes.

    depth: 6 n + 4 (16, 22, 28, ...). widen: factor on the widths 16, 32, 64; WRN-28-10 has 36.5 M parameters.
    """

    def __init__(self, image_shape, classes: int, depth: int = 28, widen: int = 10, dropout: float = 0.0):
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise CodecError(f"teacher: depth is {depth}; a wide ResNet has 10, 16, 22, 28, ...")
        self.config = {
            "kind": "wide-resnet",
            "image_shape": list(image_shape),
            "classes": classes,
            "depth": depth,
            "widen": widen,
            "dropout": dropout,
        }
        blocks, widths = (depth - 4) // 6, [16 * widen, 32 * widen, 64 * widen]
        layers: list[nn.Module] = [nn.Conv2d(image_shape[0], 16, 3, 1, 1, bias=False)]
        inputs = 16
        for stage, width in enumerate(widths):
            for number in range(blocks):
                layers.append(_Block(inputs, width, 2 if stage and not number else 1, dropout))
                inputs = width
        self.trunk = nn.Sequential(*layers, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
        self.head = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images as for forward -> the embedding: the last stage's means, N x 64 widen."""
        return self.trunk((images - 0.45) / 0.25).mean((2, 3))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """What features gives -> logits."""
        return self.head(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(images))
