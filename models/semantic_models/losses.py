# SPDX-License-Identifier: GPL-3.0-or-later
"""The information-bottleneck loss: task + distillation + beta times a variational bound on the rate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def task_and_distillation(
    logits, labels, teacher=None, distillation: float = 0.0, label_smoothing: float = 0.0
) -> torch.Tensor:
    """(1 - a) cross entropy + a KL(teacher || student), a = distillation; the mean over the batch, in nats.

    logits: N x C. labels: int64, N. teacher: probabilities, N x C, or None (then a counts as 0).
    label_smoothing: share of a label's probability that is spread over all classes (Szegedy et al., arXiv 1512.00567).
    Works on float32 log-probabilities; teacher entries of 0 contribute exactly 0, so the term cannot become NaN
    for finite logits.
    """
    log_probabilities = F.log_softmax(logits.float(), 1)
    task = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
    if teacher is None or distillation == 0:
        return task
    divergence = (torch.xlogy(teacher, teacher) - teacher * log_probabilities).sum(1).mean()
    return (1 - distillation) * task + distillation * divergence


def embedding_term(rebuilt: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """1 - cosine between rebuilt embeddings and the teacher's, both N x D; the mean over the batch."""
    return 1 - F.cosine_similarity(rebuilt.float(), teacher.float(), 1).mean()


class RateBound(nn.Module):
    """Upper bound on the information that the received symbols carry about the image.

    I(X; Y) <= E KL(p(y|x) || r(y)) for any r. Here p(y|x) = CN(x, noise_var) and r = CN(0, q + noise_var), with one
    learnt power q a symbol: the bound is tightest where r matches the code's own power profile.
    """

    def __init__(self, symbols: int):
        super().__init__()
        self.log_power = nn.Parameter(torch.zeros(symbols))

    def forward(self, symbols: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """symbols: complex, N x L; noise_var: N x L, > 0. Returns the mean rate of an image in nats."""
        variance = self.log_power[: symbols.shape[1]].clamp(-8, 8).exp() + noise_var
        power = symbols.real.square() + symbols.imag.square()
        return ((power + noise_var) / variance - 1 + torch.log(variance / noise_var)).sum(1).mean()


class LogUniformRate(nn.Module):
    """The rate term of variational feature encoding: KL(p(y|x) || r(y)) for the log-uniform prior r, which is sparse.

    Shao, Mao, Zhang, "Learning task-oriented communication for edge inference" (arXiv 2102.04170), with the closed
    approximation of Molchanov, Ashukha, Vetrov (arXiv 1701.05369, equation 14) for each real dimension.
    """

    K1, K2, K3 = 0.63576, 1.87320, 1.48695

    def __init__(self, symbols: int):
        super().__init__()

    def forward(self, symbols: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """As RateBound. Noise of variance v / 2 on a value x counts as multiplicative noise of variance v / (2 x^2)."""
        power = torch.view_as_real(symbols).square() + 1e-8
        log_alpha = torch.log(noise_var[..., None] / 2) - torch.log(power)
        negative = self.K1 * (torch.sigmoid(self.K2 + self.K3 * log_alpha) - 1) - 0.5 * F.softplus(-log_alpha)
        return -negative.sum((1, 2)).mean()


RATES = {"gaussian": RateBound, "log-uniform": LogUniformRate}
