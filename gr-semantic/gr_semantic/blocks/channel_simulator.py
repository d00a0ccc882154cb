# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated medium between transmitter and receiver."""

import threading
from pathlib import Path

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.message_block import MessageBlock, guarded_work
from gr_semantic.channel import CarrierOffset, ChannelConfig, Gain, Noise, SampleRateOffset
from gr_semantic.errors import UserError

_LEAST_ROOM = 16  # output samples to wait for: with a sample-rate offset a few may be needed for one input


class ChannelSimulator(MessageBlock, gr.basic_block):
    """Passes samples through a ``gr_semantic.channel.Channel``.

    Input: complex64 samples. Output: complex64 samples, as many as come in, or (1 + sro_ppm / 1e6) times as many. They
    are those of ``Channel.process``, to the last bit. Tags do not pass.

    Args:
        sample_rate_hz: of both streams.
        seed: of noise, fading and phase noise; 0 or more.
        config: base settings: a ChannelConfig, a dict of its fields, the path of a YAML file; None: a clean channel.
        fields: fields of ChannelConfig that take the place of the base's.

    Raises:
        UserError: an unknown field, or a value out of range.
    """

    def __init__(self, sample_rate_hz, seed=0, config=None, **fields):
        self.config = _read(config, fields)
        self._sample_rate_hz, self._seed = sample_rate_hz, seed
        self.channel = self.config.build(sample_rate_hz, seed)
        gr.basic_block.__init__(self, name="semantic_channel_simulator", in_sig=[np.complex64], out_sig=[np.complex64])
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self.set_min_noutput_items(_LEAST_ROOM)
        self.open_ports()
        self._lock = threading.Lock()

    def forecast(self, noutput_items, ninputs):
        return [1] * ninputs

    @guarded_work
    def general_work(self, input_items, output_items):
        room = len(output_items[0])
        with self._lock:
            count = min(len(input_items[0]), self.channel.input_limit(room))
            samples = self.channel.process(input_items[0][:count])
        output_items[0][: len(samples)] = samples
        self.consume(0, count)
        return len(samples)

    def set_snr_db(self, snr_db):
        """From the next sample on: a number, [time_s, snr_db] pairs, or None for no noise."""
        self._set("snr_db", snr_db, Noise)

    def set_gain_db(self, gain_db):
        """From the next sample on."""
        self._set("gain_db", gain_db, Gain)

    def set_cfo_hz(self, cfo_hz):
        """From the next sample on, with a continuous phase."""
        self._set("cfo_hz", cfo_hz, CarrierOffset)

    def set_sro_ppm(self, sro_ppm):
        """From the next sample on, without a step in time. The block must have started with an sro_ppm other than 0."""
        self._set("sro_ppm", sro_ppm, SampleRateOffset)

    def set_impairments(self, fields: dict):
        """Change any fields of ChannelConfig (a dict: Companion would spoil keywords that are names of variables).

        If one is new, the channel starts anew with the next sample: from its seed, at link time 0. A wrong value is
        reported, and the old channel stays.
        """
        try:
            config = ChannelConfig.from_dict(self.config.to_dict() | fields)
            if config != self.config:
                channel = config.build(self._sample_rate_hz, self._seed)
                with self._lock:
                    self.config, self.channel = config, channel
        except UserError as mistake:
            self.report("warning", mistake)

    def _set(self, name, value, kind):
        """Check and hand a value to the running channel; a wrong one is reported, and the old one stays."""
        try:
            value = getattr(ChannelConfig(**{name: value}), name)
            impairment = self.channel.find(kind)
            if impairment is None:
                if value == getattr(self.config, name):
                    return
                raise UserError(
                    f"{name} was 0 at the start, so it is not in the chain; start with another value to move it"
                )
            with self._lock:
                getattr(impairment, f"set_{name}")(value)
                self.config = self.config.model_copy(update={name: value})
        except UserError as mistake:
            self.report("warning", mistake)


def _read(config, fields):
    if isinstance(config, (str, Path)):
        config = ChannelConfig.from_yaml(config)
    base = config.to_dict() if isinstance(config, ChannelConfig) else {} if config is None else config
    return ChannelConfig.from_dict({**base, **fields} if isinstance(base, dict) else base)
