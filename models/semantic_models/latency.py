# SPDX-License-Identifier: GPL-3.0-or-later
"""How long encode and decode take, and whether an image's result depends on its batch."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
import torch

from .codec import SemanticCodec
from .data import ImageSet

BATCHES = (1, 8, 32)
SNR_DB = 10.0
_REPEATS = 30


def measure_latency(codec: SemanticCodec, batches=BATCHES, repeats: int = _REPEATS) -> dict:
    """Median milliseconds of a call, arrays in and arrays out, the longest budget, with one CPU thread.

    Returns {device, threads, encode_ms: {batch: ms}, decode_ms: {batch: ms}}.
    """
    rng = np.random.default_rng(0)
    budget = codec.budgets[-1]
    result = {"device": str(next(codec.model.parameters()).device), "threads": 1, "encode_ms": {}, "decode_ms": {}}
    with _threads(1):
        for batch in batches:
            images = rng.integers(0, 256, (batch, *codec.image_shape), np.uint8)
            symbols, noise_var = codec.encode(images, SNR_DB, budget), np.full((batch, budget), 0.1, np.float32)
            calls = {
                "encode_ms": lambda images=images: codec.encode(images, SNR_DB, budget),
                "decode_ms": lambda symbols=symbols, noise_var=noise_var: codec.decode(symbols, noise_var),
            }
            for name, call in calls.items():
                result[name][str(batch)] = _median_ms(call, repeats)
    return result


def batch_agreement(codec: SemanticCodec, images: ImageSet, count: int = 200, seed: int = 1) -> dict:
    """Encode and decode the first images one by one and all at once, through the same noise at 10 dB.

    Returns {images, snr_db, budget, symbols_equal, logits_equal, accuracy_batch_1, accuracy_batch_n}: equal means to
    the last bit; accuracies are None without labels.
    """
    pixels, budget = images.images[:count], codec.budgets[-1]
    noise_var = np.float32(10 ** (-SNR_DB / 10))
    together = codec.encode(pixels, SNR_DB, budget)
    alone = np.concatenate([codec.encode(image[None], SNR_DB, budget) for image in pixels])
    noise = np.random.default_rng(seed).normal(0, np.sqrt(noise_var / 2), (*together.shape, 2)) @ [1, 1j]
    received, received_alone = ((symbols + noise).astype(np.complex64) for symbols in (together, alone))
    logits = codec.decode(received, noise_var)
    logits_alone = np.concatenate([codec.decode(row[None], noise_var) for row in received_alone])

    def accuracy(scores):
        return None if images.labels is None else float((scores.argmax(1) == images.labels[:count]).mean())

    return {
        "images": len(pixels),
        "snr_db": SNR_DB,
        "budget": budget,
        "symbols_equal": bool(np.array_equal(together, alone)),
        "logits_equal": bool(np.array_equal(logits, logits_alone)),
        "accuracy_batch_1": accuracy(logits_alone),
        "accuracy_batch_n": accuracy(logits),
    }


def _median_ms(call, repeats: int) -> float:
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


@contextmanager
def _threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
