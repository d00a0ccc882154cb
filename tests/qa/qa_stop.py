# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block ends cleanly in whatever state its flowgraph is stopped."""

import os
import sys
import tempfile
import time

import pytest
from bench import Bench
from gnuradio import blocks, gr

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from gr_semantic.blocks.channel_simulator import ChannelSimulator
from gr_semantic.blocks.feedback_receiver import FeedbackReceiver
from gr_semantic.blocks.feedback_transmitter import FeedbackTransmitter
from gr_semantic.blocks.image_source import ImageSource
from gr_semantic.blocks.ofdm_receiver import OfdmReceiver
from gr_semantic.blocks.ofdm_transmitter import OfdmTransmitter
from gr_semantic.blocks.rate_controller import RateController
from gr_semantic.blocks.result_sink import ResultSink
from gr_semantic.blocks.semantic_decoder import SemanticDecoder
from gr_semantic.blocks.semantic_display import SemanticDisplay
from gr_semantic.blocks.semantic_encoder import SemanticEncoder
from gr_semantic.blocks.sigmf_recorder import SigmfRecorder

FOLDER = tempfile.TemporaryDirectory()
MAKE = {
    "channel_simulator": lambda codec, images: ChannelSimulator(1e6, snr_db=3),
    "feedback_receiver": lambda codec, images: FeedbackReceiver(),
    "feedback_transmitter": lambda codec, images: FeedbackTransmitter(),
    "image_source": lambda codec, images: ImageSource(images, period_s=0.001),
    "ofdm_receiver": lambda codec, images: OfdmReceiver(),
    "ofdm_receiver slots": lambda codec, images: OfdmReceiver(slot_len=20480),
    "ofdm_transmitter": lambda codec, images: OfdmTransmitter(),
    "ofdm_transmitter slots": lambda codec, images: OfdmTransmitter(slot_len=20480),
    "rate_controller": lambda codec, images: RateController(codec, 0.02),
    "result_sink": lambda codec, images: ResultSink(0.02, 1e6),
    "semantic_decoder": lambda codec, images: SemanticDecoder(codec),
    "semantic_display": lambda codec, images: SemanticDisplay(0.02),
    "sigmf_recorder": lambda codec, images: SigmfRecorder(f"{FOLDER.name}/a.sigmf-meta", 1e6),
    "semantic_encoder": lambda codec, images: SemanticEncoder(codec),
}


@pytest.fixture(scope="module", autouse=True)
def application():
    from PyQt5.QtWidgets import QApplication

    return QApplication.instance() or QApplication(sys.argv[:1])


def bench_of(block):
    """A flowgraph with a source or sink on each stream port."""
    bench = Bench(block)
    if block.input_signature().max_streams():
        bench.source = blocks.null_source(gr.sizeof_gr_complex)
        bench.connect(bench.source, block)
    if block.output_signature().max_streams():
        bench.sink = blocks.null_sink(gr.sizeof_gr_complex)
        bench.connect(block, bench.sink)
    return bench


@pytest.mark.parametrize("name", MAKE)
def test_stop_in_any_state(name, codec, images):
    never_started = bench_of(MAKE[name](codec, images))
    never_started.stop()
    never_started.wait()
    del never_started
    for run_s in (0.0, 0.05):
        bench = bench_of(MAKE[name](codec, images))
        bench.start()
        time.sleep(run_s)
        bench.stop()
        bench.wait()
        bench.stop()
        bench.wait()
        assert [meta for meta in bench["status"].metas if meta["level"] == "error"] == []


@pytest.mark.parametrize("name", MAKE)
def test_a_block_that_was_never_connected_goes_away(name, codec, images):
    block = MAKE[name](codec, images)
    assert block.stop() and block.stop()
