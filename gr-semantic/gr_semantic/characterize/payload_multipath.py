# SPDX-License-Identifier: GPL-3.0-or-later
"""Error of the payload's symbols over multipath, beside a receiver that knows the channel.

Errors after shrinking by 1 / (1 + noise_var), as a decoder does. The worst frame is told too: a receiver that now and
then takes a wrong start looks well on average.
"""

import numpy as np

from ..modem import receive
from .registry import Measurement, Verdict
from .signals import add_noise, bursts, decibels, found, need_frames, over_rayleigh_taps
from .style import FAMILY


def points(wf, effort):
    levels = (10, 28) if effort.quick else (0, 5, 10, 15, 20, 24, 28)
    return [{"snr_db": float(snr_db), "frames": effort.frames, "seed": 450 + snr_db} for snr_db in levels]


def measure(wf, settings):
    """10 payload symbols over six Rayleigh taps, a new draw for each frame; the frames that are found count."""
    rng, ours, told = np.random.default_rng(settings["seed"]), [], []
    for burst in bursts(wf, rng, settings["frames"], gap=(300, 301)):
        samples, power = over_rayleigh_taps(wf, rng, burst)
        samples = add_noise(rng, samples, settings["snr_db"])
        for place, frame in found(wf, burst, receive(wf, samples))[0].items():
            shrunk = frame.symbols / (1 + frame.noise_var)
            ours.append(np.mean(np.abs(shrunk - burst.symbols[place]) ** 2))
            told.append(np.mean(1 / (1 + 10 ** (settings["snr_db"] / 10) * power[place])))
    need_frames(wf, len(ours), settings)
    return {
        "error_db": decibels(np.mean(ours)),
        "genie_db": decibels(np.mean(told)),
        "worst_loss_db": decibels(np.max(np.divide(ours, told))),
        "frames_found": len(ours),
    }


def _loss_db(result) -> float:
    return result["error_db"] - result["genie_db"]


def judge(results):
    settings, result = max(results, key=lambda point: _loss_db(point[1]))
    worst_settings, worst = max(results, key=lambda point: point[1]["worst_loss_db"])
    return [
        Verdict(
            "payload error over six Rayleigh taps: largest loss",
            "none",
            f"{_loss_db(result):.2f} dB (at {settings['snr_db']:g} dB); worst single frame "
            f"{worst['worst_loss_db']:.1f} dB (at {worst_settings['snr_db']:g} dB)",
            f"genie (channel, CFO, timing known) {result['genie_db']:.2f} dB",
            None,
        )
    ]


def plot(axes, results):
    snr_db = [settings["snr_db"] for settings, _ in results]
    axes.plot(snr_db, [_loss_db(result) for _, result in results], **FAMILY[0], label="all frames")
    axes.plot(snr_db, [result["worst_loss_db"] for _, result in results], ls="--", **FAMILY[1], label="worst frame")
    axes.set(xlabel="SNR (dB)", ylabel="payload error above the genie's (dB)", ylim=(0, None))


MEASUREMENT = Measurement("Payload error over six Rayleigh taps", points, measure, judge, plot)
