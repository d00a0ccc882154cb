# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks without slots: a self-timed source, bursts with gaps, whatever order the threads run in."""

import numpy as np
from bench import Collector, wait_until
from gnuradio import blocks, gr

from gr_semantic.blocks.channel_simulator import ChannelSimulator
from gr_semantic.blocks.image_source import ImageSource
from gr_semantic.blocks.ofdm_receiver import OfdmReceiver
from gr_semantic.blocks.ofdm_transmitter import OfdmTransmitter
from gr_semantic.blocks.semantic_decoder import SemanticDecoder
from gr_semantic.blocks.semantic_encoder import SemanticEncoder


class OneWay(gr.top_block):
    """Image source -> encoder -> bursts -> channel -> receiver -> decoder -> collector."""

    def __init__(self, codec, images):
        gr.top_block.__init__(self, "one way")
        self.source = ImageSource(images, images_per_frame=4, seed=2, period_s=0.01, snr_db=12.0, budget=16)
        # Queues that are never full, however long torch warms up.
        self.encoder = SemanticEncoder(codec, link_id=5, queue_frames=10_000)
        self.transmitter = OfdmTransmitter(gap_len=500, queue_frames=10_000)
        self.throttle = blocks.throttle(gr.sizeof_gr_complex, 1e6)
        self.channel = ChannelSimulator(1e6, seed=4, snr_db=20.0, cfo_hz=2000.0)
        self.receiver = OfdmReceiver()
        self.decoder = SemanticDecoder(codec, link_id=5, queue_frames=10_000)
        self.sent, self.results = Collector(), Collector()
        self.connect(self.transmitter, self.throttle, self.channel, self.receiver)
        self.msg_connect(self.source, "images", self.encoder, "images")
        self.msg_connect(self.source, "images", self.sent, "in")
        self.msg_connect(self.encoder, "symbols", self.transmitter, "symbols")
        self.msg_connect(self.receiver, "frames", self.decoder, "frames")
        self.msg_connect(self.decoder, "results", self.results, "in")


def test_every_burst_is_decoded_in_order(codec, images):
    flowgraph = OneWay(codec, images)
    flowgraph.start()
    wait_until(lambda: len(flowgraph.results.pdus) >= 20)
    flowgraph.stop()
    flowgraph.wait()
    metas = flowgraph.results.metas
    assert [meta["sequence"] for meta in metas] == list(range(len(metas)))
    same = []
    for (meta, classes), (_, indices) in zip(flowgraph.results.pdus, flowgraph.sent.pdus, strict=False):
        assert meta["budget"] == 16 and abs(meta["measured_snr_db"] - 20) < 3 and abs(meta["cfo_hz"] - 2000) < 100
        clean = codec.decode(codec.encode(images.images[indices], 12.0, 16), np.float32(0.01))
        same.extend(classes == clean.argmax(axis=1))
    assert np.mean(same) > 0.8
