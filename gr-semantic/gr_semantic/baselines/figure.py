# SPDX-License-Identifier: GPL-3.0-or-later
"""The one figure: accuracy against SNR at equal channel uses, and channel uses needed against SNR."""

import textwrap

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..recording.plots import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION
from .bars import sentence

_USES = (8, 32, 256)  # of the upper rows
_GREY = "#999999"
STYLES = {
    "ours": ("our codec", {"color": BLUE, "marker": "o", "lw": 2}),
    "label": ("label bits", {"color": GREEN, "marker": "^"}),
    "features": ("digital features", {"color": ORANGE, "marker": "s"}),
    "deepjscc": ("DeepJSCC, then teacher", {"color": SKY, "marker": "D"}),
    "pixels": ("digital pixels", {"color": VERMILION, "marker": "v"}),
    "pixels, smaller too": ("digital pixels, scaled down where better", {"color": _GREY, "marker": "x"}),
    "limit": ("simplex limit", {"color": BLACK, "ls": "--", "lw": 1}),
}


def draw(summary: dict, lines: list[dict], path) -> None:
    """Write the figure as PNG. lines: bars.verdicts."""
    channels = list(summary["channels"])
    figure = Figure(figsize=(5 * len(channels), 3 * (len(_USES) + 1) + 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(_USES) + 1, len(channels), squeeze=False, sharex=True)
    for column, channel in enumerate(channels):
        curves = summary["channels"][channel]
        for row, uses in enumerate(_USES):
            _accuracy(axes[row][column], summary, curves, uses)
            axes[row][column].set_title(f"{channel}: at most {uses} channel uses an image", fontsize=10)
        _needed(axes[-1][column], summary, curves)
        axes[-1][column].set_title(f"{channel}: channel uses for {100 * summary['target']:g} %", fontsize=10)
        axes[-1][column].set_xlabel("SNR (dB)")
    for row in axes[:-1]:
        row[0].set_ylabel("accuracy (%)")
    axes[-1][0].set_ylabel("channel uses")
    handles = {
        label: handle for line in axes.flat for handle, label in zip(*line.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize=9)
    verdict = "\n".join(part for line in lines for part in textwrap.wrap(sentence(line), 68 * len(channels)))
    figure.supxlabel(verdict or "no verdict: the bar's SNR was not measured", fontsize=8, ha="left", x=0.01)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _accuracy(axes, summary: dict, curves: dict, uses: int) -> None:
    for name, (label, style) in STYLES.items():
        row = at_most(curves.get(name, {}), uses)
        if row is not None:
            axes.plot(summary["snr_db"], [100 * value for value in row], label=label, ms=4, **style)
    axes.axhline(100 * summary["teacher_accuracy"], color=BLACK, lw=0.8, ls=":", label="teacher without a channel")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)


def _needed(axes, summary: dict, curves: dict) -> None:
    for name, (label, style) in STYLES.items():
        if name in curves["needed"]:
            values = [value if value is not None else float("nan") for value in curves["needed"][name]]
            axes.semilogy(summary["snr_db"], values, label=label, ms=4, **style)
    axes.grid(alpha=0.3, which="both")


def at_most(curve: dict[str, list[float]], uses: int) -> list[float] | None:
    """The row of the largest number of channel uses within `uses`; None if there is none."""
    fits = [int(key) for key in curve if int(key) <= uses]
    return curve[str(max(fits))] if fits else None
