# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of a run, drawn without a display.

Colours are Okabe and Ito's, which colour-blind people can tell apart; nothing is told by colour alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gr_semantic.link.frame_log import FrameRow
from gr_semantic.link.summary import score

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION = "#222222", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
GREY, LIGHT = "#8a8a8a", "#dddddd"
_DPI = 110


@dataclass(frozen=True)
class Shown:
    """A picture for the grid: image (H x W or H x W x 3, uint8), SNR, decoded and true class (None: unknown)."""

    image: np.ndarray
    snr_db: float
    predicted: str
    true: str | None


def plot_snr_and_budget(path: Path, rows: Sequence[FrameRow], budgets: Sequence[int]) -> None:
    """SNR true, measured, reported and used over link time; below it the budget. Lost frames are marked."""
    figure = _figure(11.5, 6.2)
    snr_axes, budget_axes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    time_s = np.array([row.time_s for row in rows])
    column = {name: np.array([getattr(row, name) for row in rows], float) for name in _SNR_COLUMNS}
    snr_axes.plot(time_s, column["snr_measured_db"], ".", color=SKY, ms=3, label="measured at B")
    snr_axes.plot(time_s, column["snr_reported_db"], "x", color=GREY, ms=2.5, mew=0.6, label="reported to A")
    snr_axes.plot(time_s, column["snr_true_db"], "-", color=BLACK, lw=2.2, label="true")
    snr_axes.plot(time_s, column["snr_used_db"], "-", color=VERMILION, lw=1.3, label="used by A's encoder")
    _mark(snr_axes, time_s[[not row.received for row in rows]], "|", BLACK, "frame lost", 0.015)
    if any(row.feedback_sent for row in rows):
        lost = [row.feedback_sent and not row.feedback_received for row in rows]
        _mark(snr_axes, time_s[np.array(lost, bool)], "2", BLUE, "feedback lost", 0.055)
    snr_axes.set_ylabel("SNR (dB)")
    snr_axes.legend(loc="upper right", ncols=3, fontsize=9, framealpha=0.95, markerscale=2.5)
    low, high = snr_axes.get_ylim()
    snr_axes.set_ylim(low - 0.05 * (high - low), high + 0.18 * (high - low))
    budget_axes.step(time_s, [row.budget for row in rows], where="post", color=BLUE, lw=1.5)
    budget_axes.set_yscale("log", base=2)
    budget_axes.set_yticks(list(budgets), labels=[str(budget) for budget in budgets])
    budget_axes.set_ylim(min(budgets) / 1.4, max(budgets) * 1.4)
    budget_axes.set_ylabel("budget\n(symbols/image)")
    budget_axes.set_xlabel("link time (s)")
    _save(figure, path)


def plot_accuracy(
    path: Path, rows: Sequence[FrameRow], summary: dict, reference_accuracy, clean_accuracy: float, window_s: float
) -> None:
    """Running accuracy over link time against the clean student and the offline evaluation; accuracy by SNR.

    Args:
        rows, summary: of the run (see gr_semantic.link.summary).
        reference_accuracy: (snr_db, budget) -> offline accuracy 0..1.
        clean_accuracy: of the student without a channel, 0..1.
        window_s: link time over which the running accuracy is taken.
    """
    figure = _figure(11.5, 4.4)
    time_axes, bin_axes = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    scores = np.array([score(row) for row in rows], float).reshape(-1, 2)
    expected = np.array([reference_accuracy(row.snr_true_db, row.budget) if row.received else 0.0 for row in rows])
    time_s = np.array([row.time_s for row in rows])
    if scores[:, 0].any():
        running = _running_share(time_s, scores[:, 1], scores[:, 0], window_s)
        offline = _running_share(time_s, expected * scores[:, 0], scores[:, 0], window_s)
        time_axes.plot(time_s, running, "-", color=VERMILION, lw=1.5, label=f"link, last {window_s:.1f} s")
        time_axes.plot(time_s, offline, "--", color=BLACK, lw=1.3, label="offline evaluation, same SNR and budget")
    time_axes.axhline(clean_accuracy, color=GREEN, lw=1.3, ls=":", label="student without a channel")
    time_axes.set_xlabel("link time (s)")
    time_axes.set_ylabel("accuracy")
    bins = summary["accuracy_by_snr"]
    if bins:
        centres = [entry["snr_db"] for entry in bins]
        shares = np.array([entry["accuracy"] for entry in bins])
        bounds = np.array([entry["ci95"] for entry in bins]).T
        errors = np.clip([shares - bounds[0], bounds[1] - shares], 0, None)
        bin_axes.errorbar(
            centres, shares, errors, fmt="o", color=VERMILION, ms=4, capsize=3, label="link, 95 % interval"
        )
        offline = [entry["reference_accuracy"] for entry in bins]
        bin_axes.plot(centres, offline, "s--", color=BLACK, ms=3, lw=1, label="offline evaluation")
    bin_axes.axhline(clean_accuracy, color=GREEN, lw=1.3, ls=":", label="student without a channel")
    bin_axes.set_xlabel("true SNR (dB), bins 2 dB wide")
    low, high = time_axes.get_ylim()
    time_axes.set_ylim(min(low - 0.35 * (high - low), clean_accuracy - 0.1), high)  # room for the legends below
    for axes in (time_axes, bin_axes):
        axes.yaxis.set_major_locator(MaxNLocator(steps=(1, 2, 5, 10)))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend(loc="lower right", fontsize=9, framealpha=0.95)
    _save(figure, path)


