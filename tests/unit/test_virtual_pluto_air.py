# SPDX-License-Identifier: GPL-3.0-or-later
"""What one virtual Pluto hears of another: levels, noise, carriers, bands, clocks, echoes, events."""

import json
import logging

import numpy as np
import pytest
from virtual_air import LO_HZ, RATE_HZ, TwoPlutos, power_db, strongest_hz, tone_power_db

from gr_semantic.modem import Header, Waveform, modulate, receive
from gr_semantic.virtual_pluto import SetNoiseFigure, SetPath, SetPpm
from gr_semantic.virtual_pluto.transceiver import Tone, synthesised_hz

TX_DBM, RX_DBM, PATH_DB, RX_GAIN_DB = 7, 1, -60, 40  # the defaults, and TwoPlutos' gain
LEVEL_DB = -6.02 + TX_DBM + PATH_DB + RX_GAIN_DB - RX_DBM  # of a tone of half amplitude, over full scale


def test_level_follows_power_attenuation_path_and_gain():
    for tx_gain_db, path_db, rx_gain_db in ((0, -60, 40), (-20, -60, 60), (-10.25, -35, 20)):
        plutos = TwoPlutos({"default_path": {"gain_db": path_db}}, tx_gain_db=tx_gain_db, rx_gain_db=rx_gain_db)
        plutos.send_tone(100e3)
        expected_db = -6.02 + TX_DBM + tx_gain_db + path_db + rx_gain_db - RX_DBM
        assert tone_power_db(plutos.listen(0.05), 100e3) == pytest.approx(expected_db, abs=0.05)


def test_noise_is_thermal_plus_noise_figure_plus_gain():
    plutos = TwoPlutos({"radios": [{}, {"noise_figure_db": 8}]}, rx_gain_db=70)
    assert power_db(plutos.listen(0.2)) == pytest.approx(-174 + 60 + 8 + 70 - RX_DBM, abs=0.1)
    plutos.air.apply(SetNoiseFigure(radio=1, noise_figure_db=28))
    assert power_db(plutos.listen(0.2)) == pytest.approx(-174 + 60 + 28 + 70 - RX_DBM, abs=0.1)


def test_receiver_bandwidth_narrows_the_noise():
    plutos = TwoPlutos({"radios": [{}, {"noise_figure_db": 20}]}, rx_gain_db=60, rx_bandwidth_hz=250_000)
    assert power_db(plutos.listen(0.2)) == pytest.approx(-174 + 54 + 20 + 60 - RX_DBM, abs=0.2)


def test_carrier_difference_shifts_the_spectrum():
    plutos = TwoPlutos()
    plutos.send_tone(100e3)
    plutos.set(1, rx_lo_hz=LO_HZ + 300_000)
    heard = plutos.listen(0.05)
    assert strongest_hz(heard) == pytest.approx(-200e3, abs=3)  # 2 Hz of the synthesisers' steps
    assert tone_power_db(heard, strongest_hz(heard)) == pytest.approx(LEVEL_DB, abs=0.1)


@pytest.mark.parametrize("ppm", [-20, 0, 20])
@pytest.mark.parametrize("shift_hz", [500_000, 700_000, -500_000])
def test_half_of_the_spectrum_overlaps(ppm, shift_hz):
    """At half the sample rate and beyond, with clocks that differ: what overlaps is heard where it belongs."""
    plutos = TwoPlutos({"radios": [{"ppm": ppm}, {"noise_figure_db": 0}]})
    tone_hz = np.sign(shift_hz) * 400e3
    plutos.send_tone(tone_hz)
    plutos.set(1, rx_lo_hz=LO_HZ + shift_hz)
    heard = plutos.listen(0.05)
    expected_hz = tone_hz - shift_hz + ppm * 1e-6 * LO_HZ
    assert strongest_hz(heard) == pytest.approx(expected_hz, abs=15)
    assert power_db(heard) == pytest.approx(LEVEL_DB, abs=0.2)


