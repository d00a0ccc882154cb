# SPDX-License-Identifier: GPL-3.0-or-later
"""Differentiable training channels, drawn for every sample by itself: what an unbiased equaliser gives the decoder."""

from __future__ import annotations

import torch

KINDS = ("awgn", "rayleigh", "selective")
WEAKEST_TAP_LIN = 0.02  # a deeper fade than -17 dB carries nothing and only makes the noise variance explode


def transmit(symbols: torch.Tensor, snr_db: torch.Tensor, kind, generator: torch.Generator):
    """Send symbols over a channel and equalise them.

    symbols: complex64, N x L, unit mean power a row. snr_db: float32, N: the average SNR before equalisation.
    kind: one of KINDS, or an int64 tensor of N indices into KINDS.
      awgn: one noise level a row. rayleigh: one fade a row (block fading with channel knowledge at the receiver).
      selective: an own Rayleigh fade for every symbol, unit mean power a row: OFDM with interleaved symbols.
    Returns (received complex64, noise_var float32), both N x L; noise_var is relative to unit symbol power.
    """
    count, length = symbols.shape
    if isinstance(kind, str):
        kind = torch.full((count,), KINDS.index(kind))
    kind = kind.to(symbols.device)[:, None]

    def exponential(columns: int) -> torch.Tensor:
        uniform = torch.rand(count, columns, generator=generator, device=generator.device).to(symbols.device)
        return -torch.log1p(-uniform)

    block, selective = exponential(1), exponential(length)
    selective = selective / selective.mean(1, keepdim=True)
    gain_lin = torch.where(kind == 1, block, torch.where(kind == 2, selective, torch.ones_like(selective)))
    noise_var = torch.pow(10.0, -snr_db / 10)[:, None] / gain_lin.clamp_min(WEAKEST_TAP_LIN)
    noise = torch.randn(count, length, 2, generator=generator, device=generator.device).to(symbols.device)
    return symbols + torch.sqrt(noise_var / 2) * torch.view_as_complex(noise), noise_var
