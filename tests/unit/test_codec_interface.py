# SPDX-License-Identifier: GPL-3.0-or-later
"""SemanticCodec's promises: shapes, power, prefix, independence of the batch, and refusal of wrong input."""

import numpy as np
import pytest
import torch

from semantic_models import CodecError, SemanticCodec, load_images
from semantic_models.testing import tiny_codec

IMAGES = load_images("fashion-mnist:test[0:100]").images
CUTS = (1, 2, 3, 5, 7, 16, 33, 100)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return SemanticCodec.load(tiny_codec(tmp_path_factory.mktemp("codec")), device="cpu")


@pytest.fixture(scope="module", params=["tiny", "zoo"])
def codec(request, tiny, zoo_codec):
    return tiny if request.param == "tiny" else zoo_codec


def test_shapes_types_and_unit_power(codec):
    for budget in codec.budgets:
        symbols = codec.encode(IMAGES, 7.0, budget)
        assert symbols.shape == (100, budget)
        assert symbols.dtype == np.complex64
        assert np.abs((np.abs(symbols) ** 2).mean(1) - 1).max() < 1e-5
        logits = codec.decode(symbols, np.full(symbols.shape, 0.1, np.float32))
        assert logits.shape == (100, 10)
        assert logits.dtype == np.float32


def test_batch_1_equals_batch_n(codec):
    """To the last bit, for symbols and logits, however the batch is cut and whatever stands beside an image."""
    snr_db = np.linspace(-6, 24, 100)
    for budget in codec.budgets:
        symbols = codec.encode(IMAGES, snr_db, budget)
        noise_var = np.random.default_rng(1).uniform(0, 2, symbols.shape).astype(np.float32)
        logits = codec.decode(symbols, noise_var)
        for cut in CUTS:
            rows = [slice(start, start + cut) for start in range(0, 100, cut)]
            assert all(np.array_equal(codec.encode(IMAGES[r], snr_db[r], budget), symbols[r]) for r in rows), cut
            assert all(np.array_equal(codec.decode(symbols[r], noise_var[r]), logits[r]) for r in rows), cut
        order = np.random.default_rng(2).permutation(100)
        assert np.array_equal(codec.encode(IMAGES[order], snr_db[order], budget), symbols[order])


def test_one_by_one_where_chunks_would_round_differently(tmp_path, monkeypatch):
    """On a machine whose kernels depend on the row, the codec notices at load and takes images one by one."""
    real = torch.nn.Linear.forward

    def by_position(layer, value):
        return real(layer, value) * (1 + 1e-6 * torch.arange(len(value))[:, None])

    monkeypatch.setattr(torch.nn.Linear, "forward", by_position)
    codec = SemanticCodec.load(tiny_codec(tmp_path), device="cpu")
    symbols = codec.encode(IMAGES[:9], 3.0, 8)
    assert all(np.array_equal(codec.encode(IMAGES[k : k + 1], 3.0, 8), symbols[k : k + 1]) for k in range(9))


def test_short_code_is_the_beginning_of_the_long_one(codec):
    longest = codec.encode(IMAGES, 3.0, codec.budgets[-1])
    for budget in codec.budgets:
        prefix = longest[:, :budget]
        prefix = prefix / np.sqrt((np.abs(prefix) ** 2).mean(1, keepdims=True))
        assert np.abs(prefix - codec.encode(IMAGES, 3.0, budget)).max() < 1e-5


def test_code_follows_the_snr(codec):
    low, high = codec.encode(IMAGES, -6.0, 8), codec.encode(IMAGES, 24.0, 8)
    assert np.abs(low - high).max() > 1e-3
    one_each = codec.encode(IMAGES[:2], [-6.0, 24.0], 8)
    assert np.array_equal(one_each, [low[0], high[1]])
    assert np.array_equal(codec.encode(IMAGES, 90.0, 8), high)  # outside the trained range: its end
    assert np.array_equal(codec.encode(IMAGES, -90.0, 8), low)


def test_torch_in_torch_out(codec):
    symbols = codec.encode(torch.from_numpy(IMAGES.copy()), torch.tensor(5.0), 16)
    assert isinstance(symbols, torch.Tensor)
    assert np.array_equal(symbols.numpy(), codec.encode(IMAGES, 5.0, 16))
    logits = codec.decode(symbols, torch.full(symbols.shape, 0.2))
    assert isinstance(logits, torch.Tensor)
    assert np.array_equal(logits.numpy(), codec.decode(symbols.numpy(), np.float32(0.2)))
    assert not logits.requires_grad