@pytest.mark.parametrize("shift_hz", [450_000, 600_000, 1_000_000, 5_000_000])
def test_what_falls_outside_of_the_band_does_not_fold_back(shift_hz):
    plutos = TwoPlutos()
    plutos.send_tone(-200e3)
    plutos.set(1, rx_lo_hz=LO_HZ + shift_hz)  # the tone lies at -650 kHz and beyond
    assert power_db(plutos.listen(0.05)) < LEVEL_DB - 50


def test_bandwidth_of_each_end_limits_the_signal():
    plutos = TwoPlutos()
    plutos.send_tone(300e3)
    assert tone_power_db(plutos.listen(0.05), 300e3) == pytest.approx(LEVEL_DB, abs=0.1)
    for radio, name in ((0, "tx_bandwidth_hz"), (1, "rx_bandwidth_hz")):
        plutos.set(radio, **{name: 400_000})
        assert tone_power_db(plutos.listen(0.05), 300e3) < LEVEL_DB - 50
        plutos.set(radio, **{name: 18_000_000})


def test_crystals_move_carriers():
    plutos = TwoPlutos({"radios": [{"ppm": 12.5}, {"ppm": -7.5}]})
    plutos.send_tone(100e3)
    assert strongest_hz(plutos.listen(0.1)) == pytest.approx(100e3 + 20e-6 * LO_HZ, abs=5)
    plutos.air.apply(SetPpm(radio=1, ppm=12.5))
    assert strongest_hz(plutos.listen(0.1)) == pytest.approx(100e3, abs=1)


def test_xo_correction_undoes_the_crystals_error():
    plutos = TwoPlutos({"radios": [{"ppm": 25}, {}]})
    plutos.send_tone(100e3)
    plutos.set(0, xo_hz=40_001_000)
    assert strongest_hz(plutos.listen(0.1)) == pytest.approx(100e3, abs=1)


def test_crystals_move_sample_clocks():
    """A chirp sent again and again: its period is measured by the receiver's clock."""
    plutos = TwoPlutos({"radios": [{"ppm": 100}, {"ppm": -100}]}, tx_lo_hz=325_000_000, rx_lo_hz=325_000_000)
    time = np.arange(5000)
    chirp = 0.7 * np.exp(1j * np.pi * (0.6 / 5000) * (time - 2500) ** 2)
    plutos.send(chirp)
    heard = plutos.listen(1.0)
    late = len(heard) - 10_000
    offset_hz = 325e6 * 200e-6

    def place(start):
        piece = heard[start : start + 10_000] * np.exp(-2j * np.pi * offset_hz / RATE_HZ * np.arange(10_000))
        match = np.abs(np.correlate(piece, chirp, "valid"))[:5000]
        return int(np.argmax(match))

    periods = round((late - 0) / 5000)
    drift = (late + place(late)) - place(0) - 5000 * periods
    drift -= 5000 * round(drift / 5000)
    assert drift == pytest.approx(-200e-6 * late, abs=3)


def test_synthesiser_is_within_a_few_hz():
    for lo_hz in (325_000_000, 915_123_457, 2_400_000_000, 3_799_999_999):
        assert abs(synthesised_hz(lo_hz) - lo_hz) < 3


def test_clipping_is_at_12_bits_and_counted():
    plutos = TwoPlutos(rx_gain_db=71)
    plutos.send_tone(100e3)
    heard = plutos.listen(0.05) * 2048
    assert heard.real.max() == 2047 and heard.real.min() == -2048
    assert plutos.plutos[1].clipped > 0.5 * len(heard)
    plutos.set(1, rx_gain_db=40)
    plutos.listen(0.01)
    before = plutos.plutos[1].clipped
    plutos.listen(0.05)
    assert plutos.plutos[1].clipped == before


def test_front_end_errors():
    radios = [{}, {"dc_offset_dbfs": -30, "iq_gain_db": 1.0}]
    plutos = TwoPlutos({"radios": radios})
    plutos.send_tone(100e3)
    heard = plutos.listen(0.1)
    gain = 10 ** (1 / 20)
    assert tone_power_db(heard, 0) == pytest.approx(-30, abs=0.3)
    image_db = tone_power_db(heard, -100e3) - tone_power_db(heard, 100e3)
    assert image_db == pytest.approx(20 * np.log10((gain - 1) / (gain + 1)), abs=0.3)


