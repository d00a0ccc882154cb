# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic sweep``: a grid of measurements on many processes or machines, into one Parquet file."""

import json
import os
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..errors import UserError

_FAILED_SHOWN = 10
_PLAIN_S = 10.0  # between lines where stderr is no terminal


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="[default: runs/FILE.parquet]")
@click.option("--workers", type=click.IntRange(1), help="Processes on this machine. [default: one a core]")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Use this Dask cluster instead.")
@click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="Further tries of a point.")
@click.option("--remeasure", is_flag=True, help="Measure again what was measured with other code.")
@click.option("--dry-run", is_flag=True, help="Only say what there is to do, and how long that should take.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
def sweep(file, output, workers, scheduler, retries, remeasure, dry_run, as_json):
    """Measure all points of FILE, a YAML file with grids of SNR, channel, budget, codec, seed and waveform.

    Points that the output holds already are not measured again: after an interruption, or with more values in FILE,
    the same command goes on. Points that failed are listed and tried again by the next call. A point without a
    waveform is what `evaluate` measures, one with a waveform what `modulate | channel | replay` do.

    \b
    Examples:
      gr-semantic sweep sweeps/fashion-mnist.yaml
      gr-semantic sweep sweeps/fashion-mnist.yaml --workers 8 -o fashion-mnist.parquet
      gr-semantic sweep big.yaml --scheduler tcp://head-node:8786
      gr-semantic sweep big.yaml --dry-run

    Exit codes: 0 all points are done, 1 some failed or the cluster was lost, 2 wrong input, 130 interrupted.
    """
    need_dask()
    from ..sweep.cluster import local_client, remote_client
    from ..sweep.result_file import ResultFile
    from ..sweep.run import plan, run
    from ..sweep.sweep_file import Sweep
    from .ending import caught_signals

    if workers and scheduler:
        raise UserError("--workers starts processes here, --scheduler uses a cluster: give one of them")
    settings = Sweep(file)
    points = settings.points()
    path = output or Path("runs") / f"{settings.name}.parquet"
    cores = workers or len(os.sched_getaffinity(0))
    with ResultFile(path) as results:
        todo = plan(points, results.rows, remeasure)
        if todo.other_code:
            click.echo(
                f"gr-semantic: warning: {todo.other_code} points were measured with other code "
                "(--remeasure does them again)",
                err=True,
            )
        if dry_run:
            results.discard_empty()
            _print_plan(todo, results.rows, None if scheduler else cores, as_json)
            return
        client = remote_client(scheduler) if scheduler else local_client(cores)
        with caught_signals() as caught, _Display(len(todo.todo)) as display:
            outcome = run(settings, todo, results, client, retries, display.tell, lambda: bool(caught))
    _report(path, todo, outcome, as_json)
    if outcome.error:
        click.echo(
            f"gr-semantic: error: {outcome.error}; what was measured is kept, the same command goes on", err=True
        )
        sys.exit(1)
    if caught and outcome.measured < len(todo.todo):
        click.echo(f"gr-semantic: interrupted after {outcome.measured} points; the same command goes on", err=True)
        sys.exit(128 + caught[0])
    sys.exit(1 if outcome.failed else 0)


def need_dask() -> None:
    """UserError with the way out where what a sweep needs is not installed."""
    for module in ("distributed", "pyarrow"):
        try:
            __import__(module)
        except ImportError as error:
            raise UserError(
                f"a sweep needs {module} ({error}): ./run setup installs it, or pip install -e '.[sweep]'"
            ) from None


class _Display:
    """Progress on stderr: a bar, or a line now and then."""

    def __init__(self, total: int):
        console = Console(stderr=True)
        self._total, self._began, self._told = total, time.monotonic(), 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting workers", total=total)

    def __enter__(self):
        self._bar.__enter__()
        return self

    def __exit__(self, *failure):
        self._bar.__exit__(*failure)

    def tell(self, done: int, failed: int, workers: int) -> None:
        state = f"{workers} workers" if workers else "no worker yet"
        state += f", {failed} failed" if failed else ""
        self._bar.update(self._task, description=state, completed=done)
        elapsed_s = time.monotonic() - self._began
        if self._bar.disable and (done == self._total or elapsed_s - self._told > _PLAIN_S):
            self._told = elapsed_s
            left = f", {elapsed_s * (self._total - done) / done:.0f} s left" if done else ""
            click.echo(f"{done} of {self._total} points, {state}, {elapsed_s:.0f} s{left}", err=True)


def _print_plan(todo, rows, workers, as_json):
    from ..sweep.run import estimate_s

    spent_s, unknown = estimate_s(todo.todo, rows)
    plan = {"points": len(todo.points), "to_measure": len(todo.todo)}
    plan |= {"processor_s": spent_s, "without_estimate": unknown}
    if as_json:
        click.echo(json.dumps(plan))
        return
    click.echo(f"{len(todo.points)} points, {len(todo.points) - len(todo.todo)} are there, {len(todo.todo)} to measure")
    if len(todo.todo) > unknown:
        share = f", {spent_s / workers:.0f} s on {workers} workers" if workers else ""
        click.echo(f"{spent_s:.0f} s of processor time by the cost of like points{share}")
    if unknown:
        click.echo(f"{unknown} points are like none in the output: measure a few first for an estimate")


def _report(path, todo, outcome, as_json):
    kept = len(todo.points) - len(todo.todo)
    if as_json:
        summary = {
            "points": len(todo.points),
            "kept": kept,
            "measured": outcome.measured,
            "failed": [{"point": _name(row), "error": row["error"]} for row in outcome.failed],
            "elapsed_s": outcome.elapsed_s,
            "output": str(path.resolve()),
        }
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo(
            f"{len(todo.points)} points: {kept} were there, {outcome.measured - len(outcome.failed)} measured in "
            f"{outcome.elapsed_s:.1f} s, {len(outcome.failed)} failed; {path}"
        )
    for row in outcome.failed[:_FAILED_SHOWN]:
        click.echo(f"failed: {_name(row)}: {row['error']}", err=True)
    if len(outcome.failed) > _FAILED_SHOWN:
        click.echo(f"... and {len(outcome.failed) - _FAILED_SHOWN} more (status is 'failed' in {path})", err=True)


def _name(row):
    return (
        f"{row['codec']} {row['waveform'] or 'offline'} {row['channel']} {row['snr_db']:g} dB {row['budget']} symbols "
        f"seed {row['seed']}"
    )
