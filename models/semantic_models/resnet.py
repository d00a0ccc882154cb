# SPDX-License-Identifier: GPL-3.0-or-later
"""Residual networks for 32 x 32 images (He et al. 2016, section 4.2) with parameter-free shortcuts, and ensembles."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.stride, self.more = outputs // inputs, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(shortcut + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet(nn.Module):
    """images float32 0..1, N x 3 x 32 x 32 -> logits, N x classes. depth: 20, 32, 44, 56, ...: 6 n + 2."""

    def __init__(self, depth: int, classes: int = 10):
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(_Block(inputs, outputs), *(_Block(outputs, outputs) for _ in range(blocks - 1)))
            for inputs, outputs in ((16, 16), (16, 32), (32, 64))
        )
        self.linear = nn.Linear(64, classes)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images as for forward -> the embedding: the last stage's means, N x 64."""
        x = F.relu(self.bn1(self.conv1((images - self.mean) / self.deviation)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """What features gives -> logits."""
        return self.linear(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(images))


class Ensemble(nn.Module):
    """The mean of its members' probabilities, as logits: their logarithm."""

    def __init__(self, members):
        super().__init__()
        self.members = nn.ModuleList(members)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images as for forward -> the members' embeddings side by side, N x 64 members."""
        return torch.cat([member.features(images) for member in self.members], 1)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """What features gives -> logits."""
        shares = features.chunk(len(self.members), 1)
        logits = [member.classify(share) for member, share in zip(self.members, shares, strict=True)]
        return torch.stack([torch.softmax(part.float(), 1) for part in logits]).mean(0).clamp_min(1e-30).log()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(images))