def test_transmitter_errors():
    plutos = TwoPlutos({"radios": [{"tx_dc_offset_dbfs": -20, "tx_iq_phase_deg": 5}, {"noise_figure_db": 0}]})
    plutos.send_tone(100e3)
    heard = plutos.listen(0.1)
    assert tone_power_db(heard, 0) - tone_power_db(heard, 100e3) == pytest.approx(-20 + 6, abs=0.3)
    image_db = tone_power_db(heard, -100e3) - tone_power_db(heard, 100e3)
    assert image_db == pytest.approx(20 * np.log10(np.tan(np.radians(2.5))), abs=0.5)


def test_multipath_is_that_of_the_channel():
    """The tones of a comb come with the gains that the channel simulator's Multipath gives them."""
    from gr_semantic.channel import Multipath
    from gr_semantic.channel.channel import Channel

    path = {"multipath": "tdl-a:300ns", "gain_db": -60}
    plutos = TwoPlutos({"default_path": path}, rx_gain_db=50)
    tones_hz = np.arange(-400e3, 401e3, 100e3)
    time = np.arange(10_000)
    comb = 0.05 * np.exp(2j * np.pi * tones_hz[:, None] / RATE_HZ * time).sum(axis=0)
    plutos.send(comb)
    heard = plutos.listen(0.1)
    air = plutos.config.path(0, 1).channel().build(RATE_HZ, plutos.air._seed(1, 0, 1))
    multipath = Channel([air.find(Multipath)], RATE_HZ).process(np.tile(comb, 2))[10_000:]
    for tone_hz in tones_hz:
        got = tone_power_db(heard, tone_hz) - (TX_DBM - 60 + 50 - RX_DBM)
        assert got == pytest.approx(tone_power_db(multipath, tone_hz), abs=0.3)


@pytest.mark.parametrize("snr_db", [3, 12, 20])
def test_snr_that_the_modem_measures(snr_db):
    """Levels and noise meet the project's definition of SNR; the crystals are 20 ppm apart."""
    waveform = Waveform.load("ofdm64")
    rng = np.random.default_rng(4)
    header = Header(kind="data", link_id=1, sequence=1, model_id16=1, budget=4, image_count=48, snr_db=10)
    symbols = np.exp(2j * np.pi * rng.uniform(size=(48, 4))).astype(np.complex64)
    frame = modulate(waveform, header, symbols)
    burst = np.concatenate([frame, np.zeros(500)]) / 8
    noise_dbm = -174 + 10 * np.log10(RATE_HZ) + 5
    path_db = snr_db + noise_dbm - TX_DBM + 20 * np.log10(8)
    radios = [{"ppm": 10}, {"ppm": -10, "noise_figure_db": 5}]
    plutos = TwoPlutos({"radios": radios, "default_path": {"gain_db": path_db}}, rx_gain_db=65.0)
    plutos.send(burst)
    frames = receive(waveform, plutos.listen(0.3).astype(np.complex64))
    assert len(frames) >= 0.9 * 0.3 * RATE_HZ / len(burst)
    assert np.mean([frame.snr_db for frame in frames]) == pytest.approx(snr_db, abs=0.4)
    assert np.median([frame.cfo_hz for frame in frames]) == pytest.approx(20e-6 * LO_HZ, abs=60)


