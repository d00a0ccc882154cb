# SPDX-License-Identifier: GPL-3.0-or-later
"""All points of all measurements, each kept in a file of its own: what has been measured is not measured again."""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

from ..errors import UserError
from ..modem import Waveform
from ..replacing import replacing
from .registry import Effort, Point, measurement_names, measurements

_PACKAGE = Path(__file__).resolve().parents[1]


def run(
    wf: Waveform,
    folder: Path,
    effort: Effort,
    names: tuple[str, ...] = (),
    jobs: int = 1,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, list[Point]]:
    """Measure what is not in `folder`/points yet; returns all points by measurement.

    names: only these measurements. jobs: processes. tell(measurement, points done, points in all) is called before the
    first point and after every one.

    Raises:
        UserError: an unknown measurement, or a folder that cannot be written.
    """
    unknown = set(names) - set(measurement_names())
    if unknown:
        raise UserError(f"unknown measurement '{min(unknown)}': known are {', '.join(measurement_names())}")
    store = Path(folder) / "points"
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{store}: cannot be made ({error.strerror})") from None
    chosen = measurements(names)
    plan = [(name, settings) for name, measurement in chosen.items() for settings in measurement.points(wf, effort)]
    paths = [store / f"{wf.name}-{name}-{_fingerprint(wf, name, settings)}.json" for name, settings in plan]
    todo = [(wf.model_dump(), name, settings, path) for (name, settings), path in zip(plan, paths, strict=True)]
    todo = [point for point in todo if _load(point[-1]) is None]
    done = len(plan) - len(todo)
    tell(todo[0][1] if todo else "", done, len(plan))
    for name in _in_processes(todo, jobs) if jobs > 1 else (_measure(*point) for point in todo):
        done += 1
        tell(name, done, len(plan))
    results: dict[str, list[Point]] = {name: [] for name in chosen}
    for (name, settings), path in zip(plan, paths, strict=True):
        results[name].append((settings, _load(path)))
    return results


def _measure(waveform: dict, name: str, settings: dict, path: Path) -> str:
    """Measure one point into its file; returns the measurement's name."""
    _save(path, settings, measurements([name])[name].measure(Waveform(**waveform), settings))
    return name


def _in_processes(todo: list[tuple], jobs: int) -> Iterator[str]:
    # Not forked: the parent has threads (the progress bar's, numpy's).
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(_measure, *point) for point in todo]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@cache
def code_digest(*modules: str) -> str:
    """sha256 (hex) over the sources that results depend on: modem, channel, what all measurements share, and these
    modules.
    """
    files = [*(_PACKAGE / "modem").glob("*.py"), *(_PACKAGE / "channel").glob("*.py")]
    files += [_PACKAGE / "characterize" / f"{module}.py" for module in ("signals", "genie", *modules)]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _fingerprint(wf: Waveform, name: str, settings: dict) -> str:
    text = json.dumps([wf.digest, name, settings, code_digest(name)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _load(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["result"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(path: Path, settings: dict, result: dict) -> None:
    text = json.dumps({"settings": settings, "result": result}, allow_nan=False) + "\n"
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
