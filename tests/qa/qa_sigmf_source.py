# SPDX-License-Identifier: GPL-3.0-or-later
import json

import numpy as np
import pytest
from bench import Collector, wait_until
from gnuradio import blocks, gr

from gr_semantic.blocks.sigmf_source import SigmfSource
from gr_semantic.errors import UserError
from gr_semantic.recording.sigmf_file import Recording
from gr_semantic.recording.transmit_recording import TransmitConfig, write_transmission


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("air") / "run.sigmf-meta"
    write_transmission(TransmitConfig(images="fashion-mnist:test[0:96]", images_per_frame=32), path)
    return path


class Player(gr.top_block):
    def __init__(self, path, repeat=False, most=None):
        gr.top_block.__init__(self, "player")
        self.source, self.sink = SigmfSource(path, repeat), blocks.vector_sink_c()
        self.head = blocks.head(gr.sizeof_gr_complex, most or 1 << 40)
        self.images, self.status = Collector(), Collector()
        self.connect(self.source, self.head, self.sink)
        self.msg_connect(self.source, "images", self.images, "in")
        self.msg_connect(self.source, "status", self.status, "in")


def samples_of(path):
    with Recording(path) as recording:
        return np.concatenate(list(recording.chunks()))


def test_plays_the_samples_and_says_what_was_sent(recording):
    player = Player(recording)
    player.run()
    np.testing.assert_array_equal(np.array(player.sink.data(), np.complex64), samples_of(recording))
    sent = player.images.wait_for(3)
    assert [meta for meta, _ in sent] == [
        {"sequence": number, "images": "fashion-mnist:test[0:96]"} for number in range(3)
    ]
    assert np.concatenate([indices for _, indices in sent]).tolist() == list(range(96))
    assert player.status.pdus == []


def test_begins_again(recording):
    once = samples_of(recording)
    player = Player(recording, repeat=True, most=2 * len(once) + 100)
    player.run()
    expected = np.concatenate([once, once, once[:100]])
    np.testing.assert_array_equal(np.array(player.sink.data(), np.complex64), expected)
    wait_until(lambda: len(player.images.pdus) >= 6)


def test_without_the_image_set_only_samples_come(recording, tmp_path):
    metadata = json.loads(recording.read_text())
    metadata["global"]["gr_semantic:images"] = "no-such-set"
    (tmp_path / "run.sigmf-meta").write_text(json.dumps(metadata))
    (tmp_path / "run.sigmf-data").write_bytes(recording.with_suffix(".sigmf-data").read_bytes())
    player = Player(tmp_path / "run.sigmf-meta")
    player.run()
    assert len(player.sink.data()) == len(samples_of(recording)) and player.images.pdus == []


def test_a_missing_recording_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        SigmfSource(tmp_path / "nowhere.sigmf-meta")
