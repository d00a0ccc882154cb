# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic characterize``: the waveform measured like an instrument."""

from pathlib import Path

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_MARKS = {True: "yes", False: "NO", None: "-"}


@click.command()
@click.option("--waveform", default="ofdm64", show_default=True, help="Waveform: name or YAML file.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of table, plots, points.")
@click.option("--frames", type=click.IntRange(2), help="Frames a point. [default: 1000; --quick: 40]")
@click.option("--noise-samples", type=click.IntRange(1), help="Samples of noise. [default: 1e9; --quick: 2e6]")
@click.option("--quick", is_flag=True, help="Few points and frames: a look, no proof.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this measurement; more than once for several.")
def characterize(waveform, output, frames, noise_samples, quick, jobs, only):
    """Measure a waveform's curves and hold them against bounds and bars.

    Detection, false frames, payload error, bit errors, offsets, fading, SNR estimate, peak power. Seeds are fixed.
    Every point is kept in the folder: after an interruption the same command goes on where it was.

    \b
    Examples:
      gr-semantic characterize --waveform ofdm64 -o characterization
      gr-semantic characterize --quick --only detection_awgn --only payload_mse -o look
    """
    from ..characterize.registry import Effort
    from ..characterize.report import write_report
    from ..characterize.runner import run
    from ..modem import Waveform

    wf = Waveform.load(waveform)
    effort = Effort(frames or (40 if quick else 1000), noise_samples or (2_000_000 if quick else 10**9), quick)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    stderr = Console(stderr=True)
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal) as progress:
        task = progress.add_task(wf.name)

        def tell(name, done, total):
            progress.update(task, description=f"{wf.name} {name}", completed=done, total=total)

        results = run(wf, output, effort, only, jobs, tell)
    lines = write_report(wf, output, effort, results)
    table = Table(box=SIMPLE, title=f"{wf.name}, {effort.frames} frames a point")
    for heading in ("what", "bar", "measured", "bound or reference", "reached"):
        table.add_column(heading)
    for line in lines:
        table.add_row(line.what, line.bar, line.measured, line.bound, _MARKS[line.passed])
    console = Console()
    console.print(table)
    console.print(f"{output / wf.name}.md", soft_wrap=True, highlight=False)
