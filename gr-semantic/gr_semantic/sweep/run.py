# SPDX-License-Identifier: GPL-3.0-or-later
"""A sweep from its file to its results: what is there already is kept, the rest is measured."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ..recording.run_folder import make_manifest
from .cluster import SchedulerLost, measure_all
from .point import Point, code_digest
from .result_file import ResultFile, row_of
from .sweep_file import Sweep

_WRITE_S = 60.0  # a reader of the Parquet file meanwhile sees points at most this old


@dataclass
class Plan:
    """points: all of the sweep. todo: those without a good row. other_code: rows that are kept although they were
    measured with other sources.
    """

    points: list[Point]
    todo: list[Point]
    other_code: int


@dataclass
class Outcome:
    """measured: points that were done in this run. failed: their rows. error: why it ended early, or None."""

    measured: int = 0
    failed: list[dict] = field(default_factory=list)
    error: str | None = None
    elapsed_s: float = 0.0


def plan(points: list[Point], rows: dict[str, dict], remeasure: bool = False) -> Plan:
    """What is to be done. remeasure: rows of other code do not count."""
    todo, other = [], 0
    for point in points:
        row = rows.get(point.key)
        good = row is not None and row["status"] == "done"
        if good and row["code"] != code_digest():
            other += 1
            good = not remeasure
        if not good:
            todo.append(point)
    return Plan(points, todo, 0 if remeasure else other)


def estimate_s(points: list[Point], rows: dict[str, dict]) -> tuple[float, int]:
    """Processor time (s) that these points will take by what like ones took, and the number of those without a like.

    Like are points of the same codec, image set and waveform.
    """

    def kind(codec, images, waveform):
        return codec, images, waveform

    costs: dict[tuple, list[float]] = {}
    for row in rows.values():
        if row["status"] == "done":
            costs.setdefault(kind(row["codec"], row["images_name"], row["waveform"]), []).append(row["processor_s"])
    means = {key: sum(values) / len(values) for key, values in costs.items()}
    known = [means.get(kind(point.codec, point.images, point.waveform)) for point in points]
    return sum(value for value in known if value is not None), known.count(None)


def run(
    sweep: Sweep,
    todo: Plan,
    results: ResultFile,
    client: AbstractContextManager,
    retries: int,
    tell: Callable[[int, int, int], None] = lambda done, failed, workers: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Measure what is to be done, and write the result file however it ends.

    client: opens the cluster. tell(points done in this run, of them failed, workers) is called after every point, and
    when the number of workers changes.
    """
    outcome, keys = Outcome(), {point.key for point in todo.points}
    began = written = time.monotonic()
    workers = 0

    def on_row(point, found):
        nonlocal written
        row = row_of(point, {"code": code_digest(), **found})
        results.add(row)
        outcome.measured += 1
        if row["status"] == "failed":
            outcome.failed.append(row)
        tell(outcome.measured, len(outcome.failed), workers)
        if time.monotonic() - written > _WRITE_S:
            results.write(_manifest(sweep, todo, results, "running"), keys)
            written = time.monotonic()

    def on_workers(count):
        nonlocal workers
        if count != workers:
            workers = count
            tell(outcome.measured, len(outcome.failed), workers)

    try:
        with client as opened:
            measure_all(opened, todo.todo, retries, on_row, should_stop, on_workers)
    except SchedulerLost as error:
        outcome.error = str(error)
    finally:
        outcome.elapsed_s = time.monotonic() - began
        left = len(todo.todo) - outcome.measured
        status = "interrupted" if left else "failed" if outcome.failed else "complete"
        results.finish(_manifest(sweep, todo, results, status), keys)
    return outcome


def _manifest(sweep: Sweep, todo: Plan, results: ResultFile, status: str) -> dict:
    identities = {
        "codecs": {point.codec: point.model_id for point in todo.points},
        "images": {point.images: point.images_sha256 for point in todo.points},
        "waveforms": {point.waveform: point.waveform_digest for point in todo.points if point.waveform},
        "code": code_digest(),
    }
    done = [results.rows.get(point.key, {}).get("status") for point in todo.points]
    manifest = make_manifest(status, {"name": sweep.name, **sweep.document}, identities)
    counts = {"points": len(done), "done": done.count("done"), "failed": done.count("failed")}
    return manifest | {"format": "gr-semantic sweep 1", **counts}
