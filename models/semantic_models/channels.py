# SPDX-License-Identifier: GPL-3.0-or-later
"""Differentiable channels, drawn for every sample by itself: what an unbiased equaliser gives the decoder."""

from __future__ import annotations

import math

import torch

KINDS = ("awgn", "rayleigh", "selective", "rician", "ofdm")
RICIAN_K_LIN = 4.0  # power of the direct path over that of all others
ERASED_NOISE_VAR = 1e6  # as good as infinite, but finite: nothing of the symbol is left
# "ofdm": the modem's equaliser, see docs/learning.md for where the numbers come from
OFDM_SPREAD = (0.05, 3.0)  # RMS delay spread x bandwidth, the smallest and the largest; uniform in its logarithm
OFDM_PATHS = 16  # of equal mean power, at the quantiles of an exponential delay profile
OFDM_BAND = 48  # places in the band over which the mean power is taken
OFDM_EXTRA_NOISE_LIN = 0.014  # of the channel estimate, relative to the noise
OFDM_LEVEL_ERROR_DB = 0.15  # standard deviation of the told noise level, a frame
WEAKEST_TAP_LIN = 0.02  # in training: a deeper fade than -17 dB carries nothing and only makes gradients explode


def transmit(
    symbols: torch.Tensor, snr_db: torch.Tensor, kind, generator: torch.Generator, weakest_lin: float = WEAKEST_TAP_LIN
):
    """Send symbols over a channel and equalise them.

    symbols: complex64, N x L, unit mean power a row. snr_db: float32, N: the average SNR before equalisation.
    kind: one of KINDS, or an int64 tensor of N indices into KINDS.
      awgn: one noise level a row. rayleigh, rician: one fade a row (block fading, known at the receiver only).
      selective: an own Rayleigh fade for every symbol, unit mean power a row: OFDM with interleaved symbols.
      ofdm: a row's symbols lie spread over the band of a channel with echoes, as the modem sends them; snr_db is the
      band's mean, as the modem's header says; noise_var is what the modem's receiver estimates, not quite the truth.
    weakest_lin: smallest power gain; deeper fades are raised to it.
    Returns (received complex64, noise_var float32), both N x L; noise_var is relative to unit symbol power.
    """
    count, length = symbols.shape
    if isinstance(kind, str):
        kind = torch.full((count,), KINDS.index(kind))
    kind = kind.to(symbols.device)[:, None]

    def uniform(columns: int) -> torch.Tensor:
        return torch.rand(count, columns, generator=generator, device=generator.device).to(symbols.device)

    row, each = uniform(1), uniform(length)
    rayleigh, selective = -torch.log1p(-row), -torch.log1p(-each)
    selective = selective / selective.mean(1, keepdim=True)
    gains = (torch.ones_like(selective), rayleigh, selective, _rician(rayleigh, 2 * math.pi * each[:, :1]))
    gain_lin = gains[0]
    for index, gain in enumerate(gains):
        gain_lin = torch.where(kind == index, gain, gain_lin)
    noise_var = torch.pow(10.0, -snr_db / 10)[:, None] / gain_lin.clamp_min(weakest_lin)
    noise = torch.randn(count, length, 2, generator=generator, device=generator.device).to(symbols.device)
    told_var = noise_var
    ofdm = kind == KINDS.index("ofdm")
    if bool(ofdm.any()):  # its draws come last: the other kinds' stay what they are without it
        gain_lin, level_lin = _ofdm(count, length, generator)
        behind = torch.pow(10.0, -snr_db / 10)[:, None] / gain_lin.to(symbols.device).clamp_min(weakest_lin)
        noise_var = torch.where(ofdm, behind * (1 + OFDM_EXTRA_NOISE_LIN), noise_var)
        told_var = torch.where(ofdm, noise_var * level_lin.to(symbols.device), noise_var)
    return symbols + torch.sqrt(noise_var / 2) * torch.view_as_complex(noise), told_var


def erase(received: torch.Tensor, noise_var: torch.Tensor, largest_share: float, generator: torch.Generator):
    """Lose symbols, and know which: each sample loses every symbol with its own probability, 0 to largest_share.

    received, noise_var: as transmit returns them. Returns both with 0 and ERASED_NOISE_VAR in the lost places.
    """
    count, length = received.shape
    share = largest_share * torch.rand(count, 1, generator=generator, device=generator.device)
    lost = torch.rand(count, length, generator=generator, device=generator.device) < share
    lost = lost.to(received.device)
    return received.masked_fill(lost, 0), noise_var.masked_fill(lost, ERASED_NOISE_VAR)


def _ofdm(count: int, length: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Power gain of each symbol (N x L) relative to the band's mean, and the error of the told noise level (N x 1).

    A row has its own delay spread; its symbols lie golden-ratio steps apart in the band.
    """

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator, device=generator.device)

    low, high = map(math.log, OFDM_SPREAD)
    spread = torch.exp(low + (high - low) * uniform(1))
    quantile = (torch.arange(OFDM_PATHS, device=generator.device) + 0.5) / OFDM_PATHS
    delay = -spread * torch.log1p(-quantile)  # N x paths, in units of 1 / bandwidth
    paths = torch.view_as_complex(torch.randn(count, OFDM_PATHS, 2, generator=generator, device=generator.device))
    own = (uniform(1) + (math.sqrt(5) - 1) / 2 * torch.arange(length, device=generator.device)) % 1
    band = (torch.arange(OFDM_BAND, device=generator.device) / OFDM_BAND).expand(count, -1)
    turns = delay[:, :, None] * torch.cat([own, band], 1)[:, None, :]  # N x paths x places
    power = (paths[:, :, None] * torch.polar(torch.ones_like(turns), -2 * math.pi * turns)).sum(1).abs().square()
    gain_lin = power[:, :length] / power[:, length:].mean(1, keepdim=True)
    level_db = OFDM_LEVEL_ERROR_DB * torch.randn(count, 1, generator=generator, device=generator.device)
    return gain_lin, torch.pow(10.0, level_db / 10)


def _rician(rayleigh: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
    """Power gain, mean 1, of a direct path and a scattered one that has this (unit mean) power and this phase."""
    direct, scattered = RICIAN_K_LIN / (1 + RICIAN_K_LIN), rayleigh / (1 + RICIAN_K_LIN)
    return direct + scattered + 2 * torch.sqrt(direct * scattered) * torch.cos(phase)
