# SPDX-License-Identifier: GPL-3.0-or-later
"""Long frames over a fading channel that moves, beside the same fading standing still.

Error of the symbols after shrinking by 1 / (1 + noise_var), as a decoder does: without it, fades would decide alone. A
frame that is not found counts with an error of 1, that of all zeros.
"""

import numpy as np

from ..channel import ChannelConfig
from ..modem import frame_len, receive
from .registry import Measurement, Verdict
from .signals import bursts, decibels, found, payload_header
from .style import BAR, OURS

_RATE_HZ = 1e6
_GAP = 500
_BAR_DB = 2.0


def points(wf, effort):
    shifts = (0, 50) if effort.quick else (0, 5, 10, 20, 30, 40, 50, 60, 80)
    return [{"doppler_hz": float(hz), "snr_db": 20.0, "frames": effort.frames, "seed": 700} for hz in shifts]


def measure(wf, settings):
    """100 payload symbols, one Rayleigh path of unit mean power; 0 Hz: a new draw for every frame."""
    rng, errors, lost = np.random.default_rng(settings["seed"]), [], 0
    block = _GAP + frame_len(wf, payload_header(wf, 100))
    moving = {"fading": "doppler", "doppler_hz": settings["doppler_hz"]}
    still = {"fading": "block", "fading_block_s": block / _RATE_HZ}
    fading = moving if settings["doppler_hz"] else still
    config = ChannelConfig(snr_db=settings["snr_db"], multipath="rayleigh", **fading)
    for number, burst in enumerate(bursts(wf, rng, settings["frames"], 100, gap=(_GAP, _GAP))):
        channel = config.build(_RATE_HZ, np.random.SeedSequence([settings["seed"], number]))
        samples = channel.process(burst.samples)
        matched, _ = found(wf, burst, receive(wf, samples, _RATE_HZ), channel.latency_samples)
        for place, frame in matched.items():
            shrunk = frame.symbols / (1 + frame.noise_var)
            errors.append(float(np.mean(np.abs(shrunk - burst.symbols[place]) ** 2)))
        lost += len(burst) - len(matched)
    return {"error_db": decibels((sum(errors) + lost) / (len(errors) + lost)), "lost": lost}


def bound_db(snr_db: float) -> float:
    """The same error where the channel is known: mean of 1 / (1 + snr |h|^2) over Rayleigh fading, in dB."""
    power = np.linspace(0, 40, 2_000_001)
    return decibels(np.trapz(np.exp(-power) / (1 + 10 ** (snr_db / 10) * power), power))


def judge(results):
    still = next(r for s, r in results if s["doppler_hz"] == 0)
    settings, moving = next((s, r) for s, r in results if s["doppler_hz"] == 50)
    loss = moving["error_db"] - still["error_db"]
    return [
        Verdict(
            "Doppler 50 Hz at 1 Msps, 100-symbol frames, 20 dB: MSE loss against static",
            "<= 2 dB",
            f"{loss:.2f} dB ({moving['error_db']:.2f} dB; {moving['lost']} frames lost, static {still['lost']})",
            f"static {still['error_db']:.2f} dB, channel known {bound_db(settings['snr_db']):.2f} dB",
            loss <= _BAR_DB,
        )
    ]


def plot(axes, results):
    still = next(r["error_db"] for s, r in results if s["doppler_hz"] == 0)
    axes.plot(
        [s["doppler_hz"] for s, _ in results], [r["error_db"] - still for _, r in results], **OURS, label="receiver"
    )
    axes.axhline(_BAR_DB, **BAR, label="bar, at 50 Hz")
    axes.set(xlabel="maximum Doppler shift at 1 Msps (Hz)", ylabel="MSE loss against static (dB)")


MEASUREMENT = Measurement("Fading within 100-symbol frames, 20 dB", points, measure, judge, plot)
