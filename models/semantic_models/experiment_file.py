# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiment files: YAML that may inherit from another experiment and say only what differs."""

from __future__ import annotations

from pathlib import Path

import yaml

from .errors import CodecError

SECTIONS = ("name", "data", "student")
OPTIONAL_SECTIONS = ("teacher", "store", "title", "label_of", "start", "start_codec")
OWN = ("name", "title", "label_of", "start", "start_codec")
ONLINE = "online"  # instead of a store: the teacher is asked about every batch


def load_experiment(path: Path) -> dict:
    """Read an experiment file. CodecError names the file and the field that is wrong.

    `base: NAME` inherits from NAME.yaml in the file's folder or the one above: mappings are merged key by key, other
    values replace the base's, and `null` takes a key away. What stands in OWN is not inherited.
    title: a line for tables. label_of: see ablations.py. start: see load_start. start_codec: see
    distill.codec_start.
    """
    experiment = _inherit(Path(path), ())
    missing = [section for section in SECTIONS if section not in experiment]
    if missing:
        raise CodecError(f"experiment {path}: section {missing[0]} is missing")
    unknown = [str(section) for section in experiment if section not in SECTIONS + OPTIONAL_SECTIONS]
    if unknown:
        known = ", ".join(SECTIONS + OPTIONAL_SECTIONS)
        raise CodecError(f"experiment {path}: unknown section {unknown[0]}; known are {known}")
    if not isinstance(experiment["name"], str):
        raise CodecError(f"experiment {path}: name is {experiment['name']!r}, expected a text")
    if "teacher" in experiment and len({"name", "training"} & set(experiment["teacher"] or {})) != 1:
        raise CodecError(f"experiment {path}: section teacher needs name (see teachers.py) or training, one of them")
    if ("teacher" in experiment) != ("store" in experiment):
        raise CodecError(
            f"experiment {path}: sections teacher and store go together (neither: labels only; "
            f"store: {ONLINE}: the teacher runs in the loop)"
        )
    if {"start", "start_codec"} <= set(experiment):
        raise CodecError(f"experiment {path}: both start and start_codec; give one of them")
    return experiment


def load_start(path: Path, experiment: dict) -> dict | None:
    """The experiment whose trained student this one starts from (`start: NAME`, found as a base is), or None.

    Raises CodecError if it is not there, has a start itself, or its data, budgets or model are others.
    """
    if "start" not in experiment:
        return None
    start = load_experiment(_neighbour(Path(path), experiment["start"], "start"))
    if "start" in start:
        raise CodecError(f"experiment {path}: start {start['name']} has a start itself; give it a teacher or labels")
    for section, key in (("data", None), ("student", "budgets"), ("student", "model")):
        mine, its = (each[section] if key is None else each[section].get(key) for each in (experiment, start))
        if mine != its:
            raise CodecError(
                f"experiment {path}: start {start['name']} has another {section}{f'.{key}' if key else ''}"
            )
    return start


def merged(base: dict, changes: dict) -> dict:
    """`base` with `changes`: mappings merged key by key, None takes a key away, anything else replaces."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _inherit(path: Path, seen: tuple[Path, ...]) -> dict:
    """An experiment with everything that it inherits, its own name, and without the key `base`."""
    experiment = _read(path)
    base = experiment.pop("base", None)
    if base is None:
        return experiment
    found = _neighbour(path, base, "base")
    if found.resolve() in seen or found.resolve() == path.resolve():
        raise CodecError(f"experiment {path}: base {base!r} inherits from itself")
    inherited = _inherit(found, (*seen, path.resolve()))
    for own in OWN:
        inherited.pop(own, None)
    return merged(inherited, experiment)


def _neighbour(path: Path, name: str, field: str) -> Path:
    """NAME.yaml in the file's folder or the one above."""
    candidates = [folder / f"{name}.yaml" for folder in (path.parent, path.parent.parent)]
    found = next((file for file in candidates if file.is_file()), None)
    if found is None:
        raise CodecError(f"experiment {path}: {field} {name!r} is neither {candidates[0]} nor {candidates[1]}")
    return found


def _read(path: Path) -> dict:
    try:
        experiment = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise CodecError(f"experiment {path}: not found or unreadable") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CodecError(f"experiment {path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(experiment, dict):
        raise CodecError(f"experiment {path}: must be a mapping with {', '.join(SECTIONS)}")
    return experiment
