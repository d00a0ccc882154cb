# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec without training, for tests of everything around it."""

from __future__ import annotations

from pathlib import Path

import torch

from .codec_folder import CodecConfig, save_codec


def tiny_codec(folder, seed: int = 0, budgets=(4, 8, 16, 32), image_shape=(1, 28, 28)) -> Path:
    """Write a small random-weight codec (10 classes) that SemanticCodec.load opens.

    The same seed gives the same files. Its accuracy table is made up (it rises with SNR and budget); the weights know
    nothing, so predictions are arbitrary but deterministic. Returns the folder.
    """
    snr_db = tuple(float(snr) for snr in range(-10, 26, 2))
    rows = {
        budget: tuple(round(0.9 / (1 + 10 ** (-(snr + budget / 2) / 10)), 4) for snr in snr_db) for budget in budgets
    }
    config = CodecConfig(
        name="tiny",
        image_shape=tuple(image_shape),
        classes=tuple(f"class {index}" for index in range(10)),
        budgets=tuple(budgets),
        snr_range_db=(-6.0, 24.0),
        model={"widths": [4, 8, 8], "phi_hidden": 16, "decoder_hidden": [16, 16]},
        margin=0.01,
        images=10000,
        clean_accuracy=0.9,
        snr_db=snr_db,
        accuracy=rows,
        origin={"note": f"random weights, seed {seed}; for tests only"},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = config.build()
    save_codec(Path(folder), config, model)
    return Path(folder)
