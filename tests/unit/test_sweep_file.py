# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweep files: values, points and keys; mistakes in one line that names file, grid and field."""

import pytest

from gr_semantic.errors import UserError
from gr_semantic.paths import ROOT
from gr_semantic.sweep.sweep_file import Sweep
from semantic_models import CodecError

IMAGES = "images: 'synthetic:40'\n"


@pytest.fixture
def sweep(tmp_path):
    def sweep(text):
        path = tmp_path / "some.yaml"
        path.write_text(text)
        return Sweep(path)

    return sweep


def test_a_grid_is_all_combinations(sweep):
    points = sweep(
        IMAGES
        + "grids: [{snr_db: {from: -1, to: 1, step: 0.5}, budget: [4, 8], channel: [awgn, ofdm], seed: [1, 2, 3]}]"
    ).points()
    assert len(points) == 5 * 2 * 2 * 3 == len({point.key for point in points})
    assert sorted({point.snr_db for point in points}) == [-1, -0.5, 0, 0.5, 1]
    assert {point.waveform for point in points} == {None}


def test_single_values_and_all_budgets(sweep, zoo_codec):
    points = sweep(IMAGES + "grids: [{snr_db: 3}]").points()
    assert [point.budget for point in points] == list(zoo_codec.budgets)
    assert {(point.snr_db, point.seed, point.channel, point.model_id) for point in points} == {
        (3.0, 1, "awgn", zoo_codec.model_id)
    }


def test_points_of_two_grids_are_measured_once(sweep):
    grid = "{snr_db: [0, 5], budget: 8}"
    assert len(sweep(IMAGES + f"grids: [{grid}, {grid}, {{snr_db: [5, 10], budget: 8}}]").points()) == 3


def test_the_key_is_what_a_point_is_and_not_its_names(sweep, tmp_path):
    (tmp_path / "renamed").symlink_to(ROOT / "models" / "zoo" / "fashion-mnist")
    radio = "snr_db: 5, budget: 8, waveform: ofdm64, channel: {%s: {cfo_hz: %d}}, gap: %d"

    def key(name="a", cfo_hz=100, gap=500, extra=""):
        (point,) = sweep(IMAGES + "grids: [{" + radio % (name, cfo_hz, gap) + extra + "}]").points()
        return point.key

    assert key() == key(name="b") == key(extra=f", codec: {tmp_path / 'renamed'}")
    others = [key(cfo_hz=200), key(gap=501), key(extra=", seed: 2"), key(extra=", sample_rate_hz: 2.0e+6")]
    others += [key(extra=", images_per_frame: 20"), key(extra=", images: 'synthetic:41'")]
    assert len({key(), *others}) == 7


def test_the_interferers_samples_count(sweep, tmp_path):
    samples = tmp_path / "interferer.bin"
    interferer = f"{{interferer_db: 0, interferer_file: {samples}}}"
    text = f"grids: [{{snr_db: 5, budget: 8, waveform: ofdm64, channel: {{x: {interferer}}}}}]"
    keys = set()
    for content in (b"\1" * 80, b"\2" * 80):
        samples.write_bytes(content)
        keys.add(sweep(IMAGES + text).points()[0].key)
    assert len(keys) == 2


@pytest.mark.parametrize(
    "text, message",
    [
        ("grids: []", "expected 'grids'"),
        ("- 1", "expected 'grids'"),
        ("grids: [3]", "grid 1: expected a mapping"),
        ("grids: [{snr_db: 1}, {snr_db: x}]", "grid 2: .*snr_db"),
        ("grids: [{budget: 4}]", "grid 1: .*snr_db"),
        ("grids: [{snr_db: {from: 3, to: 1, step: 1}}]", "from <= to"),
        ("grids: [{snr_db: {from: 0, to: 1}}]", "from: LOW, to: HIGH, step: STEP"),
        ("grids: [{snr_db: .nan}]", "snr_db"),
        ("grids: [{snr_db: 1, colour: red}]", "colour"),
        ("grids: [{snr_db: 1, channel: tdl-a}]", "without a waveform use awgn"),
        ("grids: [{snr_db: 1, waveform: ofdm64, channel: [awgn]}]", "mapping of names to fields"),
        ("grids: [{snr_db: 1, waveform: ofdm64, channel: {a: {snr_db: 3}}}]", "set by the grid's snr_db"),
        ("grids: [{snr_db: 1, waveform: ofdm64, channel: {a: {cfo: 3}}}]", "channel 'a': channel: unknown field 'cfo'"),
        ("grids: [{snr_db: 1, waveform: ofdm64, channel: {a: {cfo_hz: 1.0e+6}}}]", "channel 'a'"),
        (
            "grids: [{snr_db: 1, waveform: ofdm64, images_per_frame: 256, budget: 32}]",
            "at most .* images of 32 symbols",
        ),
        ("grids: [{snr_db: 1, waveform: magic}]", "magic"),
        ("a: [", "is not YAML"),
    ],
)
def test_mistakes(sweep, text, message):
    with pytest.raises(UserError, match=message) as caught:
        sweep(IMAGES + text if text.startswith("grids") else text).points()
    assert "some.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_what_the_codec_refuses(sweep):
    with pytest.raises(CodecError, match="unknown budget 5"):
        sweep(IMAGES + "grids: [{snr_db: 1, budget: 5}]").points()
    with pytest.raises(CodecError, match="nowhere"):
        sweep(IMAGES + "grids: [{snr_db: 1, codec: nowhere}]").points()


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read"):
        Sweep(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sweeps_that_come_along(path):
    assert len(Sweep(path).points()) > 100
