# SPDX-License-Identifier: GPL-3.0-or-later
"""The convolutions of encoders and small teachers: stages that each halve the resolution."""

from __future__ import annotations

from torch import nn

from .errors import CodecError
from .training import Residual, conv_block


class DepthwiseResidual(nn.Module):
    """x + (depthwise 3 x 3, then pointwise) at one width."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(conv_block(width, width, groups=width), conv_block(width, width, kernel=1))

    def forward(self, features):
        return features + self.body(features)


BLOCKS = {"d": DepthwiseResidual, "r": Residual}


def convolutional_trunk(channels: int, widths, blocks) -> nn.Sequential:
    """images N x channels x H x W -> maps N x widths[-1] x H' x W'.

    widths: channels of each stage; the first works at full resolution, each other one at half of that before it.
    blocks: the letters (BLOCKS) of each stage's residual blocks. Raises CodecError for other letters or lengths.
    """
    if len(blocks) != len(widths) or not set("".join(blocks)) <= set(BLOCKS):
        letters = " ".join(BLOCKS)
        raise CodecError(f"student: blocks is {list(blocks)}; give {len(widths)} strings of the letters {letters}")
    layers = []
    for stage, (width, letters) in enumerate(zip(widths, blocks, strict=True)):
        layers.append(conv_block(widths[stage - 1], width, stride=2) if stage else conv_block(channels, width))
        layers += [BLOCKS[letter](width) for letter in letters]
    return nn.Sequential(*layers)
