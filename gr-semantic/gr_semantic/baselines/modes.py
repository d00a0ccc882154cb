# SPDX-License-Identifier: GPL-3.0-or-later
"""Code, rate and modulation: the modes that the genie may choose from."""

from dataclasses import dataclass

import numpy as np

from .modulation import NAMES, map_bits, soft_bits
from .polar import polar_code

LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
# bits a symbol: code rates, in eighths. From 0.25 to 5.25 bits a channel use.
RATES = {1: (2, 4), 2: (3, 4, 5, 6), 4: (4, 5, 6), 6: (5, 6, 7)}
LABEL_LENGTHS = (8, 16, 32, 64, 128)


@dataclass(frozen=True, order=True)
class Mode:
    """length: coded bits of a word. info_bits: of a word, check bits included. bits_per_symbol: of the modulation."""

    length: int
    info_bits: int
    bits_per_symbol: int

    @property
    def channel_uses(self) -> int:
        """Complex symbols that one word takes."""
        return -(-self.length // self.bits_per_symbol)

    @property
    def name(self) -> str:
        return f"polar({self.length},{self.info_bits}) {NAMES[self.bits_per_symbol]}"

    @property
    def order(self) -> np.ndarray:
        """Which coded bit goes where: neighbours in the code must not share a symbol's weak places."""
        return np.random.default_rng(self.length).permutation(self.length)

    def send(self, bits: np.ndarray) -> np.ndarray:
        """Symbols (complex64, words x channel_uses) of information bits (uint8, words x info_bits)."""
        coded = polar_code(self.length, self.info_bits).encode(bits)
        return map_bits(coded[:, self.order], self.bits_per_symbol)

    def soft(self, symbols: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """Log-likelihood ratios (float32, words x length) in the code's order of received words of symbols."""
        ratios = np.empty((len(symbols), self.length), np.float32)
        ratios[:, self.order] = soft_bits(symbols, noise_var, self.bits_per_symbol, self.length)
        return ratios

    def receive(self, symbols: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """Information bits (uint8, words x info_bits) of received words of symbols."""
        return polar_code(self.length, self.info_bits).decode(self.soft(symbols, noise_var))


def message_modes(longest: int = LENGTHS[-1]) -> list[Mode]:
    """The modes of pictures and features, up to words of this many coded bits."""
    return [
        Mode(length, length * eighths // 8, bits)
        for length in LENGTHS
        if length <= longest
        for bits, rates in RATES.items()
        for eighths in rates
    ]


def label_modes(label_bits: int) -> list[Mode]:
    """The modes that carry nothing but a class: one short word at every modulation."""
    return [Mode(length, label_bits, bits) for length in LABEL_LENGTHS if length > label_bits for bits in NAMES]
