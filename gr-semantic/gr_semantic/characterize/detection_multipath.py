# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames detected with a right header over TDL-A, RMS delay spread 300 ns, block fading: a new draw for each frame.

What 300 ns mean depends on the bandwidth. The channel is run at the sample rates below; the waveform's occupied
bandwidth and the delay spread in samples scale with them. At 20 Msps many echoes are later than ofdm64's prefix.
"""

import numpy as np

from ..channel import ChannelConfig
from ..channel.delay_profiles import delay_profile
from ..modem import frame_len, receive
from . import genie
from .registry import Measurement, Verdict
from .signals import bursts, found, payload_header
from .style import FAMILY

_PROFILE = "tdl-a:300ns"
_RATES_MSPS = (1, 5, 20)
_GAP = 600  # longer than the longest echo
_BAR = 0.02


def points(wf, effort):
    levels = (10,) if effort.quick else (0, 5, 10, 15, 20)
    return [
        {"snr_db": float(snr_db), "rate_msps": rate, "frames": effort.frames, "seed": 200 + 10 * rate + snr_db}
        for rate in _RATES_MSPS
        for snr_db in levels
    ]


def measure(wf, settings):
    rng, rate_hz = np.random.default_rng(settings["seed"]), settings["rate_msps"] * 1e6
    block = _GAP + frame_len(wf, payload_header(wf, 10))
    profile = delay_profile(_PROFILE)
    strongest = profile.delays_s[profile.powers_lin.argmax()] * rate_hz
    right = told = both = false = 0
    for number, burst in enumerate(bursts(wf, rng, settings["frames"], gap=(_GAP, _GAP))):
        config = ChannelConfig(
            snr_db=settings["snr_db"], multipath=_PROFILE, fading="block", fading_block_s=block / rate_hz
        )
        channel = config.build(rate_hz, np.random.SeedSequence([settings["seed"], number]))
        samples = channel.process(burst.samples)
        delay = channel.latency_samples
        matched, wrong = found(wf, burst, receive(wf, samples, rate_hz), delay)
        first, main = np.array(burst.starts) + delay, np.round(np.array(burst.starts) + delay + strongest)
        knows = genie.right_headers(wf, samples, burst.headers, first, burst.cfo)
        knows |= genie.right_headers(wf, samples, burst.headers, main, burst.cfo)
        right, told, false = right + len(matched), told + int(knows.sum()), false + wrong
        both += sum(bool(knows[place]) for place in matched)
    frames = settings["frames"]
    return {"detected": right / frames, "genie": told / frames, "both": both / frames, "false": false}


def judge(results):
    return [
        Verdict(
            f"right header over TDL-A 300 ns at {settings['rate_msps']} Msps "
            f"(spread {0.3 * settings['rate_msps']:g} samples), block fading, 10 dB average",
            "within 2 points of the genie",
            f"{100 * result['detected']:.1f} %",
            f"genie (timing and CFO known) {100 * result['genie']:.1f} %",
            result["genie"] - result["detected"] <= _BAR,
        )
        for settings, result in results
        if settings["snr_db"] == 10
    ]


def plot(axes, results):
    for style, rate in zip(FAMILY, _RATES_MSPS, strict=False):
        mine = [(settings, result) for settings, result in results if settings["rate_msps"] == rate]
        snr_db = [settings["snr_db"] for settings, _ in mine]
        axes.plot(snr_db, [100 * r["genie"] for _, r in mine], ls="--", lw=1, color=style["color"])
        axes.plot(snr_db, [100 * r["detected"] for _, r in mine], **style, label=f"{rate} Msps (genie dashed)")
    axes.set(xlabel="average SNR (dB)", ylabel="frames with a right header (%)", ylim=(None, 101))


MEASUREMENT = Measurement("Detection over TDL-A 300 ns, block fading", points, measure, judge, plot)
