# SPDX-License-Identifier: GPL-3.0-or-later
"""The student: a light encoder at the edge and a small decoder that knows how noisy each symbol is."""

from __future__ import annotations

import torch
from torch import nn

from .channel_adaptive import ChannelAdaptive, send_prefix
from .errors import CodecError
from .training import Residual, conv_block


class DepthwiseResidual(nn.Module):
    """x + (depthwise 3 x 3, then pointwise) at one width."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(conv_block(width, width, groups=width), conv_block(width, width, kernel=1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.body(features)


BLOCKS = {"d": DepthwiseResidual, "r": Residual}


class Encoder(nn.Module):
    """images float32 0..1, N x C x H x W -> features X0 float32, N x 2 symbols.

    Three stages at full, half and quarter resolution; blocks: the letters (BLOCKS) of each stage's residual blocks.
    """

    def __init__(self, channels: int, widths, blocks, symbols: int):
        super().__init__()
        first, second, third = widths
        if len(blocks) != 3 or not set("".join(blocks)) <= set(BLOCKS):
            raise CodecError(f"student: blocks is {list(blocks)}; give three strings of the letters {' '.join(BLOCKS)}")
        self.trunk = nn.Sequential(
            conv_block(channels, first),
            *(BLOCKS[letter](first) for letter in blocks[0]),
            conv_block(first, second, stride=2),
            *(BLOCKS[letter](second) for letter in blocks[1]),
            conv_block(second, third, stride=2),
            *(BLOCKS[letter](third) for letter in blocks[2]),
        )
        self.project = nn.Linear(2 * third, 2 * symbols)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.trunk((images - 0.3) / 0.35)
        pooled = torch.cat([features.amax((2, 3)), features.mean((2, 3))], 1).float()
        with torch.autocast(pooled.device.type, enabled=False):  # the code itself is never rounded to bfloat16
            return self.project(pooled)


class Decoder(nn.Module):
    """Received symbols and their noise variances -> logits. A symbol that was not sent counts as infinitely noisy."""

    def __init__(self, symbols: int, hidden, classes: int):
        super().__init__()
        self.symbols = symbols
        first, second = hidden
        self.body = nn.Sequential(
            nn.Linear(3 * symbols, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, classes)
        )

    def forward(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """received: complex64, N x L, unbiased, L <= symbols; noise_var: float32, N x L, >= 0. Logits N x classes."""
        reliability = 1 / (1 + noise_var)  # also the linear MMSE estimate's factor for unit-power symbols
        parts = (received.real * reliability, received.imag * reliability, reliability)
        missing = self.symbols - received.shape[1]
        return self.body(torch.cat([nn.functional.pad(part, (0, missing)) for part in parts], 1))


class Student(nn.Module):
    """Encoder, channel-adaptive module and decoder.

    image_shape: (C, H, W). symbols: the largest budget. widths, blocks: the encoder's three stages (see Encoder).
    phi_hidden, decoder_hidden: sizes of the two small networks.
    """

    def __init__(
        self,
        image_shape,
        classes: int,
        symbols: int,
        widths=(24, 48, 96),
        phi_hidden: int = 64,
        decoder_hidden=(160, 96),
        blocks=("", "dd", "r"),
    ):
        super().__init__()
        self.symbols = symbols
        self.encoder = Encoder(image_shape[0], widths, blocks, symbols)
        self.adapt = ChannelAdaptive(symbols, phi_hidden)
        self.decoder = Decoder(symbols, decoder_hidden, classes)

    def encode(self, images: torch.Tensor, snr_db: torch.Tensor, budget: int) -> torch.Tensor:
        """images float32 0..1, N x C x H x W; snr_db float32, N. Returns complex64, N x budget, unit power a row."""
        return self.send(self.encoder(images), snr_db, budget)

    def send(self, features: torch.Tensor, snr_db: torch.Tensor, budget: int) -> torch.Tensor:
        """The second half of encode: features X0, N x 2 symbols -> complex64, N x budget, unit power a row."""
        return send_prefix(self.adapt(features, snr_db), budget)

    def decode(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """See Decoder."""
        return self.decoder(received, noise_var)
