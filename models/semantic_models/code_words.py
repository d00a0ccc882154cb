# SPDX-License-Identifier: GPL-3.0-or-later
"""A word for each class, far from all others: what to send where a linear map of the features is not enough."""

from __future__ import annotations

import torch
from torch import nn

LEAST_NOISE = 1e-6  # noise variance that counts as none


class CodeWords(nn.Module):
    """A code word for each class, mixed by how likely the classes are: pooled features -> features X0.

    With many classes and little energy, the best an encoder can do is decide and send a word far from all others
    (limit.py): no linear map of the features does that. sharpness: factor on the scores; at infinity one word is sent
    alone. The words begin as simplex_words.
    """

    def __init__(self, pooled: int, code: int, words: int, sharpness: float):
        super().__init__()
        self.sharpness = sharpness
        self.classify = nn.Linear(pooled, words)
        self.words = nn.Linear(words, code, bias=False)
        with torch.no_grad():
            self.words.weight.copy_(simplex_words(words, code // 2))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.words(torch.softmax(self.sharpness * self.classify(pooled), 1))


class Correlator(nn.Module):
    """A decoder for code words: how well what was received agrees with each class's word.

    logits = 2 Re sum_i conj(word_i) received_i / noise_var_i / (1 + e / c), e = sum_i 1 / noise_var_i. With c at
    infinity these are the classes' log-likelihoods, the best there is for words that are sent alone; c, which is
    learnt, is the most that all symbols together can say, for their sender may have been wrong. The words, learnt
    too, begin as the sender's.
    """

    def __init__(self, words: torch.Tensor):
        """words: 2 symbols x classes."""
        super().__init__()
        self.symbols = len(words) // 2
        self.words = nn.Parameter(words.detach().T.clone())
        self.log_most = nn.Parameter(torch.tensor(4.0).log())

    def forward(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """See student.Decoder."""
        weight = 1 / noise_var.clamp_min(LEAST_NOISE)
        most = 1 + weight.sum(1, keepdim=True) * torch.exp(-self.log_most)
        weighted = 2 * received * (weight / most)
        missing = self.symbols - received.shape[1]
        parts = [nn.functional.pad(part, (0, missing)) for part in (weighted.real, weighted.imag)]
        return nn.functional.linear(torch.cat(parts, 1), self.words)


def simplex_words(words: int, symbols: int) -> torch.Tensor:
    """One word in each column, float32, 2 symbols x words: real parts, then imaginary parts, of mean power 1 a symbol.

    Taken pairwise as symbols, real numbers follow each other in blocks of `words` - 1. Each block holds a simplex,
    turned at random: a set of signals with equal and least possible correlations, whose error probability is the limit
    (Proakis and Salehi, "Digital Communications", 5th edition, section 4.4). So a prefix of whole blocks is a simplex,
    and any other prefix a simplex and a projection of one.
    """
    blocks = []
    for _ in range(-(-2 * symbols // (words - 1))):
        basis = torch.randn(words, words)
        basis[:, 0] = 1.0  # the centre, which would be the same for all
        blocks.append(torch.linalg.qr(basis).Q[:, 1:].T * (words / 2) ** 0.5)
    numbers = torch.cat(blocks)[: 2 * symbols]
    return torch.cat([numbers[0::2], numbers[1::2]])
