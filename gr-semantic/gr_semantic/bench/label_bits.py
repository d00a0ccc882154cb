# SPDX-License-Identifier: GPL-3.0-or-later
"""The simple alternative to features: a label in four bits over the frame header's code, at the features' energy."""

import numpy as np

from ..modem import fec

LABEL_BITS = 4  # up to 16 classes
WORD_LABELS = 24  # 96 bits, the length of the header's word: labels of a frame are coded together


def label_accuracy(
    decided: np.ndarray, truth: np.ndarray, symbols: int, snr_db: float, channel: str = "awgn", seed: int = 1
) -> float:
    """Share of labels (0..1) that are right at the receiver.

    decided: labels (int, N, below 16) that the sender's network chose; truth: int, N. Each label has the energy and the
    channel uses of an image: `symbols` complex symbols of unit mean power at snr_db. The 288 coded bits of 24 labels
    fill the word's 48 x symbols real dimensions: repeated where there are more, evenly punctured where there are fewer.
    Maximum-likelihood decoding by the header's Viterbi decoder. channel: "awgn", or "rayleigh": one fade a word.
    """
    rng = np.random.default_rng(seed)
    words = -(-len(decided) // WORD_LABELS)
    padded = np.resize(decided, words * WORD_LABELS).reshape(words, WORD_LABELS)
    bits = np.unpackbits(padded.astype(np.uint8)[..., None], axis=2)[..., -LABEL_BITS:].reshape(words, -1)
    coded = fec.encode(bits)
    size, dimensions = coded.shape[1], 2 * symbols * WORD_LABELS
    order = np.arange(dimensions)
    place = order % size if dimensions >= size else order * size // dimensions
    gain_lin = rng.exponential(size=(words, 1)) if channel == "rayleigh" else np.ones((words, 1))
    # Real dimensions of power 1/2 each, noise of half the complex variance in each.
    sent = (1.0 - 2.0 * coded[:, place]) * np.sqrt(0.5 * gain_lin)
    received = sent + rng.normal(0, np.sqrt(0.5 * 10 ** (-snr_db / 10)), sent.shape)
    soft = np.zeros(coded.shape)
    for first in range(0, dimensions, size):  # copies of a coded bit add up
        np.add.at(soft, (slice(None), place[first : first + size]), received[:, first : first + size])
    found = np.stack([_decode(word) for word in soft]).reshape(words, WORD_LABELS, LABEL_BITS)
    labels = (found @ (1 << np.arange(LABEL_BITS)[::-1])).reshape(-1)[: len(decided)]
    return float((labels == truth).mean())


def _decode(soft: np.ndarray) -> np.ndarray:
    """Bits (uint8) of a word. Hard decisions that are a code word are its nearest one, and need no Viterbi."""
    hard = (soft < 0).astype(np.uint8)
    bits = fec.invert(hard)
    return bits if np.array_equal(fec.encode(bits), hard) and soft.all() else fec.viterbi(soft)
