# SPDX-License-Identifier: GPL-3.0-or-later
"""Muon for convolutions, SGD for everything else: fewer epochs to the same accuracy than SGD alone."""

from __future__ import annotations

import torch
from torch import nn


class MuonAndSgd:
    """One optimiser to the training loop and to checkpoint.py.

    Muon (K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; torch.optim.Muon) steps
    along the orthogonalised momentum. It takes the convolutions without bias, which a batch norm must follow: their
    weights are kept at one norm, the square root of the number of filters, so that the learning rate is the relative
    size of a step.
    model: in memory format channels_last, and stays where it is. momentum: Muon's.
    """

    def __init__(self, model: nn.Module, momentum: float, weight_decay: float):
        filters = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d) and module.bias is None]
        own = {id(weight) for weight in filters}
        rest = [value for value in model.parameters() if id(value) not in own]
        # Muon takes matrices: views of the same memory, whose gradients are handed over before each step
        self._filters = filters
        self._matrices = [nn.Parameter(_matrix(weight.detach())) for weight in filters]
        self._muon = torch.optim.Muon(self._matrices, lr=1.0, momentum=momentum, weight_decay=0.0)
        self._sgd = torch.optim.SGD(rest, lr=1.0, momentum=0.9, nesterov=True, weight_decay=weight_decay)

    def set_rates(self, muon: float, sgd: float) -> None:
        """Learning rates of the next step."""
        self._muon.param_groups[0]["lr"], self._sgd.param_groups[0]["lr"] = muon, sgd

    def zero_grad(self) -> None:
        """See torch.optim.Optimizer."""
        self._sgd.zero_grad()
        for weight, matrix in zip(self._filters, self._matrices, strict=True):
            weight.grad = matrix.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """See torch.optim.Optimizer."""
        for weight, matrix in zip(self._filters, self._matrices, strict=True):
            matrix.mul_(len(matrix) ** 0.5 / matrix.norm())
            matrix.grad = _matrix(weight.grad.contiguous(memory_format=torch.channels_last))
        self._muon.step()
        self._sgd.step()

    def state_dict(self) -> dict:
        """Muon's states, then SGD's, numbered as one list."""
        parts = self._muon.state_dict(), self._sgd.state_dict()
        state = dict(parts[0]["state"]) | {len(self._filters) + k: v for k, v in parts[1]["state"].items()}
        return {"state": state, "param_groups": [part["param_groups"] for part in parts]}

    def load_state_dict(self, saved: dict) -> None:
        """What state_dict gave."""
        count = len(self._filters)
        muon = {k: v for k, v in saved["state"].items() if k < count}
        sgd = {k - count: v for k, v in saved["state"].items() if k >= count}
        for optimizer, state, groups in zip((self._muon, self._sgd), (muon, sgd), saved["param_groups"], strict=True):
            optimizer.load_state_dict({"state": state, "param_groups": groups})


def _matrix(weight: torch.Tensor) -> torch.Tensor:
    """Filters x (height x width x channels), in the same memory; a RuntimeError where that cannot be."""
    return weight.permute(0, 2, 3, 1).view(len(weight), -1)
