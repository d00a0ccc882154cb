# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick check of many annotations says yes only where the validator does, and to all that we write."""

import copy
import json

import jsonschema
import pytest
from sigmf.schema import get_schema

from gr_semantic.errors import UserError
from gr_semantic.paths import ROOT
from gr_semantic.recording.columns import surely_fit
from gr_semantic.recording.namespace import field, known_fields
from gr_semantic.recording.sigmf_file import Recording

OURS = {field(name): schema for name, schema in known_fields()["annotations"].items()}
SIGMF = get_schema()["properties"]["annotations"]["items"]["properties"]
GOOD = {
    "core:sample_start": 5,
    "core:sample_count": 7,
    "core:label": "frame 3",
    "gr_semantic:kind": "data",
    "gr_semantic:sequence": 3,
    "gr_semantic:snr_db": 10.5,
    "gr_semantic:images": [1, 2, 3],
    "gr_semantic:qpsk": [1, 2],
    "other:field": {"free": None},
}
WRONG = [None, True, -1, 1.5, 70000, "", "noise", [], [1], [1, -2], [1, 2.5], [True, 1], [1, 2, 3], {}, 1e13]


@pytest.mark.parametrize("properties", [OURS, SIGMF], ids=["ours", "sigmf"])
def test_yes_is_what_the_validator_says(properties):
    validator = jsonschema.Draft7Validator({"type": "object", "properties": properties})
    said = []
    for name in GOOD:
        for value in WRONG:
            entries = [GOOD, copy.deepcopy(GOOD) | {name: value}]
            valid = all(validator.is_valid(entry) for entry in entries)
            said.append((surely_fit(entries, properties), valid))
    assert all(valid for yes, valid in said if yes)
    assert {(True, True), (False, False)} <= set(said)
    assert surely_fit([GOOD] * 3, properties) and surely_fit([], properties)
    assert not surely_fit([GOOD, 3], properties)
    assert not surely_fit([{"a": 1}], {"a": {"type": "integer", "multipleOf": 1}})  # a keyword that it does not know


def test_all_captures_take_the_quick_way():
    for path in sorted((ROOT / "tests" / "captures").glob("*.sigmf-meta")):
        annotations = json.loads(path.read_text())["annotations"]
        assert surely_fit(annotations, OURS) and surely_fit(annotations, SIGMF), path.name


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"core:sample_start": -1}, "minimum"),
        ({"core:sample_count": "many"}, "integer"),
        ({"core:sample_start": 10**9}, "ordering"),
        ({"gr_semantic:sequence": 70000}, "sequence is 70000"),
        ({"gr_semantic:labels": [1, "x"]}, "labels/1 is 'x'"),
    ],
)
def test_what_is_wrong_is_still_named(tmp_path, change, problem):
    source = ROOT / "tests" / "captures" / "clean.sigmf-meta"
    metadata = json.loads(source.read_text())
    metadata["annotations"][0] |= change
    path = tmp_path / "changed.sigmf-meta"
    path.write_text(json.dumps(metadata))
    path.with_suffix(".sigmf-data").write_bytes(source.with_suffix(".sigmf-data").read_bytes())
    with pytest.raises(UserError, match=problem):
        Recording(path)
