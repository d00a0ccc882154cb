# SPDX-License-Identifier: GPL-3.0-or-later
"""Bit error rate of QPSK in place of features, beside theory."""

import numpy as np
from scipy.special import erfc, erfcinv

from ..modem import receive
from ..recording.frame_truth import qpsk_errors, qpsk_symbols
from .registry import Measurement, Verdict
from .signals import add_noise, bursts, found, need_frames
from .style import GENIE, OURS

_BAR_DB = 0.5


def points(wf, effort):
    levels = (0, 4, 8) if effort.quick else range(9)
    return [{"snr_db": float(snr_db), "frames": effort.frames, "seed": 500 + snr_db} for snr_db in levels]


def measure(wf, settings):
    """10 payload symbols; bits of the frames that are found."""
    rng = np.random.default_rng(settings["seed"])
    wrong = bits = 0
    for burst in bursts(wf, rng, settings["frames"], draw=_random_qpsk):
        samples = add_noise(rng, burst.samples, settings["snr_db"])
        for place, frame in found(wf, burst, receive(wf, samples))[0].items():
            sent = np.stack([burst.symbols[place].real < 0, burst.symbols[place].imag < 0], axis=-1)
            wrong, bits = wrong + qpsk_errors(sent, frame.symbols), bits + sent.size
    need_frames(wf, bits, settings)
    return {"ber": wrong / bits, "wrong_bits": wrong, "bits": bits}


def _random_qpsk(rng, images, budget):
    return qpsk_symbols(rng.integers(0, 2, (images, budget, 2), dtype=np.uint8))


def theory(snr_db):
    """Bit error rate of QPSK at an SNR per symbol."""
    return 0.5 * erfc(np.sqrt(10 ** (np.asarray(snr_db) / 10) / 2))


def loss_db(snr_db: float, ber: float) -> float:
    """By how many dB theory would need less for this bit error rate; -inf without an error."""
    return float(snr_db - 10 * np.log10(2 * erfcinv(2 * ber) ** 2)) if ber > 0 else -np.inf


def judge(results):
    settings, result = max(results, key=lambda point: loss_db(point[0]["snr_db"], point[1]["ber"]))
    loss = loss_db(settings["snr_db"], result["ber"])
    return [
        Verdict(
            "QPSK bit errors, 0 to 8 dB: largest loss",
            "within 0.5 dB of theory",
            f"{loss:.2f} dB (at {settings['snr_db']:g} dB: {result['ber']:.3g})",
            f"theory {theory(settings['snr_db']):.3g}",
            loss <= _BAR_DB,
        )
    ]


def plot(axes, results):
    snr_db = np.array([settings["snr_db"] for settings, _ in results])
    fine = np.linspace(snr_db.min(), snr_db.max(), 100)
    axes.semilogy(fine, theory(fine), **{**GENIE, "marker": None}, label="theory")
    axes.semilogy(snr_db, [max(r["ber"], 1e-9) for _, r in results], **{**OURS, "ls": ""}, label="receiver")
    axes.set(xlabel="SNR (dB)", ylabel="bit error rate")


MEASUREMENT = Measurement("QPSK in place of features", points, measure, judge, plot)
