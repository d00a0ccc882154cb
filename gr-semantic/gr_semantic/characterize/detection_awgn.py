# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames detected with a right header over SNR, in white noise."""

import numpy as np

from ..modem import receive
from . import genie
from .registry import Measurement, Verdict
from .signals import add_noise, bursts, found
from .style import GENIE, OURS

_BARS = {0.0: 0.99, -4.0: 0.95}


def points(wf, effort):
    levels = (-6, -4, -2, 0, 4) if effort.quick else range(-8, 11)
    return [{"snr_db": float(snr_db), "frames": effort.frames, "seed": 100 + snr_db} for snr_db in levels]


def measure(wf, settings):
    """Offsets of up to +-5 carriers, gaps of random length, 10 payload symbols."""
    rng = np.random.default_rng(settings["seed"])
    right = false = told = 0
    for burst in bursts(wf, rng, settings["frames"]):
        samples = add_noise(rng, burst.samples, settings["snr_db"])
        matched, wrong = found(wf, burst, receive(wf, samples))
        right, false = right + len(matched), false + wrong
        told += int(genie.right_headers(wf, samples, burst.headers, burst.starts, burst.cfo).sum())
    frames = settings["frames"]
    return {"detected": right / frames, "genie": told / frames, "false": false}


def judge(results):
    rows = []
    for settings, result in results:
        bar = _BARS.get(settings["snr_db"])
        if bar is not None:
            rows.append(
                Verdict(
                    f"right header in AWGN at {settings['snr_db']:g} dB",
                    f">= {100 * bar:g} %",
                    f"{100 * result['detected']:.1f} %",
                    f"genie (timing and CFO known) {100 * result['genie']:.1f} %",
                    result["detected"] >= bar,
                )
            )
    return rows


def plot(axes, results):
    snr_db = [settings["snr_db"] for settings, _ in results]
    axes.plot(snr_db, [100 * result["genie"] for _, result in results], **GENIE, label="genie: timing, CFO known")
    axes.plot(snr_db, [100 * result["detected"] for _, result in results], **OURS, label="receiver")
    for level_db, bar in _BARS.items():
        axes.plot(level_db, 100 * bar, "_", color="black", ms=16, mew=2)
    axes.set(xlabel="SNR (dB)", ylabel="frames with a right header (%)", ylim=(None, 101))


MEASUREMENT = Measurement("Detection in AWGN (bars: —)", points, measure, judge, plot)
