# SPDX-License-Identifier: GPL-3.0-or-later
"""802.11 recordings of the optional data: none of our frames in them, and all of ours decoded 10 dB above them."""

import json

import numpy as np
import pytest

from gr_semantic.characterize.interference import RATES, frames_on, own_frames, read_recording, recordings
from gr_semantic.modem import Waveform


@pytest.fixture(scope="module")
def paths(data_dir):
    found = recordings(data_dir)
    assert len(found) == 14
    return found


def test_recordings_are_read_as_the_truth_describes_them(paths):
    """Samples, and the packets' power: unit power where the truth says that a packet begins."""
    truth = json.loads((paths[0].parent / "truth.json").read_text())["files"]
    for path in paths:
        samples, known = read_recording(path), truth[path.name]
        assert known["format"] == "ci16_le" and len(samples) == known["samples"]
        starts = [packet["sample"] for packet in known["packets"]]
        powers = [np.mean(np.abs(samples[start + 20 : start + 300]) ** 2) for start in starts]
        assert not starts or 0.3 < max(powers) < 3


@pytest.mark.parametrize("name", Waveform.names())
def test_no_frame_in_them(name, paths):
    wf = Waveform.load(name)
    found = {(path.name, rate): frames_on(wf, path, *rate) for path in paths for rate in RATES}
    assert len(found) == 14 * len(RATES) and not any(found.values())


@pytest.mark.parametrize("name", Waveform.names())
def test_own_frames_10_db_above_them_are_all_decoded(name, paths):
    wf = Waveform.load(name)
    counts = [own_frames(wf, path, 20, 10.0, seed) for seed, path in enumerate(paths)]
    assert all(sent == 20 for sent, _ in counts) and all(decoded == sent for sent, decoded in counts)
