# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of bars and measured numbers as Markdown and JSON, and the plots."""

import json
from dataclasses import asdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..modem import Waveform
from ..paths import ROOT
from ..recording.run_folder import git_commit, versions
from ..replacing import replacing
from .registry import Effort, Point, Verdict, measurements

_MARKS = {True: "yes", False: "**NO**", None: "-"}


def verdicts(results: dict[str, list[Point]]) -> list[Verdict]:
    """The table's lines, in its order."""
    return [line for name, points in results.items() for line in measurements([name])[name].judge(points)]


def write_report(wf: Waveform, folder: Path, effort: Effort, results: dict[str, list[Point]]) -> list[Verdict]:
    """Write NAME.md, NAME.json and NAME-MEASUREMENT.png (NAME: the waveform's) into `folder`; returns the lines."""
    lines = verdicts(results)
    pictures = []
    for name, points in results.items():
        measurement = measurements([name])[name]
        if measurement.plot and points:
            pictures.append((f"{wf.name}-{name}.png", measurement.title))
            with replacing(folder / pictures[-1][0]) as part:
                _draw(measurement, points, wf, part)
    content = {
        "waveform": wf.name,
        "waveform_digest": wf.digest,
        "effort": asdict(effort),
        "versions": versions(),
        "git_commit": git_commit(ROOT),
        "table": [asdict(line) for line in lines],
        "points": {
            name: [{"settings": settings, "result": result} for settings, result in points]
            for name, points in results.items()
        },
    }
    with replacing(folder / f"{wf.name}.json") as part:
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    with replacing(folder / f"{wf.name}.md") as part:
        part.write_text(_markdown(wf, effort, lines, pictures), encoding="utf-8")
    return lines


def _markdown(wf, effort, lines, pictures) -> str:
    command = f"gr-semantic characterize --waveform {wf.name} -o DIR" + (" --quick" if effort.quick else "")
    text = [f"# {wf.name}, characterised", "", f"`{command}`: {effort.frames} frames a point."]
    if effort.quick:
        text[-1] += " A quick run: fewer points and frames than the bars ask for."
    text += ["", "| what | bar | measured | bound or reference | reached |", "|---|---|---|---|---|"]
    text += [f"| {v.what} | {v.bar} | {v.measured} | {v.bound} | {_MARKS[v.passed]} |" for v in lines]
    text += [part for name, title in pictures for part in ("", f"## {title}", "", f"![{title}]({name})")]
    return "\n".join(text) + "\n"


def _draw(measurement, points, wf, path) -> None:
    figure = Figure(figsize=(7, 4.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    measurement.plot(axes, points)
    axes.set_title(f"{measurement.title}: {wf.name}")
    axes.grid(True, color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9)
    figure.savefig(path, format="png", dpi=110)
