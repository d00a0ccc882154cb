# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings of every kind of air, replayed: the frames, classes, SNR and carrier offset that their truth names."""

from pathlib import Path

import make_captures
import numpy as np
import pytest

from gr_semantic.recording.decoders import Decoder
from gr_semantic.recording.namespace import own_fields
from gr_semantic.recording.replay_recording import replay, waveform_of
from gr_semantic.recording.sigmf_file import Recording

FOLDER = Path(__file__).parent
NAMES = sorted(make_captures.CAPTURES)
START_SAMPLES, SNR_DB, CFO_HZ = 2, 0.5, 50.0
# Clipping has spared these payloads; notches and echoes (multipath) leave more than the smoothed channel admits.
ERROR_OVER_NOISE_VAR = {
    "clean": 1.000,
    "clean_ofdm256": 0.994,
    "clipped": 0.784,
    "fading": 1.050,
    "feedback": 1.057,
    "front_end": 0.976,
    "interference": 0.939,
    "large_offset": 0.998,
    "low_snr": 0.999,
    "multipath": 1.210,
    "truncated": 0.983,
    "virtual_plutos": 1.038,
}


class Listener(Decoder):
    """Keeps what it decodes."""

    def __init__(self, name, codec):
        super().__init__(name, codec)
        self.heard = []

    def classes(self, group):
        self.heard += group
        return super().classes(group)


@pytest.fixture(scope="module", params=NAMES)
def replayed(request, zoo_codec):
    """(rows that were found, annotations, result, what the decoder got) of a capture."""
    with Recording(FOLDER / f"{request.param}.sigmf-meta") as recording:
        decoder = Listener("fashion-mnist", zoo_codec)
        result = replay(recording, waveform_of(recording), recording.sample_rate_hz, decoder)
        annotations = [
            own_fields(annotation) | {name: annotation[f"core:{name}"] for name in ("sample_start", "sample_count")}
            for annotation in recording.metadata["annotations"]
        ]
    return result.frames, annotations, result, decoder.heard


def test_all_frames_are_found_and_no_others(replayed):
    rows, annotations, result, _ = replayed
    assert [(row["kind"], row["sequence"]) for row in rows] == [(a["kind"], a["sequence"]) for a in annotations]
    assert result.lost == [] and not result.false
    for row, truth in zip(rows, annotations, strict=True):
        assert abs(row["start_sample"] - truth["sample_start"]) <= START_SAMPLES


def test_classes_are_those_of_the_truth(replayed):
    for row, truth in zip(*replayed[:2], strict=True):
        assert row["predictions"] == truth.get("predictions")
        if truth["kind"] == "feedback":
            assert row["feedback"] == {key: truth[key] for key in ("snr_db", "acked_sequence", "received", "lost")}
        else:
            assert len(row["predictions"]) == truth["image_count"]
    score = replayed[2].score
    assert score.images == 0 or score.accuracy > 0.9


def test_snr_and_carrier_offset_are_the_true_ones(replayed):
    for row, truth in zip(*replayed[:2], strict=True):
        assert row["snr_db"] == pytest.approx(truth["true_snr_db"], abs=SNR_DB)
        assert row["cfo_hz"] == pytest.approx(truth["true_cfo_hz"], abs=CFO_HZ)


def test_the_noise_variance_of_each_symbol_is_that_of_its_error(replayed, zoo_codec):
    for frame, truth in ((received.frame, received.truth) for received in replayed[3]):
        if frame.symbols.size > 300:
            images = make_captures.images().images[truth.images]
            sent = zoo_codec.encode(images, frame.header.snr_db, frame.header.budget)
            assert 0.65 < np.mean(np.abs(frame.symbols - sent) ** 2 / frame.noise_var) < 1.35


def test_the_noise_variances_are_those_of_when_they_were_made(replayed, zoo_codec, request):
    """Error power over noise variance, all symbols of a capture: 1 but for what no noise variance can tell."""
    images, ratios = make_captures.images().images, []
    for frame, truth in ((received.frame, received.truth) for received in replayed[3]):
        sent = zoo_codec.encode(images[truth.images], frame.header.snr_db, frame.header.budget)
        ratios.append((np.abs(frame.symbols - sent) ** 2 / frame.noise_var).ravel())
    wanted = ERROR_OVER_NOISE_VAR.get(request.node.callspec.params["replayed"])
    assert (np.mean(np.concatenate(ratios)) if ratios else None) == pytest.approx(wanted, abs=0.004)


def test_long_frames_show_the_clocks(replayed):
    """Over 100 symbols a clock offset shows; over a few it drowns in noise."""
    for row, truth in zip(*replayed[:2], strict=True):
        if truth["sample_count"] > 9000 and truth["measured_snr_db"] > 12:
            assert row["sro_ppm"] == pytest.approx(truth["true_sro_ppm"], abs=5)


def test_the_receiver_is_the_one_that_was_there_when_they_were_made(replayed):
    """Far tighter than the truth allows: what changes the receiver at all shows here, and can be looked at."""
    for row, truth in zip(*replayed[:2], strict=True):
        was = [truth[key] for key in ("measured_snr_db", "evm_db", "sro_ppm", "cfo_hz")]
        now = [row[key] for key in ("snr_db", "evm_db", "sro_ppm", "cfo_hz")]
        for before, after, tolerance in zip(was, now, (0.02, 0.02, 0.1, 0.1), strict=True):
            assert after == pytest.approx(before, abs=tolerance)


def test_there_is_a_capture_of_every_story_and_they_are_small():
    assert sorted(path.name.removesuffix(".sigmf-meta") for path in FOLDER.glob("*.sigmf-meta")) == NAMES
    assert sum(path.stat().st_size for path in FOLDER.glob("*.sigmf-*")) < 6e6


@pytest.mark.parametrize("name", NAMES)
def test_the_script_makes_them_again(name, tmp_path, request):
    """Within one step of int16: on another processor a sum may be rounded another way (`--check` allows nothing)."""
    if name == "interference":
        request.getfixturevalue("data_dir")
    with Recording(make_captures.make(name, tmp_path)) as made, Recording(FOLDER / f"{name}.sigmf-meta") as kept:
        step = 1.01 * kept.own.get("full_scale", 1.0) / 32768
        for one, other in zip(made.chunks(), kept.chunks(), strict=True):
            assert np.abs((one - other).view(np.float32)).max() <= step
        for one, other in zip(made.metadata["annotations"], kept.metadata["annotations"], strict=True):
            assert list(one) == list(other)
            for value, before in zip(one.values(), other.values(), strict=True):
                assert value == (pytest.approx(before, abs=0.1) if isinstance(before, float) else before)
        assert made.metadata["captures"] == kept.metadata["captures"]
        assert made.own["story"] == kept.own["story"] and made.own["channels"] == kept.own["channels"]
