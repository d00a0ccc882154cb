# SPDX-License-Identifier: GPL-3.0-or-later
"""Long frames under carrier and sample-clock offsets."""

import numpy as np

from ..channel import ChannelConfig
from ..modem import receive
from .registry import Measurement, Verdict
from .signals import bursts, decibels, found
from .style import BAR, FAMILY

_RATE_HZ = 1e6
_BAR_DB = 1.0


def points(wf, effort):
    return [
        {"cfo_carriers": cfo, "sro_ppm": sro, "snr_db": 30.0, "frames": effort.frames, "seed": 600}
        for cfo in (-5.0, 0.0, 5.0)
        for sro in ((-40.0, 0.0, 40.0) if effort.quick else (-40.0, -20.0, 0.0, 20.0, 40.0))
    ]


def measure(wf, settings):
    """100 payload symbols at 30 dB. A frame that is not found counts with an error of 1."""
    rng, errors = np.random.default_rng(settings["seed"]), []
    config = ChannelConfig(
        snr_db=settings["snr_db"],
        cfo_hz=settings["cfo_carriers"] * _RATE_HZ / wf.fft_len,
        sro_ppm=settings["sro_ppm"],
    )
    lost = 0
    for number, burst in enumerate(bursts(wf, rng, settings["frames"], payload_symbols=100, cfo_carriers=0.0)):
        channel = config.build(_RATE_HZ, np.random.SeedSequence([settings["seed"], number]))
        samples = channel.process(burst.samples)
        matched, _ = found(wf, burst, receive(wf, samples, _RATE_HZ), channel.latency_samples)
        errors += [float(np.mean(np.abs(f.symbols - burst.symbols[place]) ** 2)) for place, f in matched.items()]
        lost += len(burst) - len(matched)
    return {"mse_db": decibels((sum(errors) + lost) / (len(errors) + lost)), "lost": lost}


def judge(results):
    reference = next(r["mse_db"] for s, r in results if s["cfo_carriers"] == s["sro_ppm"] == 0)
    settings, result = max(results, key=lambda point: point[1]["mse_db"])
    loss = result["mse_db"] - reference
    return [
        Verdict(
            "CFO +-5 carriers x SRO +-40 ppm, 100-symbol frames, 30 dB: largest MSE loss",
            "<= 1 dB",
            f"{loss:.2f} dB ({result['mse_db']:.2f} dB at {settings['cfo_carriers']:g} carriers, "
            f"{settings['sro_ppm']:g} ppm; {sum(r['lost'] for _, r in results)} frames lost in all)",
            f"without offsets {reference:.2f} dB",
            loss <= _BAR_DB,
        )
    ]


def plot(axes, results):
    reference = next(r["mse_db"] for s, r in results if s["cfo_carriers"] == s["sro_ppm"] == 0)
    for style, cfo in zip(FAMILY, (-5.0, 0.0, 5.0), strict=False):
        mine = [(s["sro_ppm"], r["mse_db"] - reference) for s, r in results if s["cfo_carriers"] == cfo]
        axes.plot(*zip(*mine, strict=True), **style, label=f"CFO {cfo:+g} carriers")
    axes.axhline(_BAR_DB, **BAR, label="bar")
    axes.set(xlabel="sample clock offset (ppm)", ylabel="MSE loss (dB)")


MEASUREMENT = Measurement("Carrier and clock offsets, 100-symbol frames, 30 dB", points, measure, judge, plot)
