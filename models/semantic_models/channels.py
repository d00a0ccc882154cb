# SPDX-License-Identifier: GPL-3.0-or-later
"""Differentiable channels, drawn for every sample by itself: what an unbiased equaliser gives the decoder."""

from __future__ import annotations

import math

import torch

KINDS = ("awgn", "rayleigh", "selective", "rician")
RICIAN_K_LIN = 4.0  # power of the direct path over that of all others
WEAKEST_TAP_LIN = 0.02  # in training: a deeper fade than -17 dB carries nothing and only makes gradients explode


def transmit(
    symbols: torch.Tensor, snr_db: torch.Tensor, kind, generator: torch.Generator, weakest_lin: float = WEAKEST_TAP_LIN
):
    """Send symbols over a channel and equalise them.

    symbols: complex64, N x L, unit mean power a row. snr_db: float32, N: the average SNR before equalisation.
    kind: one of KINDS, or an int64 tensor of N indices into KINDS.
      awgn: one noise level a row. rayleigh, rician: one fade a row (block fading, known at the receiver only).
      selective: an own Rayleigh fade for every symbol, unit mean power a row: OFDM with interleaved symbols.
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
    return symbols + torch.sqrt(noise_var / 2) * torch.view_as_complex(noise), noise_var


def _rician(rayleigh: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
    """Power gain, mean 1, of a direct path and a scattered one that has this (unit mean) power and this phase."""
    direct, scattered = RICIAN_K_LIN / (1 + RICIAN_K_LIN), rayleigh / (1 + RICIAN_K_LIN)
    return direct + scattered + 2 * torch.sqrt(direct * scattered) * torch.cos(phase)
