# SPDX-License-Identifier: GPL-3.0-or-later
"""What an edge's effort and its symbols buy: codecs and budgets beside each other, and which of them nothing beats."""

from __future__ import annotations

from collections.abc import Sequence

from .codec import SemanticCodec
from .evaluate import count_macs, count_parameters
from .figure import to_png


def pareto_rows(codecs: Sequence[SemanticCodec], snr_db: float) -> list[dict]:
    """One row for each codec and budget.

    {codec, budget, snr_db, edge_macs, receiver_macs, parameters, accuracy, front}. accuracy: AWGN, from the codec's own
    table, linear between its SNRs. front: no other row has no more edge MACs, no more symbols and no less accuracy, and
    is better in one of these.
    """
    rows = []
    for codec in codecs:
        macs, count = count_macs(codec.model, codec.image_shape), count_parameters(codec.model)
        rows += [
            {
                "codec": codec.name,
                "budget": budget,
                "snr_db": float(snr_db),
                "edge_macs": macs["edge"],
                "receiver_macs": macs["receiver"],
                "parameters": count["total"],
                "accuracy": codec.reference_accuracy(snr_db, budget),
            }
            for budget in codec.budgets
        ]
    return [row | {"front": not any(_beats(other, row) for other in rows)} for row in rows]


def _beats(other: dict, row: dict) -> bool:
    costs = [(other[key], row[key]) for key in ("edge_macs", "budget")] + [(-other["accuracy"], -row["accuracy"])]
    return all(a <= b for a, b in costs) and any(a < b for a, b in costs)


def pareto_table(rows: list[dict]) -> str:
    """The rows as Markdown; bold is the front."""
    lines = ["| codec | edge MACs | receiver MACs | parameters | symbols | SNR, dB | accuracy, % |", "|" + " --- |" * 7]
    for row in sorted(rows, key=lambda row: (row["snr_db"], row["edge_macs"], row["receiver_macs"], row["budget"])):
        accuracy = f"{100 * row['accuracy']:.2f}"
        costs = (f"{row[key]:,}" for key in ("edge_macs", "receiver_macs", "parameters", "budget"))
        cells = (row["codec"], *costs, f"{row['snr_db']:g}", f"**{accuracy}**" if row["front"] else accuracy)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def pareto_figure(rows: list[dict]) -> bytes:
    """PNG: accuracy against edge MACs, one line for each budget, one panel for each SNR; filled points: the front."""
    from matplotlib.figure import Figure

    levels = sorted({row["snr_db"] for row in rows})
    figure = Figure(figsize=(6.0 * len(levels), 4.4), layout="constrained")
    for axes, level in zip(figure.subplots(1, len(levels), squeeze=False)[0], levels, strict=True):
        for index, budget in enumerate(sorted({row["budget"] for row in rows})):
            chosen = [row for row in rows if (row["snr_db"], row["budget"]) == (level, budget)]
            chosen.sort(key=lambda row: (row["edge_macs"], row["receiver_macs"]))
            x, y = [row["edge_macs"] / 1e6 for row in chosen], [100 * row["accuracy"] for row in chosen]
            axes.plot(x, y, "-", lw=1, color=f"C{index}", label=f"{budget} symbols")
            for row, effort, accuracy in zip(chosen, x, y, strict=True):
                fill = f"C{index}" if row["front"] else "none"
                axes.plot(effort, accuracy, "o", ms=5, mfc=fill, mec=f"C{index}")
        axes.plot([], [], "ko", ms=5, label="nothing is better in effort, symbols and accuracy")
        axes.set(xlabel="edge, million MACs an image", ylabel="accuracy, %", title=f"AWGN, {level:g} dB", xscale="log")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
    return to_png(figure)
