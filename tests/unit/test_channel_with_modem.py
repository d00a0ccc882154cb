# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel's settings as the modem's receiver measures them: same definitions, same signs."""

import numpy as np
import pytest

from gr_semantic.channel import ChannelConfig
from gr_semantic.modem import Header, Waveform, modulate, receive

RATE_HZ = 1e6


def receive_through(fields, frames=40):
    wf, rng = Waveform.load("ofdm64"), np.random.default_rng(1)
    parts = []
    for sequence in range(frames):
        symbols = (rng.standard_normal((64, 16, 2)) * np.sqrt(0.5)).astype(np.float32).view(np.complex64)[..., 0]
        header = Header("data", sequence=sequence, budget=16, image_count=64)
        parts += [modulate(wf, header, symbols), np.zeros(1000, np.complex64)]
    channel = ChannelConfig(**fields).build(RATE_HZ, seed=2)
    seen = receive(wf, channel.process(np.concatenate(parts)), RATE_HZ)
    assert [frame.header.sequence for frame in seen] == list(range(frames))
    return seen


@pytest.mark.parametrize("snr_db", [8.0, 20.0])
def test_snr_is_what_the_receiver_measures(snr_db):
    frames = receive_through({"snr_db": snr_db})
    assert np.mean([frame.snr_db for frame in frames]) == pytest.approx(snr_db, abs=0.4)


def test_gain_moves_the_snr():
    frames = receive_through({"snr_db": 20.0, "gain_db": -8.0})
    assert np.mean([frame.snr_db for frame in frames]) == pytest.approx(12.0, abs=0.4)


@pytest.mark.parametrize("sign", [1, -1])
def test_signs_of_carrier_and_clock_offset(sign):
    frames = receive_through({"snr_db": 30.0, "cfo_hz": sign * 868.0, "sro_ppm": sign * 40.0})
    assert np.median([frame.cfo_hz for frame in frames]) == pytest.approx(sign * 868.0, abs=5)
    assert np.median([frame.sro_ppm for frame in frames]) == pytest.approx(sign * 40.0, abs=8)
