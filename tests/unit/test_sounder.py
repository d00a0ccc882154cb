# SPDX-License-Identifier: GPL-3.0-or-later
"""The sounder tells SNR, carrier, bit errors and the channel's response, and hears nothing where there is nothing."""

import math

import numpy as np
import pytest

from gr_semantic.channel import ChannelConfig
from gr_semantic.link.ota_preflight import level_dbfs, spectrum
from gr_semantic.link.sounder import Sounder
from gr_semantic.modem import Waveform

LO_HZ, RATE_HZ = 2.4e9, 1e6
WF = Waveform.load("ofdm64")


@pytest.fixture(scope="module")
def sounder():
    return Sounder(WF, 0x51, 10, RATE_HZ, LO_HZ)


def through(sounder, seed=1, **fields):
    samples = np.concatenate([np.zeros(5000), sounder.samples, np.zeros(5000)]).astype(np.complex64)
    return ChannelConfig(**fields).build(RATE_HZ, seed).process(samples)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 25.0])
def test_numbers_are_those_of_the_channel(sounder, snr_db):
    cfo_hz, ppm = -48_000.0, 20.0  # one crystal: the transmitter's carrier and clock are both 20 ppm low
    found = sounder.evaluate(through(sounder, snr_db=snr_db, cfo_hz=cfo_hz, sro_ppm=ppm))
    assert found.frames == 10 and found.cfo_hz == pytest.approx(cfo_hz, abs=10)
    assert found.snr_db == pytest.approx(snr_db, abs=0.3) and found.tone_snr_db == pytest.approx(snr_db, abs=0.4)
    assert found.evm_db == pytest.approx(-snr_db, abs=0.6)
    theory = 0.5 * math.erfc(math.sqrt(10 ** (snr_db / 10) / 2))
    assert found.ber == pytest.approx(theory, rel=0.15, abs=1e-3) and found.bits == 10 * 48 * 16 * 2


def test_echoes_show_in_the_response_and_the_delay_spread(sounder):
    flat = sounder.evaluate(through(sounder, snr_db=30))
    echoes = sounder.evaluate(through(sounder, snr_db=30, multipath="tdl-a:3000ns"))
    ripple_db = [np.ptp(20 * np.log10(np.abs(one.response))) for one in (flat, echoes)]
    assert ripple_db[0] < 3 < ripple_db[1]
    assert flat.delay_spread_s < 1.0e-6 < 1.5e-6 < echoes.delay_spread_s


def test_nothing_is_heard_in_noise_and_of_other_links(sounder):
    noise = (np.random.default_rng(2).standard_normal((60_000, 2)) @ [1, 1j]).astype(np.complex64)
    assert sounder.evaluate(noise) is None
    assert Sounder(WF, 0x52, 10, RATE_HZ, LO_HZ).evaluate(through(sounder, snr_db=20)) is None


def test_a_sounder_that_is_cut_off_still_has_its_frames(sounder):
    found = sounder.evaluate(through(sounder, snr_db=20)[: 5000 + len(sounder.samples) // 2])
    assert 0 < found.frames <= 10 and found.tone_snr_db is None and found.response is None


def test_level_and_spectrum():
    tone = (0.1 * np.exp(2j * np.pi * 0.125 * np.arange(8192))).astype(np.complex64)
    assert level_dbfs(tone) == pytest.approx(-20, abs=0.01) and level_dbfs(tone[:0]) == -200
    frequency_hz, power_db = spectrum(tone, RATE_HZ)
    assert frequency_hz[power_db.argmax()] == pytest.approx(125e3, abs=2000)
    assert power_db.max() == pytest.approx(-20, abs=0.1)
