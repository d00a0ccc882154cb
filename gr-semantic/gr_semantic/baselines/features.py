# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec's own features as bits: a scalar quantiser for each real number, in place of analog symbols."""

from dataclasses import dataclass

import numpy as np

from .analog import prefix

BITS_A_NUMBER = (1, 2, 3, 4)
_ROUNDS = 15


@dataclass(frozen=True)
class Quantiser:
    """levels: 2^bits reconstruction values of each number, ascending (float32, numbers x levels)."""

    levels: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, bits: int) -> "Quantiser":
        """Lloyd's quantiser of each column of `values` (samples x numbers): the least squared error on these."""
        levels = np.quantile(values, (np.arange(1 << bits) + 0.5) / (1 << bits), axis=0).T
        for _ in range(_ROUNDS):
            index = cls(levels).index(values)
            for level in range(1 << bits):
                chosen = index == level
                count = chosen.sum(axis=0)
                mean = (values * chosen).sum(axis=0) / np.maximum(count, 1)
                levels[:, level] = np.where(count > 0, mean, levels[:, level])
            levels.sort(axis=1)
        return cls(levels.astype(np.float32))

    def index(self, values: np.ndarray) -> np.ndarray:
        """Number of the nearest level (int, samples x numbers)."""
        edges = (self.levels[:, 1:] + self.levels[:, :-1]) / 2
        return (values[:, :, None] > edges).sum(axis=2)

    def value(self, index: np.ndarray) -> np.ndarray:
        """The levels with these numbers (float32, samples x numbers)."""
        return self.levels[np.arange(len(self.levels)), index]


def feature_accuracies(codec, fit_images: np.ndarray, images: np.ndarray, labels: np.ndarray) -> list[dict]:
    """What the codec decides from its features once they were bits: {budget, bits_a_number, bits, accuracy} each.

    The encoder is told the highest SNR, the decoder the quantiser's own error as noise. No bits get lost here.
    fit_images: uint8, N x C x H x W, not those that are measured.
    """
    rows = []
    high_db, longest = codec.snr_range_db[1], max(codec.budgets)
    codes = [codec.encode(part, high_db, longest) for part in (fit_images, images)]
    for budget in codec.budgets:
        fitted, sent = (_numbers(prefix(code, budget)) for code in codes)
        for bits in BITS_A_NUMBER:
            quantiser = Quantiser.fit(fitted, bits)
            error = (quantiser.value(quantiser.index(fitted)) - fitted) ** 2
            noise_var = error.mean(axis=0).reshape(2, budget).sum(axis=0).astype(np.float32)
            got = quantiser.value(quantiser.index(sent))
            symbols = (got[:, :budget] + 1j * got[:, budget:]).astype(np.complex64)
            logits = codec.decode(symbols, np.broadcast_to(noise_var, symbols.shape).copy())
            accuracy = float((logits.argmax(axis=1) == labels).mean())
            row = {"budget": budget, "bits_a_number": bits, "bits": 2 * budget * bits, "accuracy": accuracy}
            rows.append(row)
    return rows


def _numbers(symbols: np.ndarray) -> np.ndarray:
    return np.concatenate([symbols.real, symbols.imag], axis=1)
