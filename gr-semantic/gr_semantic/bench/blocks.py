# SPDX-License-Identifier: GPL-3.0-or-later
"""Each GNU Radio block beside GNU Radio's own, or beside the plain calls that it wraps. Processor time."""

import threading
import time

import numpy as np
import pmt
from gnuradio import blocks, channels, gr

from ..blocks.channel_simulator import ChannelSimulator
from ..blocks.ofdm_receiver import OfdmReceiver
from ..blocks.ofdm_transmitter import OfdmTransmitter
from ..blocks.pdu import make_pdu, read_pdu
from ..blocks.semantic_decoder import SemanticDecoder
from ..blocks.semantic_encoder import SemanticEncoder
from ..modem import Header, Waveform
from . import stock_ofdm
from .modem import dense_frames, filling
from .timing import flowgraph_time, processor_time

FRAMES = 200
IMAGES_PER_FRAME = 48
BUDGET = 8
_ITEM = gr.sizeof_gr_complex
_PATIENCE_S = 600


def measure(codec, images, waveform: str = "ofdm64", payload_symbols: int = 10) -> list[dict]:
    """Rows {block, beside, unit, ours, theirs, ratio}: units a second of one core's time; ratio: ours over theirs."""
    wf = Waveform.load(waveform)
    stock = stock_ofdm.frames(FRAMES, payload_symbols)
    rows = [
        _row(
            "OFDM transmitter",
            "digital.ofdm_tx",
            "Msps",
            FRAMES * len(dense_frames(wf, 1, payload_symbols)) / 1e6 / _transmitter_s(wf, payload_symbols),
            len(stock) / 1e6 / flowgraph_time(lambda: _stock_transmitter(payload_symbols)),
        ),
        _row(
            "OFDM receiver",
            "digital.ofdm_rx",
            "Msps",
            *_receivers_msps(wf, payload_symbols, stock),
        ),
        _row("channel simulator", "channels.channel_model", "Msps", *_channels_msps()),
        _row("semantic encoder", "codec.encode", "images", *_encoders(codec, images)),
        _row("semantic decoder", "codec.decode", "images", *_decoders(wf, codec, images)),
    ]
    return rows


def _row(block, beside, unit, ours, theirs):
    return {"block": block, "beside": beside, "unit": unit, "ours": ours, "theirs": theirs, "ratio": ours / theirs}


def _stock_transmitter(payload_symbols):
    return stock_ofdm.transmitter(FRAMES, payload_symbols, blocks.null_sink(_ITEM))


def _transmitter_s(wf, payload_symbols):
    images, budget = filling(wf, payload_symbols)
    slot_len = len(dense_frames(wf, 1, payload_symbols))
    vector = np.ones(images * budget, np.complex64)
    header = {"kind": "data", "budget": budget, "image_count": images}
    messages = [make_pdu({"slot": slot, "sequence": slot, **header}, vector) for slot in range(FRAMES)]

    def make():
        tb = gr.top_block()
        tb.transmitter = OfdmTransmitter(wf, slot_len, FRAMES)
        tb.head, tb.sink = blocks.head(_ITEM, FRAMES * slot_len), blocks.null_sink(_ITEM)
        tb.connect(tb.transmitter, tb.head, tb.sink)
        return tb

    def post(tb):
        for message in messages:
            _post(tb.transmitter, "symbols", message)
        while tb.head.nitems_written(0) < FRAMES * slot_len:
            time.sleep(0.005)
        _post(tb.transmitter, "symbols", make_pdu({"kind": "end"}))

    return flowgraph_time(make, post)


def _receivers_msps(wf, payload_symbols, stock):
    samples = dense_frames(wf, FRAMES, payload_symbols)

    def make(receiver):
        tb = gr.top_block()
        tb.source, tb.receiver = blocks.vector_source_c(samples.tolist()), receiver()
        tb.connect(tb.source, tb.receiver)
        return tb

    source_s = flowgraph_time(lambda: make(lambda: blocks.null_sink(_ITEM)))
    ours_s = flowgraph_time(lambda: make(lambda: OfdmReceiver(wf, sample_rate_hz=5e6)))
    theirs_s = min(stock_ofdm.receive(stock)[1] for _ in range(3))
    return len(samples) / 1e6 / (ours_s - source_s), len(stock) / 1e6 / theirs_s


