# SPDX-License-Identifier: GPL-3.0-or-later
"""The training channel "ofdm" against the modem's own equaliser over channels with echoes."""

import numpy as np
import pytest
import torch
from equaliser_noise import BUDGET, PROFILES, modem_statistics

from semantic_models import channels
from semantic_models.channels import transmit

SNR_DB = 15.0
SAMPLES = 3000


def trained_on(spread, monkeypatch):
    """gain_db and error ratio of the training channel, N x L, where every sample has this delay spread x bandwidth."""
    monkeypatch.setattr(channels, "OFDM_SPREAD", (spread, spread))
    sent = torch.ones(SAMPLES, BUDGET, dtype=torch.complex64)
    draw = torch.Generator().manual_seed(1)
    received, noise_var = transmit(sent, torch.full((SAMPLES,), SNR_DB), "ofdm", draw, 1e-9)
    error = (received - sent).abs().square() / noise_var
    return (-SNR_DB - 10 * torch.log10(noise_var)).numpy(), error.numpy()


@pytest.mark.parametrize("profile", PROFILES)
def test_symbols_are_as_unequal_as_the_modems(profile, monkeypatch):
    """Within the training range there is a delay spread that gives the modem's deciles of noise_var to 0.6 dB
    (relative to the frame's SNR); and the noise that was told is the noise that is, as with the modem."""
    theirs, their_ratio, missed = modem_statistics("ofdm256", profile, SNR_DB, 60)
    assert missed == 0
    spreads = np.geomspace(*channels.OFDM_SPREAD, 9)
    deciles = [0.1, 0.25, 0.5, 0.75, 0.9]
    wanted = np.quantile(theirs, deciles)
    apart = []
    for spread in spreads:
        ours, ratio = trained_on(spread, monkeypatch)
        apart.append(np.abs(np.quantile(ours, deciles) - wanted).max())
        assert abs(10 * np.log10(ratio.mean() / their_ratio.mean())) < 0.5
    assert min(apart) < 0.6


def test_snr_is_the_bands_mean(monkeypatch):
    """Without the estimate's own noise the mean gain is 1, whatever the delay spread."""
    monkeypatch.setattr(channels, "OFDM_EXTRA_NOISE_LIN", 0.0)
    monkeypatch.setattr(channels, "OFDM_LEVEL_ERROR_DB", 0.0)
    for spread in (0.05, 1.0):
        gain_db, _ = trained_on(spread, monkeypatch)
        assert abs(np.mean(10 ** (gain_db / 10)) - 1) < 0.03


def test_neighbours_lie_far_apart_in_the_band(monkeypatch):
    """Golden-ratio steps: where the band is nearly flat, every second symbol lies nearer than the next one."""
    gain_db, _ = trained_on(0.3, monkeypatch)
    deviation = gain_db - gain_db.mean(1, keepdims=True)
    near = (deviation[:, 8:] * deviation[:, :-8]).mean()  # eight steps return to almost the same place
    assert near > 0.5 * deviation.var()
    assert (deviation[:, 1:] * deviation[:, :-1]).mean() < 0
