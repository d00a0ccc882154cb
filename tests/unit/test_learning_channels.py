# SPDX-License-Identifier: GPL-3.0-or-later
"""Training channels: the noise has the variance that the decoder is told, and fades belong to one sample."""

import pytest
import torch

from semantic_models.channels import ERASED_NOISE_VAR, KINDS, RICIAN_K_LIN, WEAKEST_TAP_LIN, erase, transmit
from semantic_models.losses import RateBound
from semantic_models.snr_report import change_db, told_snr_db
from semantic_models.student import Decoder

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


def test_erasures_are_known_and_drawn_for_each_sample():
    received, noise_var = transmit(SYMBOLS, torch.full((4000,), 10.0), "awgn", draw())
    kept, told = erase(received, noise_var, 0.5, draw())
    lost = told == ERASED_NOISE_VAR
    assert (kept[lost] == 0).all()
    assert torch.equal(kept[~lost], received[~lost])
    assert torch.equal(told[~lost], noise_var[~lost])
    share = lost.float().mean(1)
    assert abs(share.mean() - 0.25) < 0.01  # the mean of 0 to 0.5
    assert share.std() > 0.15  # uniform shares: 0.144, and the binomial on top; one share for all would give 0.11


def test_erased_symbols_are_as_if_never_sent():
    """To the decoder and to the rate bound: the last 8 of 16 erased are the prefix of 8."""
    torch.manual_seed(0)
    decoder, rate = Decoder(16, (8, 8), 10), RateBound(16)
    received, noise_var = transmit(SYMBOLS[:50], torch.full((50,), 10.0), "awgn", draw())
    lost = torch.zeros_like(noise_var, dtype=torch.bool)
    lost[:, 8:] = True
    kept, told = received.masked_fill(lost, 0), noise_var.masked_fill(lost, ERASED_NOISE_VAR)
    assert torch.allclose(decoder(kept, told), decoder(received[:, :8], noise_var[:, :8]), atol=1e-4)
    assert abs(rate(SYMBOLS[:50], told) - rate(SYMBOLS[:50, :8], noise_var[:, :8])) < 1e-3


def test_gradient_passes_through_echoes_and_stops_at_erasures():
    symbols = SYMBOLS.clone().requires_grad_()
    received, noise_var = transmit(symbols, torch.zeros(4000), "ofdm", draw())
    received, noise_var = erase(received, noise_var, 1.0, draw())
    received.real.sum().backward()
    lost = noise_var == ERASED_NOISE_VAR
    assert 0.4 < lost.float().mean() < 0.6
    assert torch.equal(symbols.grad, (~lost).to(symbols.grad.dtype))


def test_echoes_are_each_samples_own():
    _, noise_var = transmit(SYMBOLS, torch.full((4000,), 10.0), "ofdm", draw())
    assert noise_var.std(1).min() > 0
    assert noise_var[:, 0].unique().numel() > 3900


def test_delayed_report_has_the_law_of_correlated_rayleigh_levels():
    """Levels of correlation rho: P(then / now <= r) = 1/2 + (r - 1) / (2 sqrt((r + 1)^2 - 4 rho^2 r))."""
    age, doppler, count = 3.0, 0.05, 100_000
    draws = torch.Generator().manual_seed(3)
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(3))  # the ages that change_db draws first
    change = change_db(count, age, doppler, draws)
    rho = torch.special.bessel_j0(2 * torch.pi * doppler * age * uniform)
    for r_db in (-10.0, -3.0, -0.5, 2.0, 8.0):
        r = 10 ** (r_db / 10)
        wanted = (0.5 + (r - 1) / (2 * torch.sqrt((r + 1) ** 2 - 4 * rho.square() * r))).mean()
        assert abs((change <= r_db).float().mean() - wanted) < 0.006


def test_report_without_delay_is_what_it_was():
    """Existing experiments draw the same numbers: the true SNR and a normal error."""
    snr_db = torch.linspace(0, 10, 50)
    told = told_snr_db({"report_error_db": 1.5}, snr_db, draw())
    assert torch.equal(told, snr_db + 1.5 * torch.randn(50, generator=draw()))


def test_no_age_means_no_delay():
    told = told_snr_db(
        {"report_error_db": 0.0, "report_delay": {"frames": 0, "doppler": 0.1}}, torch.zeros(500), draw()
    )
    assert told.abs().max() < 1e-4
