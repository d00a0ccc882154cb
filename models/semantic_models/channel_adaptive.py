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


class SnrGate(nn.Module):
    """Weights that depend on the SNR alone, each one growing with it: a symbol that the SNR does not pay for is shut.

    The dynamic gate of Shao, Mao, Zhang (arXiv 2102.04170), here with logistic steps: weight_i = tanh(sum over the
    levels below s of the squares of learnt numbers).
    """

    def __init__(self, symbols: int, hidden: int):
        super().__init__()
        self.register_buffer("levels_db", torch.linspace(SNR_LOW_DB, SNR_HIGH_DB, hidden), persistent=False)
        self.steps = nn.Parameter(torch.full((hidden, 2 * symbols), hidden**-0.5))

    def forward(self, features: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """See ChannelAdaptive."""
        passed = torch.sigmoid((snr_db[:, None] - self.levels_db) / 2)
        return torch.tanh(passed @ self.steps.square()) * torch.tanh(features)


class NoAdaptation(nn.Module):
    """X = X0, whatever the SNR."""

    def __init__(self, symbols: int, hidden: int):
        super().__init__()

    def forward(self, features: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """See ChannelAdaptive."""
        return features


ADAPTATIONS = {"phi": ChannelAdaptive, "gate": SnrGate, "none": NoAdaptation}


def send_prefix(features: torch.Tensor, budget: int) -> torch.Tensor:
    """features: N x 2 symbols (real parts, then imaginary). Returns complex N x budget, unit mean power a row."""
    real, imaginary = features.chunk(2, 1)
    symbols = torch.complex(real[:, :budget].contiguous(), imaginary[:, :budget].contiguous())
    power = (symbols.real.square() + symbols.imag.square()).mean(1, keepdim=True)
    return symbols * torch.rsqrt(power + 1e-12)
