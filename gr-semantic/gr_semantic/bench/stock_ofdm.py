# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Radio's own OFDM chain (gr-digital), for comparison: packets to samples, and samples to packets."""

import time

import numpy as np
import pmt
from gnuradio import blocks, digital, gr

FFT_LEN, CP_LEN, CARRIERS = 64, 16, 48
_TAG = "packet_len"


def packet_bytes(payload_symbols: int) -> int:
    """Bytes of a packet that takes this many QPSK payload symbols, its CRC-32 left out."""
    return payload_symbols * CARRIERS * 2 // 8 - 4


def frames(count: int, payload_symbols: int, seed: int = 0) -> np.ndarray:
    """Back-to-back frames (complex64): two sync words, a BPSK header symbol, QPSK payload symbols."""
    sink = blocks.vector_sink_c()
    transmitter(count, payload_symbols, sink, seed).run()
    return np.array(sink.data(), dtype=np.complex64)


def transmitter(count: int, payload_symbols: int, sink, seed: int = 0) -> gr.top_block:
    """A flowgraph that sends so many packets of random bytes through digital.ofdm_tx into a sink."""
    size = packet_bytes(payload_symbols)
    data = np.random.default_rng(seed).integers(0, 256, count * size, dtype=np.uint8)
    tb = gr.top_block()
    source = blocks.vector_source_b(data.tolist(), False)
    tagger = blocks.stream_to_tagged_stream(gr.sizeof_char, 1, size, _TAG)
    transmitter = digital.ofdm_tx(
        fft_len=FFT_LEN, cp_len=CP_LEN, packet_length_tag_key=_TAG, bps_header=1, bps_payload=2, rolloff=0
    )
    tb.connect(source, tagger, transmitter, sink)
    return tb


def receive(samples: np.ndarray) -> tuple[int, float]:
    """Packets with a right CRC-32 among the samples, and the processor time (s) that finding them took.

    The chain is digital.ofdm_rx: ofdm_sync_sc_cfb, header_payload_demux, chanest, static equaliser.
    """
    tb = gr.top_block()
    source = blocks.vector_source_c(samples.tolist(), False)
    receiver = digital.ofdm_rx(
        fft_len=FFT_LEN,
        cp_len=CP_LEN,
        packet_length_tag_key=_TAG,
        frame_length_tag_key="frame_len",
        bps_header=1,
        bps_payload=2,
    )
    tags = blocks.tag_debug(gr.sizeof_char, "", _TAG)
    tags.set_display(False)
    tags.set_save_all(True)
    tb.connect(source, receiver, tags)
    began = time.process_time()
    tb.run()
    spent_s = time.process_time() - began
    return sum(1 for tag in tags.current_tags() if pmt.symbol_to_string(tag.key) == _TAG), spent_s
