# SPDX-License-Identifier: GPL-3.0-or-later
"""A quick yes to a JSON schema's demands on long lists of like entries, a column at a time.

An annotation a frame: the validator took a third of a replay's time.
"""

from itertools import chain

_NO_DEMAND = {"default", "description", "title"}
_TYPES = {"integer": {int}, "number": {int, float}, "string": {str}, "array": {list}}


def surely_fit(entries: list, properties: dict[str, dict]) -> bool:
    """Whether every entry is a dict whose values fit the schemas of `properties`; keys beyond these are free.

    False where it cannot tell (a keyword or type that is not known here): the validator proper must decide.
    """
    if not set(map(type, entries)) <= {dict}:
        return False
    columns = {name: [entry[name] for entry in entries if name in entry] for name in properties}
    return all(_fits(values, properties[name]) for name, values in columns.items())


def _fits(values: list, schema: dict) -> bool:
    if not values:
        return True
    known = _NO_DEMAND | {"type", "enum", "minimum", "maximum", "items", "minItems", "maxItems"}
    found = set(map(type, values))
    if set(schema) - known or ("type" in schema and not found <= _TYPES.get(schema["type"], set())):
        return False
    if "enum" in schema and not (found == {str} and set(values) <= set(schema["enum"])):
        return False
    if {"minimum", "maximum"} & set(schema):
        if not found <= {int, float} or min(values) < schema.get("minimum", -float("inf")):
            return False
        if max(values) > schema.get("maximum", float("inf")):
            return False
    if {"items", "minItems", "maxItems"} & set(schema):
        if found != {list}:
            return False
        sizes = [len(value) for value in values]
        if min(sizes) < schema.get("minItems", 0) or max(sizes) > schema.get("maxItems", max(sizes)):
            return False
        return _fits(list(chain.from_iterable(values)), schema.get("items", {}))
    return True
