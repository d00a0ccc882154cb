# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings classes whose mistakes name the field, the value and the range."""

import typing

from pydantic import BaseModel, ConfigDict, ValidationError

from gr_semantic.errors import UserError
from gr_semantic.yaml_file import read_yaml


class CheckedModel(BaseModel):
    """Frozen settings whose constructor turns the first mistake into a UserError: class, field, value, range."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **fields):
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise UserError(f"{type(self).__name__}: {first_mistake(type(self), error)}") from None


class FromFile:
    """For settings whose constructor raises a UserError for the first mistake: the same from a mapping or a file.

    settings_of: begins the text where there is no mapping at all.
    """

    settings_of: typing.ClassVar[str]

    @classmethod
    def from_dict(cls, fields: dict):
        """Checked settings from a mapping of fields.

        Raises:
            UserError: no mapping, an unknown field, or a value out of range.
        """
        if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
            raise UserError(f"{cls.settings_of}: expected a mapping of fields to values, got {fields!r}")
        return cls(**fields)

    @classmethod
    def from_yaml(cls, path):
        """Checked settings from a YAML file.

        Raises:
            UserError: the file cannot be read, is no YAML mapping, or holds a wrong field.
        """
        fields = read_yaml(path)
        try:
            return cls.from_dict(fields)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None


class CheckedSettings(BaseModel):
    """Frozen settings from a file. A mistake anywhere in them is one UserError: path of the field, value, range."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def from_dict(cls, fields: dict, name: str):
        """Checked settings from a mapping; ``name`` (a file's, say) begins the error's text."""
        if not isinstance(fields, dict):
            raise UserError(f"{name}: expected a mapping of fields to values")
        try:
            return cls(**fields)
        except ValidationError as error:
            raise UserError(f"{name}: {first_mistake(cls, error)}") from None
        except TypeError:
            raise UserError(f"{name}: every field's name must be text") from None

    @classmethod
    def from_yaml(cls, path):
        """Checked settings from a YAML file.

        Raises:
            UserError: the file cannot be read, is no YAML mapping, or a field is unknown, missing or out of range.
        """
        fields = read_yaml(path)
        return cls.from_dict(fields, str(path))


def first_mistake(model: type[BaseModel], error: ValidationError) -> str:
    """One line about the first mistake: path of the field, value, range."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    where = ".".join(str(part) for part in first["loc"])
    if cause is not None:
        text = str(cause)
        if not where or text.startswith(where):  # it names the field itself
            return text
        return f"{where} {text}" if text.startswith("is ") else f"{where}: {text}"
    owner, field = _find(model, first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown field '{where}'; known here: {', '.join(owner.model_fields)}"
    if first["type"] == "missing":
        return f"field '{where}' is missing"
    limits = {}
    for item in field.metadata if field else ():
        limits |= {key: getattr(item, key) for key in ("ge", "gt", "le", "lt") if getattr(item, key, None) is not None}
    low, high = (next((limits[key] for key in keys if key in limits), None) for keys in (("ge", "gt"), ("le", "lt")))
    if not first["msg"].startswith("Input should be "):
        return f"{where}: {first['msg']}"
    wanted = first["msg"].removeprefix("Input should be ")
    if low is not None and high is not None:
        wanted = f"{'above ' if 'gt' in limits else ''}{low:.12g} to {high:.12g}"
    return f"{where} is {first['input']!r}, expected {wanted}"


def _find(model, loc):
    """(settings class, its field or None) that a location leads to."""
    field = None
    for part in loc:
        if isinstance(part, str) and part in getattr(model, "model_fields", {}):
            owner, field = model, model.model_fields[part]
            inner = _settings_in(field.annotation)
            if inner is None:
                return owner, field
            model = inner
    return model, field


def _settings_in(annotation):
    """The settings class within an annotation such as ``X | None`` or ``dict[str, X]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _settings_in(part))), None)
