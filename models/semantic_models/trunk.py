# SPDX-License-Identifier: GPL-3.0-or-later
"""The convolutions of encoders and small teachers: stages that each halve the resolution."""

from __future__ import annotations

import torch
from torch import nn

from .errors import CodecError


def conv_block(inputs: int, outputs: int, stride: int = 1, groups: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """x + two convolution blocks of the same width."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(conv_block(width, width), conv_block(width, width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.body(features)


class GatedResidual(Residual):
    """x + g(body(x)) body(x): what all channels of the body hold on average decides how much each one counts.

    Hu et al., "Squeeze-and-Excitation Networks" (arXiv 1709.01507); the gates lie within 0..2 and begin at 1, so that
    it begins as a Residual with the same weights.
    """

    def __init__(self, width: int):
        super().__init__(width)
        narrow = max(1, width // 8)
        self.gate = nn.Sequential(nn.Conv2d(width, narrow, 1), nn.ReLU(inplace=True), nn.Conv2d(narrow, width, 1))
        nn.init.zeros_(self.gate[-1].weight)
        nn.init.zeros_(self.gate[-1].bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        change = self.body(features)
        scores = self.gate(change.mean((2, 3), keepdim=True))
        # torch takes 32 numbers at a time and rounds those that remain otherwise; a multiple of 32 leaves none
        gates = 2 * torch.sigmoid(scores.repeat(1, 1, 4, 1))[:, :, :1]
        return features + change * gates


class DepthwiseResidual(nn.Module):
    """x + (depthwise 3 x 3, then pointwise) at one width."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(conv_block(width, width, groups=width), conv_block(width, width, kernel=1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.body(features)


BLOCKS = {"d": DepthwiseResidual, "g": GatedResidual, "r": Residual}


def convolutional_trunk(channels: int, widths, blocks) -> nn.Sequential:
    """images N x channels x H x W -> maps N x widths[-1] x H' x W'.

    widths: channels of each stage; the first works at full resolution, each other one at half of that before it.
    blocks: the letters (BLOCKS) of each stage's residual blocks. Raises CodecError for other letters or lengths.
    """
    if len(blocks) != len(widths) or not set("".join(blocks)) <= set(BLOCKS):
        raise CodecError(f"blocks is {list(blocks)}; give {len(widths)} strings of the letters {' '.join(BLOCKS)}")
    layers = []
    for stage, (width, letters) in enumerate(zip(widths, blocks, strict=True)):
        layers.append(conv_block(widths[stage - 1], width, stride=2) if stage else conv_block(channels, width))
        layers += [BLOCKS[letter](width) for letter in letters]
    return nn.Sequential(*layers)


def pooled_features(trunk: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """images float32 0..1, N x channels x H x W -> maximum, then mean of each channel of the trunk's maps,
    N x 2 widths[-1]."""
    maps = trunk((images - 0.3) / 0.35)
    return torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1)
