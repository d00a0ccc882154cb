# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames found where there is none: noise, tones, chirps."""

import numpy as np

from ..modem import StreamReceiver
from ..modem.stream import BULK_CHUNK
from .registry import Measurement, Verdict
from .signals import gaussian

_NOISE_PART = 10**8  # samples in a point
_PIECE = 1 << 20
_SIGNAL_SAMPLES = 10**7


def points(wf, effort):
    whole, rest = divmod(effort.noise_samples, _NOISE_PART)
    parts = [_NOISE_PART] * whole + [rest] * bool(rest)
    noise = [{"signal": "noise", "samples": samples, "seed": 300 + i} for i, samples in enumerate(parts)]
    samples = _SIGNAL_SAMPLES // (20 if effort.quick else 1)
    others = [
        {"signal": kind, "samples": samples, "snr_db": snr_db, "seed": 390}
        for kind in ("sine", "chirp")
        for snr_db in (None, 20.0, 0.0)
    ]
    return noise + others


def measure(wf, settings):
    rng, receiver = np.random.default_rng(settings["seed"]), StreamReceiver(wf, chunk=BULK_CHUNK)
    count, frames = settings["samples"], 0
    for first in range(0, count, _PIECE):
        size = min(_PIECE, count - first)
        if settings["signal"] == "noise":
            samples = gaussian(rng, size)
        else:
            samples = _PHASES[settings["signal"]](wf, first + np.arange(size), count)
            samples = np.exp(2j * np.pi * samples).astype(np.complex64)
            if settings["snr_db"] is not None:
                samples = samples + gaussian(rng, size) * np.float32(10 ** (-settings["snr_db"] / 20))
        frames += len(receiver.push(samples))
    return {"frames": frames + len(receiver.flush())}


def _sine(wf, n, count):
    """Steady tones, a new one every 50,000 samples: on carriers, between them, and anywhere. Cycles."""
    step = n // 50_000
    frequency = np.where(step % 2 == 0, (step % wf.fft_len) / wf.fft_len, step * 0.381966 % 1)
    return frequency * (n % 50_000)


def _chirp(wf, n, count):
    """Sweeps over the whole band in 2^7 to 2^20 samples, again and again. Cycles."""
    length = 2.0 ** (7 + n * 14 // count)
    place = n % length
    return place**2 / (2 * length)


_PHASES = {"sine": _sine, "chirp": _chirp}


def judge(results):
    rows = []
    for signal, bar in (("noise", "0 in 10^9 samples"), ("sine", "0"), ("chirp", "0")):
        mine = [(settings, result) for settings, result in results if settings["signal"] == signal]
        samples, frames = (sum(item) for item in zip(*((s["samples"], r["frames"]) for s, r in mine), strict=True))
        enough = signal != "noise" or samples >= 10**9 or frames > 0
        rows.append(
            Verdict(
                f"false frames on {signal}",
                bar,
                f"{frames} in {samples:.2g} samples",
                "0",
                frames == 0 if enough else None,
            )
        )
    return rows


MEASUREMENT = Measurement("False frames", points, measure, judge)
