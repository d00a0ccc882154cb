# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation counts what it says it counts, and its commands answer a person and a program."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gr_semantic.cli.evaluate import CHANNELS
from gr_semantic.cli.main import main
from gr_semantic.paths import ROOT, ZOO
from semantic_models import CodecError, SemanticCodec, load_images
from semantic_models.channels import KINDS
from semantic_models.codec_folder import read_codec
from semantic_models.evaluate import (
    TABLE_SNR_DB,
    accuracy_at,
    evaluate_codec,
    features_of,
    stored_result,
    table,
    wilson_interval,
)
from semantic_models.latency import batch_agreement, measure_latency
from semantic_models.limit import add_limits
from semantic_models.publish import model_card
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


def test_fades_are_measured_as_deep_as_they_are(folder):
    """A thousand images at 60 dB on Rayleigh: the training channel's floor for fades would lift every noise level."""
    from semantic_models.channels import WEAKEST_TAP_LIN, transmit
    from semantic_models.evaluate import WEAKEST_TAP_LIN as MEASURED

    symbols, snr_db = torch.ones(1000, 8, dtype=torch.complex64), torch.full((1000,), 60.0)
    draws = [torch.Generator().manual_seed(1) for _ in range(2)]
    trained = transmit(symbols, snr_db, "rayleigh", draws[0])[1]
    measured = transmit(symbols, snr_db, "rayleigh", draws[1], MEASURED)[1]
    assert trained.max() == pytest.approx(1e-6 / WEAKEST_TAP_LIN)
    assert measured.max() > 3 * trained.max()
    assert torch.equal(measured.clamp(max=trained.max()), trained)


def test_one_budget_and_one_snr(folder):
    codec = SemanticCodec.load(folder, "cpu")
    points = evaluate_codec(codec, IMAGES, snr_db=(3.0,), channels=("awgn", "rician"), budgets=(8,))["points"]
    assert [(p["channel"], p["snr_db"], p["budget"], p["images"]) for p in points] == [
        ("awgn", 3.0, 8, 200),
        ("rician", 3.0, 8, 200),
    ]
    with pytest.raises(CodecError, match="unknown budget 7"):
        evaluate_codec(codec, IMAGES, budgets=(7,))


def test_a_wrong_report_changes_what_is_sent_but_not_the_noise(folder):
    """Told 5 dB too much at 3 dB: the symbols are those for 8 dB. Beyond the trained range nothing changes."""
    codec = SemanticCodec.load(folder, "cpu")
    features = features_of(codec.model, IMAGES.images)
    told = []
    real = codec.model.send
    codec.model.send = lambda features, snr_db, budget: (
        told.append(snr_db.unique().tolist()) or real(features, snr_db, budget)
    )
    for snr_db, error_db in ((3.0, 5.0), (3.0, -5.0), (24.0, 5.0)):
        accuracy_at(codec.model, features, IMAGES.labels, snr_db, 8, codec.snr_range_db, 1, report_error_db=error_db)
    assert told == [[8.0], [-2.0], [24.0]]
    at_the_end = [
        evaluate_codec(codec, IMAGES, snr_db=(24.0,), report_error_db=error)["points"] for error in (0.0, 5.0)
    ]
    assert at_the_end[0] == at_the_end[1]


def test_stored_result_is_the_table_of_codec_toml(folder):
    config = read_codec(folder)[0]
    result = stored_result(SemanticCodec.load(folder, "cpu"), config)
    for point in result["points"]:
        assert point["accuracy"] == config.accuracy[point["budget"]][config.snr_db.index(point["snr_db"])]
        assert point["images"] == config.images
    assert len(result["points"]) == len(config.budgets) * len(config.snr_db)


def test_agreement_notices_a_codec_that_depends_on_the_batch(folder):
    codec = SemanticCodec.load(folder, "cpu")
    fair = batch_agreement(codec, IMAGES, count=30)
    assert fair["symbols_equal"] and fair["logits_equal"]
    assert fair["accuracy_batch_1"] == fair["accuracy_batch_n"]
    real = codec.decode
    codec.decode = lambda symbols, noise_var: real(symbols, noise_var) + np.float32(1e-3 * (len(symbols) > 1))
    unfair = batch_agreement(codec, IMAGES, count=30)
    assert unfair["symbols_equal"] and not unfair["logits_equal"]


def test_latency_has_every_batch_and_leaves_the_threads_alone(folder):
    before = torch.get_num_threads()
    latency = measure_latency(SemanticCodec.load(folder, "cpu"), repeats=2)
    assert torch.get_num_threads() == before
    for name in ("encode_ms", "decode_ms"):
        assert list(latency[name]) == ["1", "8", "32"]
        assert all(value > 0 for value in latency[name].values())


def test_model_card_of_the_zoo_is_the_one_its_table_gives(zoo_codec):
    folder = ZOO / "fashion-mnist"
    config = read_codec(folder)[0]
    assert (folder / "README.md").read_text() == model_card(config, stored_result(zoo_codec, config))
    assert (folder / "accuracy.png").stat().st_size > 10_000


def test_table_in_the_docs_is_that_of_the_zoo(zoo_codec):
    config = read_codec(ZOO / "fashion-mnist")[0]
    assert table(add_limits(stored_result(zoo_codec, config), 10)) in (ROOT / "docs" / "learning.md").read_text()


def invoke(*arguments):
    return CliRunner(mix_stderr=False).invoke(main, [str(argument) for argument in arguments])


def test_evaluate_for_a_program(folder):
    options = ("--images", "synthetic:50", "--channel", "selective", "--snr-db", "-10", "--budget", "8", "--limit")
    machine = invoke("evaluate", folder, *options, "--json")
    assert machine.exit_code == 0, machine.stderr
    result = json.loads(machine.stdout)
    assert {"codec", "parameters", "macs", "points", "batch", "latency"} <= set(result)
    (point,) = result["points"]
    assert {"channel", "snr_db", "budget", "accuracy", "ci95", "images"} < set(point)
    assert (point["channel"], point["snr_db"], point["budget"], point["images"]) == ("selective", -10.0, 8, 50)
    assert point["below_limit_points"] == pytest.approx(100 * (point["limit"] - point["accuracy"]))
    assert result["parameters"]["total"] == result["parameters"]["edge"] + result["parameters"]["receiver"]
    assert result["macs"]["total"] == result["macs"]["edge"] + result["macs"]["receiver"]


def test_evaluate_for_a_person(folder):
    text = invoke("evaluate", folder, "--images", "synthetic:50").stdout
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + len(TABLE_SNR_DB)
    assert "the same bits as batch 50" in text
    assert "ms at batch 32" in text


def test_stored_table_with_limit_and_figure(folder, tmp_path):
    done = invoke("evaluate", folder, "--stored", "--limit", "--figure", tmp_path / "a.png")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert " of " in done.stdout and "points below" in done.stdout


def test_channels_of_the_command_are_those_of_the_evaluation():
    assert set(CHANNELS) == set(KINDS)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("evaluate", "no/codec"), "codec no/codec: no such folder"),
        (("evaluate", "fashion-mnist", "--budget", "7"), "unknown budget 7"),
        (("evaluate", "fashion-mnist", "--stored", "--budget", "8"), "leave out"),
        (("evaluate", "fashion-mnist", "--device", "toaster"), "toaster"),
        (("evaluate", "fashion-mnist", "--images", "synthetic:0"), "synthetic:0"),
        (("distill", "none.yaml"), "experiment none.yaml: not found"),
    ],
)
def test_commands_end_with_one_line_and_code_2(tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
