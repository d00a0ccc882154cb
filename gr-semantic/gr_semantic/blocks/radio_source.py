# SPDX-License-Identifier: GPL-3.0-or-later
"""What a radio receives."""

import time

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.message_block import WORK_DONE, MessageBlock, guarded_work
from gr_semantic.blocks.radios import shared_radio

_TAIL_SAMPLES = 1 << 16
_IDLE_S = 0.01


class RadioSource(MessageBlock, gr.sync_block):
    """Samples that a radio receives. A source and a sink with the same URI are one radio.

    Output: complex64 samples, full scale 1.0. A radio that is unplugged is waited for; then the stream goes on. Behind
    the end of a file come zeros, so that the blocks behind finish what they have.
    Output ``status``: says so; an error if it does not come back, and then the stream ends.

    Args:
        uri: ip:HOST, usb:BUS.ADDRESS.INTERFACE or serial:NUMBER; or a RadioKeeper.
        sample_rate_hz: of the radio, both directions.
        lo_hz: carrier that is heard.
        gain_db: manual receive gain.
        settings: further fields of RadioConfig.

    Raises:
        UserError: a value out of its range.
    """

    def __init__(self, uri, sample_rate_hz=1e6, lo_hz=2.4e9, gain_db=30.0, **settings):
        fields = {"sample_rate_hz": float(sample_rate_hz), "rx_lo_hz": float(lo_hz), "rx_gain_db": float(gain_db)}
        self.radio = shared_radio(uri, fields | settings)
        gr.sync_block.__init__(self, name="semantic_radio_source", in_sig=None, out_sig=[np.complex64])
        self._tail_left = _TAIL_SAMPLES
        self.open_ports()
        self.radio.attach(self)

    def set_gain_db(self, gain_db):
        """Change the receive gain while running."""
        self.radio.try_to(self, self.radio.keeper.set_rx_gain_db, gain_db)

    def start(self):
        return self.radio.start(self)

    def stop(self):
        return self.radio.stop(self)

    @guarded_work
    def work(self, input_items, output_items):
        keeper = self.radio.keeper
        samples = keeper.receive(len(output_items[0]))
        if not len(samples) and keeper.failed:
            return WORK_DONE
        if not len(samples) and keeper.ended:
            return self._tail(output_items[0])
        output_items[0][: len(samples)] = samples
        return len(samples)

    def _tail(self, output):
        count = min(len(output), self._tail_left)
        self._tail_left -= count
        output[:count] = 0
        if not count:
            time.sleep(_IDLE_S)  # the scheduler would call again at once
        return count