def plot_constellation(path: Path, samples: Sequence[tuple[float, np.ndarray]]) -> None:
    """Received feature symbols after the equaliser, one panel for each (SNR in dB, complex symbols)."""
    figure = _figure(11.5, 3.5)
    panels = figure.subplots(1, max(len(samples), 1), squeeze=False)[0]
    for axes, (snr_db, symbols) in zip(panels, samples, strict=False):
        axes.plot(symbols.real, symbols.imag, ".", color=BLUE, ms=2.2, alpha=0.45, mew=0)
        axes.set_title(f"{round(snr_db):+d} dB", fontsize=11)
        axes.set_xlabel("in-phase")
    if not samples:
        panels[0].text(0, 0, "no frame was received", ha="center")
    reach = max((np.quantile(np.abs(symbols), 0.995) for _, symbols in samples), default=1.0)
    for axes in panels:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    panels[0].set_ylabel("quadrature")
    _save(figure, path)


def plot_images(path: Path, shown: Sequence[Shown], columns: int = 10) -> None:
    """Images with their decoded classes; wrong ones have a thick hatched frame, a cross and the true class."""
    lines = max(1, -(-len(shown) // columns))
    figure = _figure(11.5, 1.62 * lines)
    for axes in figure.subplots(lines, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, picture in zip(figure.axes, shown, strict=False):
        axes.imshow(picture.image, cmap="gray" if picture.image.ndim == 2 else None, interpolation="nearest")
        wrong = picture.true is not None and picture.predicted != picture.true
        text = picture.predicted if not wrong else f"\N{MULTIPLICATION SIGN} {picture.predicted}\n(is {picture.true})"
        axes.set_title(text, fontsize=8, color=VERMILION if wrong else BLACK, pad=3, weight="bold" if wrong else None)
        axes.text(
            0.5, -0.04, f"{round(picture.snr_db):+d} dB", transform=axes.transAxes, ha="center", va="top", fontsize=7.5,
            color="#555555",
        )  # fmt: skip
        if wrong:
            axes.add_patch(
                Rectangle(
                    (0, 0), 1, 1, transform=axes.transAxes, fill=False, ec=VERMILION, lw=3, ls=(0, (3, 1)),
                    clip_on=False,
                )
            )  # fmt: skip
    if not shown:
        figure.axes[0].text(0, 0.5, "no frame was received")
    _save(figure, path)


def pick_images(rows: Sequence[FrameRow], image_set, count: int = 30) -> list[Shown]:
    """``count`` decoded images, the first of frames at evenly spaced places of the run (image_set: see load_images)."""
    received = [row for row in rows if row.received and row.predicted]
    if not received:
        return []
    places = np.unique(np.linspace(0, len(received) - 1, count).round().astype(int))
    return [_shown(received[place], image_set) for place in places]


_SNR_COLUMNS = ("snr_true_db", "snr_measured_db", "snr_reported_db", "snr_used_db")


def _shown(row, image_set):
    pixels = image_set.images[row.images[0]]
    image = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels[:3], 0, -1)
    true = image_set.classes[row.true[0]] if row.true else None
    return Shown(image, row.snr_true_db, image_set.classes[row.predicted[0]], true)


def _running_share(time_s, parts, totals, window_s):
    """sum(parts) / sum(totals) over the last window_s at each time; NaN where there is (at the start) too little."""
    first = np.searchsorted(time_s, time_s - window_s, side="right")
    sums = [np.concatenate([[0.0], np.cumsum(values)]) for values in (parts, totals)]
    last = np.arange(1, len(time_s) + 1)
    above, below = (total[last] - total[first] for total in sums)
    enough = (below > 0) & (time_s >= min(window_s, time_s[-1]) / 2)
    return np.divide(above, below, out=np.full(len(time_s), np.nan), where=enough)


def _mark(axes, times, marker, color, label, height):
    if len(times):
        axes.plot(
            times, np.full(len(times), height), marker, color=color, ms=5, mew=0.8, label=label,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _figure(width, height):
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path):
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color=LIGHT, lw=0.6)
        axes.set_axisbelow(True)
    figure.savefig(path, format="png", dpi=_DPI)
