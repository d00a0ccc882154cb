# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own fields in SigMF metadata: their prefix, and a check of their types (namespace.yaml, docs/recordings.md)."""

from functools import cache
from pathlib import Path

import jsonschema
import yaml

from ..errors import UserError
from .columns import surely_fit

NAMESPACE = "gr_semantic"
EXTENSION = {"name": NAMESPACE, "version": "1.1.0", "optional": True}


def field(name: str) -> str:
    """The name of one of our own fields in SigMF metadata."""
    return f"{NAMESPACE}:{name}"


def own_fields(part: dict) -> dict:
    """Our own fields of a part of SigMF metadata, without the namespace."""
    prefix = f"{NAMESPACE}:"
    return {key.removeprefix(prefix): value for key, value in part.items() if key.startswith(prefix)}


@cache
def known_fields() -> dict[str, dict]:
    """The schema of each known field by part ("global", "captures", "annotations") and name."""
    return yaml.safe_load(Path(__file__).with_name("namespace.yaml").read_text(encoding="utf-8"))


def check_own_fields(metadata: dict) -> None:
    """Check all fields of ours.

    Args:
        metadata: SigMF metadata (dict) whose core fields are valid.

    Raises:
        UserError: names the field, its value and what was expected.
    """
    for part, where in (("global", ""), ("captures", "the capture"), ("annotations", "the annotation")):
        entries = [metadata["global"]] if part == "global" else metadata[part]
        if surely_fit(entries, _properties(part)):
            continue
        check = jsonschema.Draft7Validator({"type": "object", "properties": _properties(part)})
        for entry in entries:
            error = jsonschema.exceptions.best_match(check.iter_errors(entry))
            if error is not None:
                place = f"{where} at sample {entry['core:sample_start']}: " if where else ""
                name = "/".join(str(key) for key in error.absolute_path)
                raise UserError(f"{place}{name} is {_short(error.instance)}, {_expected(error)}")


@cache
def _properties(part):
    return {field(name): schema for name, schema in known_fields()[part].items()}


def _expected(error):
    text = {
        "type": f"expected {error.validator_value}",
        "enum": f"expected one of {', '.join(map(str, error.validator_value))}"
        if isinstance(error.validator_value, list)
        else "",
        "minimum": f"expected {error.validator_value} or more",
        "maximum": f"expected {error.validator_value} or less",
        "exclusiveMinimum": f"expected more than {error.validator_value}",
        "required": f"which lacks {', '.join(sorted(set(error.validator_value) - set(error.instance)))}"
        if isinstance(error.validator_value, list) and isinstance(error.instance, dict)
        else "",
    }
    return text.get(error.validator) or f"which does not fit {error.validator} = {error.validator_value}"


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
