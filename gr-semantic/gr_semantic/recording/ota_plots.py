# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a pre-flight and of a sweep, in the style of the other plots."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from gr_semantic.link.summary import wilson_interval
from gr_semantic.recording.plots import BLACK, BLUE, GREEN, GREY, VERMILION, _figure, _save


def plot_preflight(path: Path, results: Sequence, drawings: Sequence[dict]) -> None:
    """For each direction the received spectrum (and that of silence), and the channel over frequency."""
    figure = _figure(11.5, 3.4 * len(results))
    panels = figure.subplots(len(results), 2, squeeze=False)
    for (left, right), result, drawing in zip(panels, results, drawings, strict=True):
        left.set_title(f"{result.direction}: received spectrum", fontsize=11)
        right.set_title(f"{result.direction}: channel", fontsize=11)
        left.set_ylabel("dB relative to full scale, a bin")
        right.set_ylabel("|H| (dB, mean 0)")
        for axes in (left, right):
            axes.set_xlabel("frequency (kHz)")
        if drawing["spectrum_hz"] is None:
            left.text(0.5, 0.5, "nothing was heard", ha="center", transform=left.transAxes)
            continue
        left.plot(drawing["spectrum_hz"] / 1e3, drawing["quiet_db"], "-", color=GREY, lw=1, label="silence")
        left.plot(drawing["spectrum_hz"] / 1e3, drawing["spectrum_db"], "-", color=BLUE, lw=1.2, label="sounder")
        left.legend(loc="lower center", fontsize=9, ncols=2)
        if drawing["response"] is not None:
            power_db = 20 * np.log10(np.abs(drawing["response"]) + 1e-12)
            right.plot(drawing["frequency_hz"] / 1e3, power_db - np.mean(power_db), ".", color=VERMILION, ms=2)
    _save(figure, path)


def plot_sweep(path: Path, points: Sequence, clean_accuracy: float) -> None:
    """Accuracy and bit errors over the measured SNR, against the offline evaluation and theory."""
    figure = _figure(11.5, 4.4)
    accuracy_axes, ber_axes = figure.subplots(1, 2)
    known = sorted((point for point in points if point.accuracy is not None), key=lambda point: point.image_snr_db)
    if known:
        snr_db = [point.image_snr_db for point in known]
        shares = np.array([point.accuracy for point in known])
        bounds = np.array([wilson_interval(round(p.accuracy * p.images), p.images) for p in known]).T
        errors = np.clip([shares - bounds[0], bounds[1] - shares], 0, None)
        accuracy_axes.errorbar(snr_db, shares, errors, fmt="o", color=VERMILION, ms=4, capsize=3, label="over the air")
        offline = [point.offline_accuracy for point in known]
        accuracy_axes.plot(snr_db, offline, "s--", color=BLACK, ms=3, lw=1, label="offline, same measured SNR")
    accuracy_axes.axhline(clean_accuracy, color=GREEN, lw=1.3, ls=":", label="student without a channel")
    accuracy_axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    accuracy_axes.set_ylabel("accuracy")
    heard = sorted((point for point in points if point.snr_db is not None), key=lambda point: point.snr_db)
    if heard:
        ber_axes.semilogy([p.snr_db for p in heard], [p.ber or np.nan for p in heard], "o", color=BLUE, label="QPSK")
        floor = max(1e-7, min((p.ber for p in heard if p.ber), default=1e-5) / 10)
        theory = [max(point.qpsk_theory, floor) for point in heard]
        ber_axes.semilogy([p.snr_db for p in heard], theory, "--", color=BLACK, lw=1, label="white noise, theory")
    ber_axes.set_ylabel("bit error rate")
    for axes in (accuracy_axes, ber_axes):
        axes.set_xlabel("measured SNR (dB)")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9)
    _save(figure, path)
