# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel-adaptive module: w = Phi(X0, s), X = w * X0, then a prefix of L symbols at unit mean power."""

from __future__ import annotations

import torch
from torch import nn

SNR_LEVELS = (
    16  # radial basis functions over the SNR; a multiple of 16 keeps rows aligned, so that rounding is the same
)
SNR_LOW_DB, SNR_HIGH_DB = -6.0, 24.0


class ChannelAdaptive(nn.Module):
    """Weights a feature vector for the SNR that the receiver reported.

    Phi does not see the budget, so the code for L symbols is the first L symbols of the longest code, rescaled.
    """

    def __init__(self, symbols: int, hidden: int):
        super().__init__()
        self.register_buffer("levels_db", torch.linspace(SNR_LOW_DB, SNR_HIGH_DB, SNR_LEVELS), persistent=False)
        self.phi = nn.Sequential(nn.Linear(2 * symbols + SNR_LEVELS, hidden), nn.ReLU(), nn.Linear(hidden, 2 * symbols))

    def forward(self, features: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """features X0: N x 2 symbols; snr_db: N. Returns w * X0, N x 2 symbols (real parts, then imaginary parts)."""
        step_db = (SNR_HIGH_DB - SNR_LOW_DB) / (SNR_LEVELS - 1)
        level = torch.exp(-0.25 * ((snr_db[:, None] - self.levels_db) / step_db).square())
        weights = 2 * torch.sigmoid(self.phi(torch.cat([features, level], 1)))
        return weights * features


def send_prefix(features: torch.Tensor, budget: int) -> torch.Tensor:
    """features: N x 2 symbols (real parts, then imaginary). Returns complex N x budget, unit mean power a row."""
    real, imaginary = features.chunk(2, 1)
    symbols = torch.complex(real[:, :budget].contiguous(), imaginary[:, :budget].contiguous())
    power = (symbols.real.square() + symbols.imag.square()).mean(1, keepdim=True)
    return symbols * torch.rsqrt(power + 1e-12)
