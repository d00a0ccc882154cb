# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames without a sample between them."""

import numpy as np

from ..modem import receive
from .registry import Measurement, Verdict
from .signals import add_noise, bursts, found


def points(wf, effort):
    return [{"snr_db": 15.0, "frames": effort.frames, "seed": 900}]


def measure(wf, settings):
    """Each frame with a carrier offset of its own, as if from different radios."""
    rng, right, false = np.random.default_rng(settings["seed"]), 0, 0
    for burst in bursts(wf, rng, settings["frames"], gap=(0, 0)):
        matched, wrong = found(wf, burst, receive(wf, add_noise(rng, burst.samples, settings["snr_db"])))
        right, false = right + len(matched), false + wrong
    return {"found": right, "false": false}


def judge(results):
    ((settings, result),) = results
    share = f"{result['found']} of {settings['frames']}, {result['false']} false"
    passed = result["found"] == settings["frames"] and not result["false"]
    return [Verdict("back-to-back frames at 15 dB", "100 %", share, "all", passed)]


MEASUREMENT = Measurement("Back-to-back frames", points, measure, judge)
