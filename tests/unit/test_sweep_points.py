# SPDX-License-Identifier: GPL-3.0-or-later
"""A point of a sweep is what the commands measure."""

import json
import re
from dataclasses import asdict, replace

import pytest
from click.testing import CliRunner

from gr_semantic.cli.main import main
from gr_semantic.sweep.measure import measure
from gr_semantic.sweep.point import code_digest
from gr_semantic.sweep.sweep_file import Sweep

IMAGES = "synthetic:90"


@pytest.fixture
def points(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        f"images: '{IMAGES}'\n"
        "snr_db: 1\nbudget: 8\nseed: 5\n"
        "grids:\n"
        "  - channel: selective\n"
        "  - waveform: ofdm64\n"
        "    images_per_frame: 40\n"
        "    channel: {air: {multipath: 'tdl-a:100ns', cfo_hz: 500, sro_ppm: 5}}\n"
    )
    return Sweep(path).points()


def run(*args):
    result = CliRunner(mix_stderr=False).invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result.stdout


def test_offline_is_evaluate(points, zoo_codec):
    from semantic_models import load_images
    from semantic_models.evaluate import evaluate_codec

    row = measure(asdict(points[0]), code_digest())
    images = load_images(IMAGES, like=zoo_codec)
    (point,) = evaluate_codec(zoo_codec, images, [1.0], ["selective"], seed=5, budgets=[8])["points"]
    assert row["status"] == "done" and (row["accuracy"], row["images"]) == (point["accuracy"], 90)
    assert [row["ci95_low"], row["ci95_high"]] == point["ci95"]


def test_link_is_modulate_channel_replay(points, tmp_path):
    row = measure(asdict(points[1]), code_digest())
    tx, rx = tmp_path / "tx.sigmf-meta", tmp_path / "rx.sigmf-meta"
    run("modulate", "--dataset", IMAGES, "--snr-db", 1, "--budget", 8, "--images-per-frame", 40, "-o", tx)
    channel = ["--model", "tdl-a:100ns", "--cfo-hz", 500, "--sro-ppm", 5, "--snr-db", 1, "--seed", 5]
    run("channel", tx, *channel, "-o", rx)
    found = json.loads(run("replay", rx, "--json"))
    assert row["status"] == "done"
    assert (row["frames_sent"], row["frames_found"]) == (found["frames_expected"], found["frames_found"]) == (3, 3)
    assert row["correct"] / row["images_found"] == found["accuracy"]
    assert row["measured_snr_db"] == pytest.approx(sum(frame["snr_db"] for frame in found["frames"]) / 3)


def test_lost_images_count_as_wrong(points):
    deaf = replace(points[1], snr_db=-25.0)
    row = measure(asdict(deaf), code_digest())
    assert (row["frames_found"], row["images"], row["images_found"]) == (0, 90, 0)
    assert (row["accuracy"], row["measured_snr_db"], row["frames_false"]) == (0.0, None, 0)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"model_id": "f" * 64}, "codec fashion-mnist is model .* here"),
        ({"images_sha256": "f" * 64}, "have other content here"),
        ({"waveform_digest": "f"}, "waveform ofdm64 is another one here"),
        ({"codec": "nowhere"}, "nowhere"),
    ],
)
def test_a_worker_with_other_things_fails_the_point(points, change, reason):
    row = measure(asdict(replace(points[1], **change)), code_digest())
    assert row["status"] == "failed"
    assert re.search(reason, row["error"]) and "\n" not in row["error"]


def test_a_worker_with_other_code_fails_the_point(points):
    row = measure(asdict(points[0]), "0123456789abcdef")
    assert row["status"] == "failed" and "other code" in row["error"]
