# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded codec does what its folder says, on this machine."""

import numpy as np
import pytest

from semantic_models import load_images
from semantic_models.evaluate import count_macs, count_parameters, evaluate_codec


@pytest.mark.parametrize(("snr_db", "budget", "bar"), [(10.0, 16, 0.91), (0.0, 32, 0.90)])
def test_accuracy_on_2000_test_images(zoo_codec, snr_db, budget, bar):
    """Through encode and decode with noise of this test's own making: above the bar, and what the
    evaluation counts on the same images."""
    test = load_images("fashion-mnist:test[0:2000]", like=zoo_codec)
    symbols = zoo_codec.encode(test.images, snr_db, budget)
    noise_var = np.float32(10 ** (-snr_db / 10))
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(*symbols.shape, 2)) @ [1, 1j] * np.sqrt(noise_var / 2)
    predicted = zoo_codec.decode((symbols + noise).astype(np.complex64), noise_var).argmax(1)
    accuracy = (predicted == test.labels).mean()
    assert accuracy >= bar
    measured = evaluate_codec(zoo_codec, test, snr_db=(snr_db,))["points"]
    table_path = next(point["accuracy"] for point in measured if point["budget"] == budget)
    assert accuracy == pytest.approx(table_path, abs=0.01)  # the same images, other noise


def test_table_in_codec_toml_can_be_measured_again(zoo_codec):
    """The evaluation command's own path, at two SNRs, on the same 10,000 images with the same noise seed."""
    result = evaluate_codec(zoo_codec, load_images("fashion-mnist:test"), snr_db=(0.0, 10.0))
    assert result["clean_accuracy"] == pytest.approx(zoo_codec.clean_accuracy, abs=1e-3)
    for point in result["points"]:
        assert point["accuracy"] == pytest.approx(
            zoo_codec.reference_accuracy(point["snr_db"], point["budget"]), abs=2e-3
        )
        assert point["ci95"][0] < point["accuracy"] < point["ci95"][1]
        assert point["images"] == 10000


def test_small_at_both_ends(zoo_codec):
    count = count_parameters(zoo_codec.model)
    assert count["total"] <= 300_000
    assert count["edge"] + count["receiver"] == count["total"]
    macs = count_macs(zoo_codec.model, zoo_codec.image_shape)
    assert 1_000_000 < macs["edge"] < 20_000_000
    assert macs["receiver"] < 100_000


def test_more_symbols_and_more_snr_never_hurt_much(zoo_codec):
    table = np.array([[zoo_codec.reference_accuracy(s, b) for s in range(-10, 25, 2)] for b in zoo_codec.budgets])
    assert np.diff(table, axis=0).min() > -0.006
    assert np.diff(table, axis=1).min() > -0.006
    assert zoo_codec.clean_accuracy >= table.max() - 0.006
