# SPDX-License-Identifier: GPL-3.0-or-later
"""Likeness, retrieval and probe of rebuilt embeddings against SNR."""

from __future__ import annotations

from .figure import to_png

_STYLES = ("o-", "s--", "^:")


def embedding_figure(result: dict) -> bytes:
    """PNG of what evaluate_embedding returned, with evaluate_probe's as `probe`, or of either alone: a row of panels
    for each channel. Dashed: what the decided label alone is worth."""
    from matplotlib.figure import Figure  # an evaluation without a figure does not need it

    sent, probed = result.get("points", []), result.get("probe", {}).get("points", [])
    channels = list(dict.fromkeys(point["channel"] for point in sent or probed))
    names = ["cosine", "recall_at_10", "label_precision_at_10"] if sent else []
    codec = (result if sent else result["probe"])["codec"]
    columns = len(names) + bool(probed)
    figure = Figure(figsize=(4.6 * columns, 3.8 * len(channels)), layout="constrained")
    rows = figure.subplots(len(channels), columns, squeeze=False)
    for axes_row, channel in zip(rows, channels, strict=True):
        points = [point for point in sent if point["channel"] == channel]
        for axes, name in zip(axes_row, names, strict=False):
            _curves(axes, points, lambda point, name=name: point[name], "o-")
            _curves(axes, points, lambda point, name=name: point["from_label"][name], "--", labelled=False)
            if name != "cosine":
                axes.axhline(result["perfect"][name], color="k", lw=0.8, ls=":", label="teacher's own embedding")
            axes.plot([], [], "k--", lw=1, label="label alone")
            axes.set(ylabel=name.replace("_at_", "@").replace("_", " "))
        if probed:
            found = [point for point in probed if point["channel"] == channel]
            for style, probe in zip(_STYLES, dict.fromkeys(point["probe"] for point in found), strict=False):
                _curves(axes_row[-1], [p for p in found if p["probe"] == probe], lambda p: p["accuracy"], style, False)
                axes_row[-1].plot([], [], "k" + style, ms=3, lw=1, label=f"probe of {probe}")
            axes_row[-1].set(ylabel=f"accuracy of a linear probe, {len(result['probe']['classes'])} classes")
        for axes in axes_row:
            axes.set(xlabel="SNR, dB", title=f"{codec}, {channel}")
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7)
    return to_png(figure)


def _curves(axes, points: list[dict], value, style: str, labelled: bool = True) -> None:
    for index, budget in enumerate(sorted({point["budget"] for point in points})):
        chosen = sorted((p for p in points if p["budget"] == budget), key=lambda point: point["snr_db"])
        label = f"{budget} symbols" if labelled else None
        x, y = [point["snr_db"] for point in chosen], [value(point) for point in chosen]
        axes.plot(x, y, style, ms=3, lw=1, color=f"C{index}", label=label)
