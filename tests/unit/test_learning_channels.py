# SPDX-License-Identifier: GPL-3.0-or-later
"""Training channels: the noise has the variance that the decoder is told, and fades belong to one sample."""

import pytest
import torch

from semantic_models.channels import KINDS, RICIAN_K_LIN, WEAKEST_TAP_LIN, transmit

SYMBOLS = torch.polar(torch.ones(4000, 16), torch.rand(4000, 16, generator=torch.Generator().manual_seed(1)) * 6.283)


def draw():
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_variance_is_what_it_says(kind):
    snr_db = torch.linspace(-6, 24, 4000)
    received, noise_var = transmit(SYMBOLS, snr_db, kind, draw())
    normalised = (received - SYMBOLS).abs().square() / noise_var
    assert abs(normalised.mean() - 1) < 0.02
    assert received.dtype == torch.complex64
    assert noise_var.shape == SYMBOLS.shape


def test_awgn_has_one_level_a_sample():
    snr_db = torch.linspace(-6, 24, 4000)
    _, noise_var = transmit(SYMBOLS, snr_db, "awgn", draw())
    assert torch.allclose(noise_var, (10 ** (-snr_db / 10))[:, None].expand_as(noise_var))


def test_fades_are_per_sample_or_per_symbol():
    snr_db = torch.full((4000,), 10.0)
    _, block = transmit(SYMBOLS, snr_db, "rayleigh", draw())
    _, selective = transmit(SYMBOLS, snr_db, "selective", draw())
    assert (block == block[:, :1]).all()
    assert block[:, 0].unique().numel() > 3000
    assert (selective.std(1) > 0).all()
    assert selective.max() <= 0.1 / WEAKEST_TAP_LIN * 1.001
    gains = 0.1 / selective
    assert abs(gains.mean() - 1) < 0.02


def test_kinds_can_be_mixed_in_a_batch():
    kinds = torch.arange(4000) % len(KINDS)
    snr_db = torch.full((4000,), 10.0)
    _, mixed = transmit(SYMBOLS, snr_db, kinds, draw())
    for index, kind in enumerate(KINDS):
        _, alone = transmit(SYMBOLS, snr_db, kind, draw())
        assert torch.equal(mixed[kinds == index], alone[kinds == index])


def test_gradient_passes_through_unchanged():
    symbols = SYMBOLS.clone().requires_grad_()
    received, _ = transmit(symbols, torch.zeros(4000), "selective", draw())
    received.real.sum().backward()
    assert torch.equal(symbols.grad, torch.ones_like(SYMBOLS))


def test_rician_fades_have_unit_power_and_the_k_factor():
    _, noise_var = transmit(SYMBOLS, torch.full((4000,), 10.0), "rician", draw(), 0.0)
    assert (noise_var == noise_var[:, :1]).all()
    gains = 0.1 / noise_var[:, 0]
    assert abs(gains.mean() - 1) < 0.03
    # variance of the power gain: (1 + 2 K) / (1 + K)^2
    assert abs(gains.var() - (1 + 2 * RICIAN_K_LIN) / (1 + RICIAN_K_LIN) ** 2) < 0.03
