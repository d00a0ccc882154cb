# SPDX-License-Identifier: GPL-3.0-or-later
"""Error of the payload's symbols over SNR, beside a receiver that knows channel, carrier offset and timing."""

import numpy as np

from ..modem import receive
from . import genie
from .registry import Measurement, Verdict
from .signals import add_noise, bursts, decibels, found, need_frames
from .style import BAR, OURS

_BAR_DB = 0.7


def points(wf, effort):
    levels = (0, 10, 20, 30) if effort.quick else range(0, 31, 3)
    return [{"snr_db": float(snr_db), "frames": effort.frames, "seed": 400 + snr_db} for snr_db in levels]


def measure(wf, settings):
    """Both receivers on the same samples and the frames that ours finds; 10 payload symbols."""
    rng = np.random.default_rng(settings["seed"])
    ours, bound, count = 0.0, 0.0, 0
    for burst in bursts(wf, rng, settings["frames"]):
        samples = add_noise(rng, burst.samples, settings["snr_db"])
        for place, frame in found(wf, burst, receive(wf, samples))[0].items():
            told = genie.payload(wf, samples, burst.headers[place], burst.starts[place], burst.cfo[place])
            ours += float(np.mean(np.abs(frame.symbols - burst.symbols[place]) ** 2))
            bound += float(np.mean(np.abs(told - burst.symbols[place]) ** 2))
            count += 1
    need_frames(wf, count, settings)
    return {"mse_db": decibels(ours / count), "genie_db": decibels(bound / count), "frames_found": count}


def judge(results):
    settings, result = max(results, key=lambda point: point[1]["mse_db"] - point[1]["genie_db"])
    loss = result["mse_db"] - result["genie_db"]
    return [
        Verdict(
            "payload MSE in AWGN, 0 to 30 dB: largest loss",
            "within 0.7 dB of the genie",
            f"{loss:.2f} dB (at {settings['snr_db']:g} dB: {result['mse_db']:.2f} dB)",
            f"genie (channel, CFO, timing known) {result['genie_db']:.2f} dB",
            loss <= _BAR_DB,
        )
    ]


def plot(axes, results):
    snr_db = [settings["snr_db"] for settings, _ in results]
    axes.plot(snr_db, [r["mse_db"] - r["genie_db"] for _, r in results], **OURS, label="receiver")
    axes.axhline(_BAR_DB, **BAR, label="bar")
    axes.set(xlabel="SNR (dB)", ylabel="payload MSE above the genie's (dB)", ylim=(0, None))


MEASUREMENT = Measurement("Payload MSE in AWGN", points, measure, judge, plot)
