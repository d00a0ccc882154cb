# SPDX-License-Identifier: GPL-3.0-or-later
"""A comparison as Markdown tables, JSON and the figure."""

import json
from pathlib import Path

from ..errors import UserError
from ..paths import ROOT
from ..recording.run_folder import git_commit, versions
from ..replacing import replacing
from .bars import sentence, verdicts
from .figure import STYLES, at_most, draw

_USES = (4, 8, 16, 32, 64, 128, 256, 512)


def write_report(summary: dict, folder: Path) -> dict:
    """Write CODEC.json, CODEC.md and CODEC.png into `folder`; returns the summary with verdicts and versions.

    Raises:
        UserError: the folder cannot be written.
    """
    lines = verdicts(summary)
    content = summary | {"verdicts": lines, "versions": versions(), "git_commit": git_commit(ROOT)}
    name = summary["codec"]
    try:
        with replacing(folder / f"{name}.png") as part:
            draw(summary, lines, part)
        with replacing(folder / f"{name}.json") as part:
            part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        with replacing(folder / f"{name}.md") as part:
            part.write_text(markdown(summary, lines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    return content


def markdown(summary: dict, lines: list[dict]) -> str:
    """Tables of everything in the figure."""
    count = summary["image_count"]
    parts = [
        f"# {summary['codec']} beside the alternatives",
        f"{count:,} images ({summary['images']}), waveform {summary['waveform']}, {summary['words']} words of each "
        f"mode at each point. Without a channel: teacher {100 * summary['teacher_accuracy']:.2f} %, our codec "
        f"{100 * summary['clean_accuracy']:.2f} %. A lost image counts as a guess ({100 * summary['guess']:g} %).",
        f"![Accuracy and channel uses]({summary['codec']}.png)",
        "## Verdict",
        "\n".join(f"- {sentence(line)}" for line in lines) or "The bar's SNR was not measured.",
    ]
    for channel, curves in summary["channels"].items():
        parts += [f"## {channel}", f"Channel uses for {100 * summary['target']:g} %:", _needed_table(summary, curves)]
        for uses in _USES:
            parts += [f"Accuracy in per cent with at most {uses} channel uses an image:"]
            parts += [_accuracy_table(summary, curves, uses)]
    parts += ["## Pictures that arrive", _picture_table(summary), "## Features that arrive", _feature_table(summary)]
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _levels(summary: dict) -> list[str]:
    return [f"{snr_db:g} dB" for snr_db in summary["snr_db"]]


def _needed_table(summary: dict, curves: dict) -> str:
    rows = [
        [label, *("-" if value is None else str(value) for value in curves["needed"][name])]
        for name, (label, _) in STYLES.items()
        if name in curves["needed"]
    ]
    rows.append(["frames found, %", *(f"{100 * share:.1f}" for share in curves["found"])])
    return _table(["", *_levels(summary)], rows)


def _accuracy_table(summary: dict, curves: dict, uses: int) -> str:
    rows = []
    for name, (label, _) in STYLES.items():
        row = at_most(curves.get(name, {}), uses)
        if row is not None:
            rows.append([label, *(f"{100 * value:.1f}" for value in row)])
    return _table(["", *_levels(summary)], rows)


def _picture_table(summary: dict) -> str:
    names = ("pixels", "pixels, smaller too")
    rows = [[str(row["bytes"]), *(f"{100 * row[name]:.1f}" for name in names)] for row in summary["pictures"]]
    return _table(["bytes of the message", *(STYLES[name][0] for name in names)], rows)


def _feature_table(summary: dict) -> str:
    rows = [
        [
            str(row["bits"]),
            f"{row['budget']} symbols, {row['bits_a_number']} bits a number",
            f"{100 * row['accuracy']:.1f}",
        ]
        for row in sorted(summary["features"], key=lambda row: row["bits"])
    ]
    return _table(["bits", "features", "accuracy, %"], rows)
