# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation counts what it says it counts, and its commands answer a person and a program."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from semantic_models import CodecError, SemanticCodec, load_images
from semantic_models.distill import main as distill_main
from semantic_models.evaluate import TABLE_SNR_DB, evaluate_codec, wilson_interval
from semantic_models.evaluate import main as evaluate_main
from semantic_models.testing import tiny_codec

IMAGES = load_images("synthetic:200")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_codec(tmp_path_factory.mktemp("codec"))


def test_points_cover_the_table_and_repeat(folder):
    codec = SemanticCodec.load(folder, "cpu")
    result = evaluate_codec(codec, IMAGES)
    assert [(p["budget"], p["snr_db"]) for p in result["points"]] == [
        (b, s) for b in codec.budgets for s in TABLE_SNR_DB
    ]
    assert TABLE_SNR_DB[0] == -10 and TABLE_SNR_DB[-1] == 24 and len(TABLE_SNR_DB) == 18
    assert evaluate_codec(codec, IMAGES) == result
    assert evaluate_codec(codec, IMAGES, seed=2)["points"] != result["points"]


def test_counts_equal_the_codecs_own_decisions(folder):
    """Without noise to speak of (200 dB): the evaluation's count is that of encode and decode."""
    codec = SemanticCodec.load(folder, "cpu")
    symbols = codec.encode(IMAGES.images, 200.0, 16)
    right = codec.decode(symbols, np.float32(1e-20)).argmax(1) == IMAGES.labels
    points = evaluate_codec(codec, IMAGES, snr_db=(200.0,))["points"]
    assert points[2]["budget"] == 16
    assert points[2]["accuracy"] == pytest.approx(right.mean(), abs=0.0051)  # one image may sit on the fence


def test_unlabelled_images_are_refused(folder):
    unlabelled = type(IMAGES)(IMAGES.images, None, IMAGES.classes, "nameless")
    with pytest.raises(CodecError, match="nameless has no labels"):
        evaluate_codec(SemanticCodec.load(folder, "cpu"), unlabelled)


def test_wilson_interval():
    """The textbook's 8 of 10, and the edges."""
    assert wilson_interval(0.8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert wilson_interval(0.0, 100)[0] == pytest.approx(0, abs=1e-9)
    assert wilson_interval(1.0, 100)[1] == pytest.approx(1, abs=1e-9)


def test_command_line(folder):
    run = CliRunner().invoke
    machine = run(evaluate_main, [str(folder), "--images", "synthetic:50", "--channel", "selective", "--json"])
    result = json.loads(machine.output)
    assert machine.exit_code == 0
    assert {point["channel"] for point in result["points"]} == {"selective"}
    assert result["images"] == "synthetic:50"
    person = run(evaluate_main, [str(folder), "--images", "synthetic:50"])
    assert person.output.count("\n") == 2 + len(TABLE_SNR_DB)


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        (evaluate_main, ["none"], "codec none: no such folder"),
        (distill_main, ["none.yaml"], "experiment none.yaml: not found"),
    ],
)
def test_commands_end_with_one_line_and_code_2(tmp_path, monkeypatch, command, arguments, reason):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert reason in result.output
    assert "Traceback" not in result.output
    assert result.output.count("\n") == 1
