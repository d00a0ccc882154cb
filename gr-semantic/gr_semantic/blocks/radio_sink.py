# SPDX-License-Identifier: GPL-3.0-or-later
"""What a radio sends."""

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.message_block import WORK_DONE, MessageBlock, guarded_work
from gr_semantic.blocks.radios import shared_radio


class RadioSink(MessageBlock, gr.sync_block):
    """Samples for a radio to send. A source and a sink with the same URI are one radio.

    Input: complex64 samples; mean power 1 (a frame's data) is sent ``backoff_db`` below full scale. Without samples
    nothing is sent. When the flowgraph stops, and on every other way out, the transmitter is off.
    Output ``status``: says when the radio is lost and back; an error if it does not come back.

    Args:
        uri: ip:HOST, usb:BUS.ADDRESS.INTERFACE or serial:NUMBER; or a RadioKeeper.
        sample_rate_hz: of the radio, both directions.
        lo_hz: carrier to send on.
        attenuation_db: of the transmitter; below 30 only with strong_transmit=True.
        backoff_db: OFDM's peaks lie 10 to 12 dB above its mean.
        settings: further fields of RadioConfig.

    Raises:
        UserError: a value out of its range.
    """

    def __init__(self, uri, sample_rate_hz=1e6, lo_hz=2.4e9, attenuation_db=30.0, backoff_db=14.0, **settings):
        fields = {"sample_rate_hz": float(sample_rate_hz), "tx_lo_hz": float(lo_hz)}
        fields |= {"tx_attenuation_db": float(attenuation_db), "backoff_db": float(backoff_db)}
        self.radio = shared_radio(uri, fields | settings)
        gr.sync_block.__init__(self, name="semantic_radio_sink", in_sig=[np.complex64], out_sig=None)
        self._scale = np.float32(10 ** (-self.radio.keeper.config.backoff_db / 20))
        self.open_ports()
        self.radio.attach(self)

    def set_attenuation_db(self, attenuation_db):
        """Change the attenuation while running."""
        self.radio.try_to(self, self.radio.keeper.set_tx_attenuation_db, attenuation_db)

    def start(self):
        return self.radio.start(self)

    def stop(self):
        return self.radio.stop(self)

    @guarded_work
    def work(self, input_items, output_items):
        samples = input_items[0]
        return len(samples) if self.radio.keeper.transmit(samples * self._scale) else WORK_DONE