def test_nothing_global_changes(codec):
    threads, state, grad = torch.get_num_threads(), torch.get_rng_state(), torch.is_grad_enabled()
    codec.decode(codec.encode(IMAGES[:2], 3.0, 4), np.float32(1))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() == grad


def test_empty_batch(codec):
    symbols = codec.encode(IMAGES[:0], 3.0, 16)
    assert symbols.shape == (0, 16)
    assert symbols.dtype == np.complex64
    assert codec.decode(symbols, np.zeros((0, 16), np.float32)).shape == (0, 10)


def test_policy_takes_the_smallest_budget_within_the_margin(codec):
    for snr_db in (-20.0, -3.3, 4.0, 11.0, 40.0):
        for margin in (None, 0.0, 0.05, 1.0):
            allowed = codec.margin if margin is None else margin
            accuracies = [codec.reference_accuracy(snr_db, budget) for budget in codec.budgets]
            chosen = codec.budgets.index(codec.choose_budget(snr_db, margin))
            assert accuracies[chosen] >= max(accuracies) - allowed
            assert all(accuracy < max(accuracies) - allowed for accuracy in accuracies[:chosen])
    assert codec.choose_budget(0.0, 1.0) == codec.budgets[0]
    assert codec.encode(IMAGES[:3], 2.0).shape[1] == codec.choose_budget(2.0)
    assert codec.encode(IMAGES[:2], [24.0, -6.0]).shape[1] == codec.choose_budget(-6.0)


def test_reference_accuracy_is_linear_between_the_measured_points(codec):
    at = [codec.reference_accuracy(snr_db, 8) for snr_db in (0.0, 0.5, 2.0)]
    assert at[1] == pytest.approx(0.75 * at[0] + 0.25 * at[2])
    assert codec.reference_accuracy(-50.0, 8) == codec.reference_accuracy(-10.0, 8)


def test_identity(codec):
    assert len(codec.model_id) == 64
    assert codec.model_id16 == int(codec.model_id[:4], 16)
    assert codec.image_shape == (1, 28, 28)
    assert len(codec.classes) == 10


SYMBOLS = np.ones((2, 8), np.complex64)
NOISE = np.full((2, 8), 0.1, np.float32)


def spoil(array, value):
    array = array.copy()
    array[1, 3] = value
    return array


@pytest.mark.parametrize(
    ("symbols", "noise_var", "reason"),
    [
        (spoil(SYMBOLS, np.nan), NOISE, "symbols hold NaN"),
        (spoil(SYMBOLS, complex(0, np.inf)), NOISE, "symbols hold NaN or infinite"),
        (spoil(SYMBOLS.astype(np.complex128), 1e300), NOISE, "symbols hold NaN or infinite"),
        (SYMBOLS, spoil(NOISE, np.nan), "noise_var"),
        (SYMBOLS, spoil(NOISE, np.inf), "noise_var"),
        (SYMBOLS, spoil(NOISE, -0.1), "noise_var"),
        (SYMBOLS, NOISE[:1], "noise_var has shape"),
        (SYMBOLS[:, :7], NOISE[:, :7], "unknown budget 7"),
        (SYMBOLS[0], NOISE[0], "must be complex, N x L"),
        (SYMBOLS.real, NOISE, "must be complex, N x L"),
        ([["a"]], NOISE, "not an array of numbers"),
    ],
)
def test_decode_refuses(tiny, symbols, noise_var, reason):
    with pytest.raises(CodecError, match=reason) as caught:
        tiny.decode(symbols, noise_var)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "snr_db", "budget", "reason"),
    [
        (IMAGES[:2], np.nan, 8, "snr_db is NaN"),
        (IMAGES[:2], [1.0, np.inf], 8, "snr_db is NaN or infinite"),
        (IMAGES[:2], [1.0, 2.0, 3.0], 8, "snr_db must be a number or 2"),
        (IMAGES[:2], 3.0, 9, "unknown budget 9.*4, 8, 16, 32"),
        (IMAGES[0], 3.0, 8, "images must be uint8"),
        (IMAGES[:2, :, :27], 3.0, 8, "N x 1 x 28 x 28"),
        (IMAGES[:2].astype(np.float32), 3.0, 8, "images must be uint8"),
    ],
)
def test_encode_refuses(tiny, images, snr_db, budget, reason):
    with pytest.raises(CodecError, match=reason):
        tiny.encode(images, snr_db, budget)


def test_policy_refuses(tiny):
    with pytest.raises(CodecError, match="margin"):
        tiny.choose_budget(3.0, -0.1)
    with pytest.raises(CodecError, match="snr_db"):
        tiny.reference_accuracy(float("nan"), 8)
