# SPDX-License-Identifier: GPL-3.0-or-later
"""Power peaks of the waveform, four times oversampled: what a radio's converter and amplifier see."""

from itertools import cycle

import numpy as np
from scipy.signal import resample_poly

from ..modem import modulate, receive
from .registry import Measurement, Verdict
from .signals import gaussian, payload_header
from .style import FAMILY

_OVERSAMPLING = 4
_SHARE = 1e-3
_PARTS = ("preamble", "header", "payload")
_LEVELS_DB = np.arange(0.0, 14.01, 0.25)


def points(wf, effort):
    return [{"frames": effort.frames, "seed": 950, "limit_db": limit_db} for limit_db in (None, 7.0, 6.0, 5.0)]


def measure(wf, settings):
    """Power over the mean power of the same part; Gaussian payload symbols, 10 OFDM symbols, sequence counting up.

    With a limiter also the error that it leaves in the symbols without any noise.
    """
    rng, parts = np.random.default_rng(settings["seed"]), {name: [] for name in _PARTS}
    limit_db, errors = settings["limit_db"], []
    first = wf.symbol_len * wf.preamble_symbols
    second = first + wf.symbol_len * wf.header_symbols
    for number in range(settings["frames"]):
        header = payload_header(wf, 10, number % 65536)
        symbols = gaussian(rng, header.image_count, header.budget)
        samples = modulate(wf, header, symbols, limit_db)
        if limit_db is not None:
            (frame,) = receive(wf, np.pad(samples, wf.symbol_len))
            errors.append(np.mean(np.abs(frame.symbols - symbols) ** 2))
        power = np.abs(resample_poly(samples, _OVERSAMPLING, 1)) ** 2
        cuts = np.split(power, [_OVERSAMPLING * first, _OVERSAMPLING * second])
        for part, cut in zip(parts.values(), cuts, strict=True):
            part.append(cut.astype(np.float32))
    result = {"error_db": float(10 * np.log10(np.mean(errors))) if errors else None}
    payload_mean = float(np.mean(np.concatenate(parts["payload"])))
    for name, cuts in parts.items():
        power = np.concatenate(cuts)
        mean = float(power.mean(dtype=np.float64))
        result[name] = {
            "ccdf_db": float(10 * np.log10(np.quantile(power, 1 - _SHARE) / mean)),
            "peak_db": float(10 * np.log10(power.max() / mean)),
            "mean_over_payload_db": round(float(10 * np.log10(mean / payload_mean)), 2) + 0.0,
            "ccdf": [float(np.mean(power > mean * 10 ** (level / 10))) for level in _LEVELS_DB],
        }
    return result


def judge(results):
    verdicts = []
    for settings, result in results:
        limited = settings["limit_db"] is not None
        for name in ("payload",) if limited else _PARTS:
            part = result[name]
            what = f", limited to {settings['limit_db']:.0f} dB" if limited else ""
            cost = f"; error {result['error_db']:.1f} dB" if limited else ""
            verdicts.append(
                Verdict(
                    f"PAPR of the {name}{what} (power exceeded by 1 sample in 1000)",
                    "measured",
                    f"{part['ccdf_db']:.1f} dB above its mean, peak {part['peak_db']:.1f} dB; "
                    f"its mean is {part['mean_over_payload_db']:+.2f} dB on the payload's{cost}",
                    "Gaussian signal 8.4 dB",
                    None,
                )
            )
    return verdicts


def plot(axes, results):
    curves = {name: results[0][1][name] for name in _PARTS}
    curves |= {f"payload, limited to {s['limit_db']:.0f} dB": result["payload"] for s, result in results[1:]}
    for style, (name, part) in zip(cycle(FAMILY), curves.items(), strict=False):
        axes.semilogy(_LEVELS_DB, np.maximum(part["ccdf"], 1e-9), **{**style, "marker": None}, label=name)
    axes.semilogy(_LEVELS_DB, np.exp(-(10 ** (_LEVELS_DB / 10))), "k--", lw=1, label="Gaussian")
    axes.set(xlabel="power over mean (dB)", ylabel="share of samples above", ylim=(1e-5, 1))


MEASUREMENT = Measurement("Peak power, four times oversampled", points, measure, judge, plot)