def _channels_msps(count: int = 2_000_000):
    """The same impairments in both: three static paths, carrier and clock offset, noise at 10 dB."""
    fields = {"snr_db": 10.0, "cfo_hz": 500.0, "sro_ppm": 5.0, "multipath": "tdl-a:1000ns"}

    def make(block):
        tb = gr.top_block()
        tb.source, tb.head = blocks.null_source(_ITEM), blocks.head(_ITEM, count)
        tb.channel, tb.sink = block(), blocks.null_sink(_ITEM)
        tb.connect(tb.source, tb.head, tb.channel, tb.sink)
        return tb

    ours_s = flowgraph_time(lambda: make(lambda: ChannelSimulator(1e6, 1, fields)))
    theirs_s = flowgraph_time(
        lambda: make(lambda: channels.channel_model(10 ** (-10 / 20), 500e-6, 1 + 5e-6, [1, 0.5, 0.2j], 1))
    )
    return count / 1e6 / ours_s, count / 1e6 / theirs_s


class _Counter(gr.basic_block):
    """Counts the messages on its port `in`."""

    def __init__(self, wanted):
        gr.basic_block.__init__(self, name="counter", in_sig=None, out_sig=None)
        self.done, self._left = threading.Event(), wanted
        self.message_port_register_in(pmt.intern("in"))
        self.set_msg_handler(pmt.intern("in"), self.on_message)

    def on_message(self, message):
        self._left -= read_pdu(message)[0].get("kind") != "tick"
        if not self._left:
            self.done.set()


def _through(block, in_port, out_port, messages):
    """Processor time (s) in which a message block answers all messages."""
    tb, counter = gr.top_block(), _Counter(len(messages) + 1)
    tb.msg_connect(block, out_port, counter, "in")
    tb.start()
    try:
        _post(block, in_port, messages[0])  # to warm up

        began = time.process_time()
        for message in messages:
            _post(block, in_port, message)
        if not counter.done.wait(_PATIENCE_S):
            raise RuntimeError(f"{block.name()} did not answer all messages")
        return time.process_time() - began
    finally:
        tb.stop()
        tb.wait()


def _encoders(codec, images):
    chosen = images.images[:IMAGES_PER_FRAME]
    messages = [
        make_pdu(
            {"slot": slot, "snr_db": 10.0, "budget": BUDGET, "sequence": slot, "images": images.name},
            np.arange(IMAGES_PER_FRAME, dtype=np.int32),
        )
        for slot in range(20)
    ]
    count = 20 * IMAGES_PER_FRAME
    block_s = _through(SemanticEncoder(codec, lockstep=True), "images", "symbols", messages)
    plain_s = 20 * processor_time(lambda: codec.encode(chosen, 10.0, BUDGET), 10)
    return count / block_s, count / plain_s


def _decoders(wf, codec, images):
    symbols = codec.encode(images.images[:IMAGES_PER_FRAME], 10.0, BUDGET)
    noise_var = np.full(symbols.shape, 0.1, np.float32)
    header = Header("data", model_id16=codec.model_id16, budget=BUDGET, image_count=len(symbols))
    fields = {name: getattr(header, name) for name in ("kind", "link_id", "sequence", "model_id16", "budget")}
    measured = {"measured_snr_db": 10.0, "cfo_hz": 0.0, "sro_ppm": 0.0, "evm_db": -10.0}
    meta = {**fields, "image_count": len(symbols), "snr_db": 10.0, "start_sample": 0, "frame_len": 1, **measured}
    messages = [make_pdu(meta | {"noise_var": noise_var.ravel()}, symbols.ravel()) for _ in range(FRAMES)]
    count = FRAMES * len(symbols)
    block_s = _through(SemanticDecoder(codec, lockstep=True), "frames", "results", messages)
    plain_s = FRAMES * processor_time(lambda: codec.decode(symbols, noise_var), 30)
    return count / block_s, count / plain_s


def _post(block, port, message):
    block.to_basic_block()._post(pmt.intern(port), message)
