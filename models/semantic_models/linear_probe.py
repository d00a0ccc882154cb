# SPDX-License-Identifier: GPL-3.0-or-later
"""A linear classifier on given features: multinomial logistic regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

WEIGHT_DECAY = 1e-4
ITERATIONS = 200


@dataclass(frozen=True)
class LinearProbe:
    """logits = head((features - centre) / spread). centre, spread: float32, F; head: F -> classes."""

    centre: torch.Tensor
    spread: torch.Tensor
    head: nn.Linear

    @torch.inference_mode()
    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """features: N x F -> logits: N x classes."""
        return self.head((features - self.centre) / self.spread)


def fit_linear_probe(features: torch.Tensor, labels: torch.Tensor, classes: int) -> LinearProbe:
    """Fit on features (float32, N x F) and labels (int64, N): cross entropy on standardised features plus WEIGHT_DECAY
    times the squared weights, by L-BFGS from zero. No draws: the same input gives the same probe."""
    spread, centre = torch.std_mean(features, 0)
    spread = spread.clamp_min(1e-6)
    features = (features - centre) / spread
    head = nn.Linear(features.shape[1], classes, device=features.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), labels) + WEIGHT_DECAY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return LinearProbe(centre, spread, head.requires_grad_(False))
