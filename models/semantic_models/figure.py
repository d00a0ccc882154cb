# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy against SNR for every budget, beside the limit of any code."""

from __future__ import annotations

import io

import numpy as np

from .limit import accuracy_limit


def accuracy_figure(result: dict, classes: int) -> bytes:
    """PNG of an evaluation (evaluate_codec or stored_result): points with intervals, limits as dashed lines."""
    from matplotlib.figure import Figure  # an evaluation without a figure does not need it

    channels = list(dict.fromkeys(point["channel"] for point in result["points"]))
    budgets = sorted({point["budget"] for point in result["points"]})
    figure = Figure(figsize=(6.4 * len(channels), 4.2), layout="constrained")
    for axes, channel in zip(figure.subplots(1, len(channels), squeeze=False)[0], channels, strict=True):
        for index, budget in enumerate(budgets):
            points = [p for p in result["points"] if (p["channel"], p["budget"]) == (channel, budget)]
            points.sort(key=lambda point: point["snr_db"])
            snr_db = np.array([point["snr_db"] for point in points])
            accuracy = np.array([point["accuracy"] for point in points])
            low, high = np.array([point["ci95"] for point in points]).T
            bars = np.clip([accuracy - low, high - accuracy], 0, None)
            axes.errorbar(
                snr_db, 100 * accuracy, 100 * bars, fmt="o-", ms=3, color=f"C{index}", label=f"{budget} symbols"
            )
            fine_db = np.linspace(snr_db[0], snr_db[-1], 4 * len(snr_db))
            limit = [accuracy_limit(result["clean_accuracy"], classes, level, budget, channel) for level in fine_db]
            axes.plot(fine_db, 100 * np.array(limit), "--", lw=1, color=f"C{index}")
        axes.plot([], [], "k--", lw=1, label="limit (simplex signals)")
        axes.set(xlabel="SNR, dB", ylabel="accuracy, %", title=f"{result['codec']}, {channel}")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    return to_png(figure)


def to_png(figure) -> bytes:
    """A matplotlib figure as PNG: the same figure gives the same bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()
