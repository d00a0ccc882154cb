# SPDX-License-Identifier: GPL-3.0-or-later
"""The CIFAR-10 codec does what its folder says, on this machine."""

import numpy as np
import pytest

from gr_semantic.paths import ZOO
from semantic_models import SemanticCodec, load_images
from semantic_models.evaluate import count_macs, count_parameters

FOLDER = ZOO / "cifar10"


@pytest.fixture(scope="module")
def codec():
    return SemanticCodec.load(FOLDER, device="cpu")


def test_small_at_both_ends(codec):
    assert count_parameters(codec.model)["total"] <= 500_000
    assert count_macs(codec.model, codec.image_shape)["total"] <= 60_000_000


@pytest.mark.parametrize(("snr_db", "budget"), [(10.0, 8), (0.0, 32), (5.0, 4)])
def test_accuracy_on_2000_test_images(codec, real_data, monkeypatch, snr_db, budget):
    """Within 2 points (three standard errors of 2,000 images) of the table, through noise of this test's own making."""
    monkeypatch.setenv("GR_SEMANTIC_DATA", str(real_data))
    test = load_images("cifar10:test[0:2000]", like=codec)
    symbols = codec.encode(test.images, snr_db, budget)
    noise_var = np.float32(10 ** (-snr_db / 10))
    noise = np.random.default_rng(3).normal(size=(*symbols.shape, 2)) @ [1, 1j] * np.sqrt(noise_var / 2)
    predicted = codec.decode((symbols + noise).astype(np.complex64), noise_var).argmax(1)
    assert abs((predicted == test.labels).mean() - codec.reference_accuracy(snr_db, budget)) < 0.02
