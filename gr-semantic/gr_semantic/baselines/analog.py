# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec's accuracy through modulator, channel and receiver."""

import numpy as np

from ..modem import Waveform
from .air import Air, exchange

IMAGES_A_FRAME = 4  # few, so that many fades are met


def prefix(symbols: np.ndarray, budget: int) -> np.ndarray:
    """The code of a smaller budget (complex64, N x budget) out of a longer one: its beginning at unit mean power."""
    code = symbols[:, :budget]
    return code / np.sqrt(np.maximum((np.abs(code) ** 2).mean(axis=1, keepdims=True), 1e-12))


def codec_accuracy(
    wf: Waveform, air: Air, codec, code: np.ndarray, labels: np.ndarray, budget: int, guess: float
) -> float:
    """Every image is sent once; an image whose frame is lost is a guess.

    code: of the largest budget (complex64, N x L), encoded for the air's average SNR.
    """
    count = len(code) // IMAGES_A_FRAME * IMAGES_A_FRAME
    symbols = prefix(code[:count], budget).reshape(-1, IMAGES_A_FRAME, budget)
    truth = labels[:count].reshape(-1, IMAGES_A_FRAME)
    found = list(exchange(wf, air, symbols, codec.model_id16))
    lost = len(symbols) - len(found)
    if not found:
        return guess
    numbers, received, noise_var = (np.array(part) for part in zip(*found, strict=True))
    logits = codec.decode(received.reshape(-1, budget), noise_var.reshape(-1, budget).astype(np.float32))
    right = int((logits.argmax(axis=1) == truth[numbers].reshape(-1)).sum())
    return (right + guess * lost * IMAGES_A_FRAME) / count
