# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers for tests that run blocks in flowgraphs."""

import threading
import time

import numpy as np
import pmt
from gnuradio import gr

from gr_semantic.blocks.pdu import make_pdu, read_pdu

WAIT_S = 30  # far more than anything here takes: only a hang reaches it


class Collector(gr.basic_block):
    """Keeps every PDU that arrives on ``in`` as (meta, vector)."""

    def __init__(self):
        gr.basic_block.__init__(self, name="collector", in_sig=None, out_sig=None)
        self.pdus = []
        self._arrived = threading.Condition()
        self.message_port_register_in(pmt.intern("in"))
        self.set_msg_handler(pmt.intern("in"), self.on_message)

    def on_message(self, message):
        with self._arrived:
            self.pdus.append(read_pdu(message))
            self._arrived.notify_all()

    def wait_for(self, count):
        """The PDUs once there are ``count``; fails if they do not come."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.pdus) >= count, WAIT_S), (
                f"{len(self.pdus)} of {count} messages"
            )
            return list(self.pdus)

    @property
    def metas(self):
        return [meta for meta, _ in self.pdus]


class Bench(gr.top_block):
    """A flowgraph around one block: collectors on its message outputs, messages posted to its inputs."""

    def __init__(self, block, *outputs):
        gr.top_block.__init__(self, "bench")
        self.block = block
        self.collectors = {}
        for port in (*outputs, "status"):
            self.collectors[port] = Collector()
            self.msg_connect(block, port, self.collectors[port], "in")

    def post(self, port, meta, vector=None):
        self.post_raw(port, make_pdu(meta, vector))

    def post_raw(self, port, message):
        self.block.to_basic_block()._post(pmt.intern(port), message)

    def __getitem__(self, port):
        return self.collectors[port]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()
        self.wait()


def wait_until(condition):
    """Poll until the condition holds; fails if it never does."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.005)


def random_symbols(rng, count, budget):
    """count x budget complex64 of unit mean power."""
    values = rng.standard_normal((count, budget, 2)).astype(np.float32).view(np.complex64)[..., 0]
    return values / np.sqrt(np.float32(2))
