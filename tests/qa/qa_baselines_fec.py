# SPDX-License-Identifier: GPL-3.0-or-later
"""gr-fec called on arrays gives what its blocks give in a flowgraph."""

import numpy as np
import pytest
from gnuradio import blocks, fec, gr

from gr_semantic.baselines.polar import PolarCode


def through(coder_block, source, sink):
    graph = gr.top_block()
    graph.connect(source, coder_block, sink)
    graph.run()
    return np.array(sink.data())


@pytest.mark.parametrize(("length", "info_bits"), [(64, 24), (256, 160), (1024, 512)])
def test_words_as_in_a_flowgraph(length, info_bits):
    code, words = PolarCode(length, info_bits), 4
    rng = np.random.default_rng(length)
    bits = rng.integers(0, 2, (words, info_bits), dtype=np.uint8)
    encoder = fec.encoder(code.encoder, 1, 1)
    coded = through(encoder, blocks.vector_source_b(bits.reshape(-1).tolist()), blocks.vector_sink_b())
    assert np.array_equal(coded.reshape(words, length), code.encode(bits))
    soft = (1 - 2.0 * code.encode(bits) + rng.normal(0, 0.9, (words, length))).astype(np.float32)
    decoder = fec.decoder(code.decoder, 4, 1)
    decoded = through(decoder, blocks.vector_source_f((-soft).reshape(-1).tolist()), blocks.vector_sink_b())
    assert np.array_equal(decoded.reshape(words, info_bits), code.decode(soft))
