# SPDX-License-Identifier: GPL-3.0-or-later
"""Bias and spread of the SNR estimate of single frames, against the definition."""

import numpy as np

from ..modem import receive
from .registry import Measurement, Verdict
from .signals import add_noise, bursts, found, need_frames, over_rayleigh_taps
from .style import BAR, FAMILY

_BIAS_BAR_DB, _SIGMA_BAR_DB = 0.3, 0.8


def points(wf, effort):
    levels = (-4, 12, 28) if effort.quick else range(-4, 29, 4)
    return [
        {"channel": channel, "snr_db": float(snr_db), "frames": effort.frames, "seed": 800 + snr_db}
        for channel in ("awgn", "multipath")
        for snr_db in levels
    ]


def measure(wf, settings):
    """Multipath: see `over_rayleigh_taps`; the SNR of every frame is the setting's. The frames that are found count."""
    rng, errors = np.random.default_rng(settings["seed"]), []
    for burst in bursts(wf, rng, settings["frames"], gap=(300, 301)):
        faded = settings["channel"] == "multipath"
        samples = over_rayleigh_taps(wf, rng, burst)[0] if faded else burst.samples
        noisy = add_noise(rng, samples, settings["snr_db"])
        matched, _ = found(wf, burst, receive(wf, noisy))
        errors += [frame.snr_db - settings["snr_db"] for frame in matched.values()]
    need_frames(wf, len(errors), settings)
    return {"bias_db": float(np.mean(errors)), "sigma_db": float(np.std(errors)), "frames_found": len(errors)}


def judge(results):
    rows = []
    for channel, name in (("awgn", "AWGN"), ("multipath", "multipath")):
        mine = [(s, r) for s, r in results if s["channel"] == channel]
        bias, at = max((abs(r["bias_db"]), s["snr_db"]) for s, r in mine)
        sigma, where = max((r["sigma_db"], s["snr_db"]) for s, r in mine)
        rows.append(
            Verdict(
                f"SNR estimate in {name}, -4 to 28 dB: largest bias",
                "within 0.3 dB",
                f"{bias:.2f} dB (at {at:g} dB)",
                "0",
                bias <= _BIAS_BAR_DB,
            )
        )
        rows.append(
            Verdict(
                f"SNR estimate in {name}, -4 to 28 dB: largest sigma of one frame",
                "<= 0.8 dB",
                f"{sigma:.2f} dB (at {where:g} dB)",
                "",
                sigma <= _SIGMA_BAR_DB,
            )
        )
    return rows


def plot(axes, results):
    for i, channel in enumerate(("awgn", "multipath")):
        mine = [(s["snr_db"], r) for s, r in results if s["channel"] == channel]
        snr_db = [level for level, _ in mine]
        axes.plot(snr_db, [r["bias_db"] for _, r in mine], **FAMILY[i], label=f"bias, {channel}")
        axes.plot(snr_db, [r["sigma_db"] for _, r in mine], ls="--", **FAMILY[i], label=f"sigma, {channel}")
    for bar in (-_BIAS_BAR_DB, _BIAS_BAR_DB, _SIGMA_BAR_DB):
        axes.axhline(bar, **BAR)
    axes.set(xlabel="SNR (dB)", ylabel="error of the estimate (dB; bars dotted)")


MEASUREMENT = Measurement("SNR estimate", points, measure, judge, plot)
