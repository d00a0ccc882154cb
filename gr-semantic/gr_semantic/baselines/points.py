# SPDX-License-Identifier: GPL-3.0-or-later
"""Measured points in a folder, one file each, so that an interrupted comparison goes on where it was."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..replacing import replacing

FORMAT = 1  # raised when what is measured changes


@dataclass(frozen=True)
class Point:
    """kind and settings: JSON-ready, they are all that the result depends on. measure: gives it, JSON-ready too."""

    kind: str
    settings: dict
    measure: Callable[[], object]


def measure_points(folder: Path, points: list[Point], tell: Callable[[str, int, int], None]) -> list:
    """The points' results, in order; measured are those that `folder` does not have.

    tell(kind, points done, points in all) is called before the first and after every one.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from None
    paths = [folder / f"{point.kind}-{_fingerprint(point)}.json" for point in points]
    results = [_load(path) for path in paths]
    done = len(results) - results.count(None)
    tell("", done, len(points))
    for index, (point, path) in enumerate(zip(points, paths, strict=True)):
        if results[index] is None:
            results[index] = point.measure()
            _save(path, point.settings, results[index])
            done += 1
            tell(point.kind, done, len(points))
    return results


def _fingerprint(point: Point) -> str:
    text = json.dumps([FORMAT, point.kind, point.settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _load(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))["result"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(path: Path, settings: dict, result) -> None:
    text = json.dumps({"settings": settings, "result": result}, allow_nan=False) + "\n"
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