@pytest.mark.parametrize("fading", [{"fading": "doppler", "doppler_hz": 50}, {"fading": "block"}])
def test_fading_changes_with_time(fading):
    plutos = TwoPlutos({"default_path": {"multipath": "rayleigh", "fading_block_s": 0.02, **fading}})
    plutos.send_tone(100e3)
    heard = plutos.listen(0.4)
    levels_db = [power_db(piece) for piece in np.split(heard[: len(heard) // 8 * 8], 8)]
    assert np.ptp(levels_db) > 3


@pytest.mark.parametrize("delay_s", [1e-3, 12.5e-6, 7.25e-6])
def test_delay(delay_s):
    time = np.arange(5000)
    chirp = 0.7 * np.exp(1j * np.pi * (0.6 / 5000) * (time - 2500) ** 2)
    heard = []
    for delay in (0, delay_s):
        plutos = TwoPlutos({"default_path": {"delay_s": delay}})
        plutos.send(chirp)
        heard.append(plutos.listen(0.02)[:10_000])
    cross = np.fft.fft(heard[1]) * np.conj(np.fft.fft(heard[0]))  # whole periods: the delay is a slope of phase
    padded = np.zeros(4 * len(cross), complex)
    half = len(cross) // 2
    padded[:half], padded[-half:] = cross[:half], cross[half:]
    delay_samples = np.argmax(np.abs(np.fft.ifft(padded))) / 4 % len(chirp)
    assert delay_samples == pytest.approx(delay_s * RATE_HZ, abs=0.26)


@pytest.mark.parametrize(("tx_hz", "rx_hz"), [(2_083_334, 1_000_000), (1_000_000, 3_000_000), (4_000_000, 600_000)])
def test_radios_at_different_rates(tx_hz, rx_hz):
    plutos = TwoPlutos({"radios": [{"ppm": 10}, {"ppm": 10, "noise_figure_db": 0}]})
    plutos.set(0, rate_hz=tx_hz)
    plutos.set(1, rate_hz=rx_hz, rx_lo_hz=LO_HZ + 50_000)
    plutos.send_tone(150e3)
    heard = plutos.listen(0.05)
    tone_hz = strongest_hz(heard, rx_hz)
    assert tone_hz == pytest.approx(100e3, abs=100)  # the tone is rounded to whole periods of the buffer
    assert tone_power_db(heard, tone_hz, rx_hz) == pytest.approx(LEVEL_DB, abs=0.2)
    assert power_db(heard) == pytest.approx(LEVEL_DB, abs=0.3)  # and nothing else


def test_fpga_filters_divide_the_rate_by_8():
    plutos = TwoPlutos()
    plutos.set(1, rx_by_8=True)
    plutos.send_tone(30e3)
    heard = plutos.listen(0.1)
    assert len(heard) == pytest.approx(0.1 * RATE_HZ / 8, rel=0.05)
    assert strongest_hz(heard, RATE_HZ / 8) == pytest.approx(30e3, abs=1)


def test_digital_loopback_returns_the_upper_12_bits():
    plutos = TwoPlutos(loopback=1)
    values = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 4096))
    plutos.send(values[0] + 1j * values[1], radio=1)
    heard = plutos.listen(0.02, settle_s=0)[:4096] * 2048
    expected = np.round(values * 32767).astype(np.int16) >> 4
    assert np.array_equal(heard.real, expected[0]) and np.array_equal(heard.imag, expected[1])


def test_transmitter_off_is_silent():
    plutos = TwoPlutos()
    plutos.send_tone(100e3)
    assert tone_power_db(plutos.listen(0.02), 100e3) > LEVEL_DB - 1
    for setting in ({"tx_lo_off": True}, {"tx_lo_off": False, "ensm_mode": "alert"}):
        plutos.set(0, **setting)
        assert tone_power_db(plutos.listen(0.02), 100e3) < LEVEL_DB - 60
    plutos.set(0, ensm_mode="fdd")
    assert tone_power_db(plutos.listen(0.02), 100e3) > LEVEL_DB - 1


def test_dds_tone():
    plutos = TwoPlutos()
    tones = plutos.plutos[0].transceiver.tones
    assert power_db(plutos.listen(0.02)) < LEVEL_DB - 50  # on at power-on, but with scale 0
    tones[0] = tones[0].__class__(50_000, 90_000, 0.5)
    tones[2] = Tone(50_000, 0, 0.5)
    heard = plutos.listen(0.05)
    assert tone_power_db(heard, 50e3) == pytest.approx(LEVEL_DB, abs=0.1)
    assert tone_power_db(heard, -50e3) < LEVEL_DB - 45


def test_automatic_gain_finds_its_level():
    for mode in ("fast_attack", "slow_attack"):
        plutos = TwoPlutos(gain_mode=mode, rx_gain_db=71.0)
        plutos.send_tone(100e3)
        assert power_db(plutos.listen(0.05, settle_s=0.4)) == pytest.approx(-12, abs=1.5)


def test_a_cable_from_a_radio_to_itself():
    plutos = TwoPlutos({"radios": [{}], "paths": [{"from": 0, "to": 0, "gain_db": -30}]}, rx_gain_db=10)
    plutos.send_tone(100e3)
    heard = plutos.listen(0.05, radio=0)
    assert tone_power_db(heard, 100e3) == pytest.approx(-6.02 + TX_DBM - 30 + 10 - RX_DBM, abs=0.1)


def test_paths_have_directions_and_may_be_missing():
    plutos = TwoPlutos({"default_path": None, "paths": [{"from": 0, "to": 1}]})
    plutos.send_tone(100e3, radio=0)
    plutos.send_tone(200e3, radio=1)
    assert tone_power_db(plutos.listen(0.05, radio=1), 100e3) > LEVEL_DB - 1
    assert power_db(plutos.listen(0.05, radio=0)) < LEVEL_DB - 50


def test_gain_trajectory_and_event():
    plutos = TwoPlutos({"default_path": {"gain_db": [[0, -60], [0.2, -80], [1, -80]]}})
    plutos.air.clock_runs = True
    plutos.send_tone(100e3)
    levels_db = [tone_power_db(plutos.listen(0.02, settle_s=0), 100e3) - LEVEL_DB for _ in range(20)]
    assert levels_db[1] == pytest.approx(-3, abs=0.6) and levels_db[5] == pytest.approx(-11, abs=0.6)
    assert levels_db[-1] == pytest.approx(-20, abs=0.1)
    plutos.air.apply(SetPath(**{"from": 0, "to": 1, "gain_db": -70}))
    assert tone_power_db(plutos.listen(0.02), 100e3) - LEVEL_DB == pytest.approx(-10, abs=0.1)


def test_same_seed_same_samples():
    def heard(seed):
        plutos = TwoPlutos({"seed": seed, "default_path": {"multipath": "tdl-a:100ns"}}, rx_gain_db=70)
        plutos.send_tone(100e3, 0.001)
        return plutos.listen(0.05)

    assert np.array_equal(heard(5), heard(5))
    assert not np.array_equal(heard(5), heard(6))


def test_interferer_from_a_recording(tmp_path):
    rate_hz = 250_000.0
    samples = np.exp(2j * np.pi * 20e3 / rate_hz * np.arange(25_000)).astype(np.complex64) * 0.01
    path = write_sigmf(tmp_path, samples, rate_hz)
    config = {"interferers": [{"file": str(path), "frequency_hz": LO_HZ + 100e3, "power_dbm": -50, "radios": [1]}]}
    plutos = TwoPlutos(config)
    heard = plutos.listen(0.15)  # longer than the recording
    assert strongest_hz(heard) == pytest.approx(120e3, abs=2)
    assert tone_power_db(heard, 120e3) == pytest.approx(-50 + 40 - RX_DBM, abs=0.2)
    assert power_db(plutos.listen(0.05, radio=0)) < -60
    plutos.air.close()


def test_a_path_that_does_not_fit_the_rate_is_deaf_and_says_so(caplog):
    plutos = TwoPlutos({"default_path": {"multipath": "rayleigh", "fading": "doppler", "doppler_hz": 5000}})
    plutos.send_tone(100e3)
    with caplog.at_level(logging.WARNING):
        assert power_db(plutos.listen(0.02)) < LEVEL_DB - 50
    assert len(caplog.records) == 1 and "doppler_hz is 5000" in caplog.text


def write_sigmf(folder, samples, rate_hz):
    """A small recording; its .sigmf-meta."""
    samples.astype("<c8").tofile(folder / "interferer.sigmf-data")
    meta = {
        "global": {"core:datatype": "cf32_le", "core:version": "1.2.0", "core:sample_rate": rate_hz},
        "captures": [{"core:sample_start": 0}],
        "annotations": [],
    }
    path = folder / "interferer.sigmf-meta"
    path.write_text(json.dumps(meta))
    return path
