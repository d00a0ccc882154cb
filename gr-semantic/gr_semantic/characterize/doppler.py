# SPDX-License-Identifier: GPL-3.0-or-later
"""Long frames over a fading channel that moves, beside the same fading standing still.

Error of the symbols after shrinking by 1 / (1 + noise_var), as a decoder does: without it, fades would decide alone. Of
the frames that are found; lost ones (a fade over preamble and header) are counted beside it.
"""

import numpy as np

from ..channel import ChannelConfig
from ..modem import frame_len, receive
from .registry import Measurement, Verdict
from .signals import bursts, decibels, found, need_frames, payload_header
from .style import BAR, OURS

_RATE_HZ = 1e6
_GAP = 500
_BAR_DB = 2.0


def points(wf, effort):
    shifts = (0, 50) if effort.quick else (0, 5, 10, 20, 30, 40, 50, 60, 80)
    return [{"doppler_hz": float(hz), "snr_db": 20.0, "frames": effort.frames, "seed": 700} for hz in shifts]


def measure(wf, settings):
    """100 payload symbols, one Rayleigh path of unit mean power; 0 Hz: a new draw for every frame.

    genie_db: the same error, in the same frames, of a receiver that knows the channel.
    """
    rng, errors, told, lost = np.random.default_rng(settings["seed"]), [], [], 0
    block = _GAP + frame_len(wf, payload_header(wf, 100))
    trained = wf.symbol_len * (wf.preamble_symbols + wf.header_symbols)
    moving = {"fading": "doppler", "doppler_hz": settings["doppler_hz"]}
    still = {"fading": "block", "fading_block_s": block / _RATE_HZ}
    fading = {"multipath": "rayleigh", **(moving if settings["doppler_hz"] else still)}
    snr_lin = 10 ** (settings["snr_db"] / 10)
    for number, burst in enumerate(bursts(wf, rng, settings["frames"], 100, gap=(_GAP, _GAP))):
        seed = np.random.SeedSequence([settings["seed"], number])
        channel = ChannelConfig(snr_db=settings["snr_db"], **fading).build(_RATE_HZ, seed)
        samples = channel.process(burst.samples)
        delay = channel.latency_samples
        gain = ChannelConfig(**fading).build(_RATE_HZ, seed).process(np.ones(len(samples), np.complex64))
        matched, _ = found(wf, burst, receive(wf, samples, _RATE_HZ), delay)
        for place, frame in matched.items():
            shrunk = frame.symbols / (1 + frame.noise_var)
            errors.append(np.mean(np.abs(shrunk - burst.symbols[place]) ** 2))
            start = burst.starts[place] + delay
            power = np.abs(gain[start + trained : start + block - _GAP]) ** 2
            told.append(np.mean(1 / (1 + snr_lin * power)))
        lost += len(burst) - len(matched)
    need_frames(wf, len(errors), settings)
    return {"error_db": decibels(np.mean(errors)), "genie_db": decibels(np.mean(told)), "lost": lost}


def _above_genie_db(result) -> float:
    return result["error_db"] - result["genie_db"]


def judge(results):
    """Against static, each taken over the genie in its own frames: deep fades are rare, and their number is luck."""
    still = next(r for s, r in results if s["doppler_hz"] == 0)
    moving = next(r for s, r in results if s["doppler_hz"] == 50)
    loss = _above_genie_db(moving) - _above_genie_db(still)
    return [
        Verdict(
            "Doppler 50 Hz at 1 Msps, 100-symbol frames, 20 dB: MSE loss against static",
            "<= 2 dB",
            f"{loss:.2f} dB (moving {moving['error_db']:.2f} dB, {moving['lost']} frames lost; "
            f"static {still['error_db']:.2f} dB, {still['lost']} lost)",
            f"genie (channel known): moving {moving['genie_db']:.2f} dB, static {still['genie_db']:.2f} dB",
            loss <= _BAR_DB,
        )
    ]


def plot(axes, results):
    still = _above_genie_db(next(r for s, r in results if s["doppler_hz"] == 0))
    loss_db = [_above_genie_db(result) - still for _, result in results]
    axes.plot([settings["doppler_hz"] for settings, _ in results], loss_db, **OURS, label="receiver")
    axes.axhline(_BAR_DB, **BAR, label="bar, at 50 Hz")
    axes.set(xlabel="maximum Doppler shift at 1 Msps (Hz)", ylabel="MSE loss against static (dB)")


MEASUREMENT = Measurement("Fading within 100-symbol frames, 20 dB", points, measure, judge, plot)
