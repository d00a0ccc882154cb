# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sender is told about the SNR: a report with an error, and from some frames ago."""

from __future__ import annotations

import math

import torch


def told_snr_db(config: dict, snr_db: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The reported SNR of each sample, float32, N.

    snr_db: the true one at the time of sending, float32, N. config: report_error_db, the standard deviation of the
    report; and optionally report_delay, a mapping of
      frames: the report is 0 to this many frames old, uniformly drawn for each sample,
      doppler: the maximum Doppler frequency times the time between frames.
    The delayed report belongs to a level that fades as Rayleigh's with Clarke's correlation J0(2 pi doppler frames).
    """
    told = snr_db + config["report_error_db"] * torch.randn(
        len(snr_db), generator=generator, device=generator.device
    ).to(snr_db.device)
    if "report_delay" in config:
        told = told + change_db(len(snr_db), generator=generator, **config["report_delay"]).to(snr_db.device)
    return told


def change_db(count: int, frames: float, doppler: float, generator: torch.Generator) -> torch.Tensor:
    """By how much a Rayleigh-fading level was higher some frames ago than it is now: float32, dB, one a sample."""
    age = frames * torch.rand(count, generator=generator, device=generator.device)
    correlation = torch.special.bessel_j0(2 * math.pi * doppler * age)
    now, other = torch.randn(2, count, 2, generator=generator, device=generator.device)
    then = correlation[:, None] * now + torch.sqrt((1 - correlation.square()).clamp_min(0))[:, None] * other
    tiny = 1e-12  # a level of exactly zero has no decibels
    return 10 * torch.log10((then.square().sum(1) + tiny) / (now.square().sum(1) + tiny))
