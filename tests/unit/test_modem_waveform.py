# SPDX-License-Identifier: GPL-3.0-or-later
"""Waveform files and the arrays that follow from them."""

import numpy as np
import pytest
import yaml
from scipy.signal import resample_poly

from gr_semantic.modem import Header, Waveform, WaveformError, frame_len, modulate, receive
from gr_semantic.modem.mapping import cell_order, gather, spread
from gr_semantic.modem.pn import PERIOD, bits


@pytest.fixture
def fields():
    return Waveform.load("ofdm64").model_dump()


def write(tmp_path, fields):
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def test_own_file_equals_name(tmp_path, fields):
    assert Waveform.load(write(tmp_path, fields)) == Waveform.load("ofdm64")


@pytest.mark.parametrize("field, value, named", [
    ("fft_len", 63, "fft_len"), ("fft_len", "many", "fft_len"), ("cp_len", 64, "cp_len"),
    ("edge_carrier", 32, "edge_carrier"),
    ("pilot_carriers", [0, 5], "pilot_carriers"), ("pilot_carriers", [3, 3], "pilot_carriers"),
    ("header_symbols", 6, "header_symbols"), ("colour", "red", "colour"),
])  # fmt: skip
def test_bad_field_is_named(tmp_path, fields, field, value, named):
    fields[field] = value
    path = write(tmp_path, fields)
    with pytest.raises(WaveformError, match=named) as caught:
        Waveform.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_bad_cover_sign(tmp_path, fields):
    fields["preamble"]["cover"][0] = 2
    with pytest.raises(WaveformError, match="cover"):
        Waveform.load(write(tmp_path, fields))


@pytest.mark.parametrize("content", ["[1, 2", "just text", ""])
def test_not_a_waveform_file(tmp_path, content):
    path = tmp_path / "w.yaml"
    path.write_text(content)
    with pytest.raises(WaveformError, match=r"w\.yaml"):
        Waveform.load(path)


def test_unknown_name_lists_the_known():
    with pytest.raises(WaveformError, match="ofdm256, ofdm64"):
        Waveform.load("ofdm65")


def test_pn_is_a_maximum_length_sequence():
    period = 1.0 - 2.0 * bits(0, PERIOD)
    correlation = np.fft.ifft(np.abs(np.fft.fft(period)) ** 2).real
    assert np.allclose(correlation[0], PERIOD) and np.allclose(correlation[1:], -1)
    assert bits(0, 20).tolist() == [1] * 15 + [0] * 5  # as printed in docs/waveform.md


def test_mapping_is_a_permutation_and_inverts():
    for symbols, carriers in [(1, 44), (10, 44), (13, 44), (100, 192), (7, 5)]:
        assert sorted(cell_order(symbols, carriers)) == list(range(symbols * carriers))
        values = np.arange(symbols * carriers)
        assert np.array_equal(gather(spread(values, symbols, carriers)), values)


def test_an_image_is_spread_over_the_band():
    """Every 16 consecutive values meet all quarters of the band."""
    carriers = cell_order(10, 44) % 44
    for first in range(0, 440 - 16, 16):
        assert len(set(carriers[first : first + 16] // 11)) == 4


@pytest.mark.parametrize("name", Waveform.names())
def test_scaling_and_spectrum(name):
    """Unit symbols are unit bins, unused carriers are empty, the DC carrier too."""
    wf = Waveform.load(name)
    rng = np.random.default_rng(0)
    header = Header("data", budget=32, image_count=40)
    symbols = np.exp(2j * np.pi * rng.random((40, 32)))
    samples = modulate(wf, header, symbols)
    assert samples.dtype == np.complex64 and len(samples) == frame_len(wf, header)
    payload = samples.reshape(-1, wf.symbol_len)[wf.preamble_symbols + wf.header_symbols :, wf.cp_len :]
    spectrum = np.fft.fft(payload, axis=1, norm="ortho")
    assert np.allclose(np.abs(spectrum[:, wf.bins]), 1, atol=1e-5)
    unused = np.setdiff1d(np.arange(wf.fft_len), wf.bins)
    assert np.abs(spectrum[:, unused]).max() < 1e-5


@pytest.mark.parametrize("symbols, message", [
    (np.ones((2, 3)), "do not fit"), (np.full((2, 4), np.nan), "NaN"), (None, "do not fit"),
    (np.full((2, 4), np.inf), "NaN"),
])  # fmt: skip
def test_modulate_refuses(symbols, message):
    with pytest.raises(ValueError, match=message):
        modulate(Waveform.load("ofdm64"), Header("data", budget=4, image_count=2), symbols)


def test_modulate_refuses_a_payload_that_no_receiver_takes():
    header = Header("data", budget=256, image_count=256)
    with pytest.raises(ValueError, match="fewer images"):
        modulate(Waveform.load("ofdm64"), header, np.ones((256, 256)))


@pytest.mark.parametrize("name", Waveform.names())
def test_limited_peaks(name):
    """7 dB: peaks come down, the band stays empty where it was, mean power and frame are the same."""
    wf, rng = Waveform.load(name), np.random.default_rng(1)
    header = Header("data", budget=16, image_count=10 * wf.data_count // 16)
    symbols = rng.standard_normal((header.image_count, 32)).view(np.complex128) * np.sqrt(0.5)
    plain, limited = modulate(wf, header, symbols), modulate(wf, header, symbols, papr_db=7)
    first = wf.symbol_len * wf.preamble_symbols
    assert np.array_equal(plain[:first], limited[:first])
    powers = [np.abs(resample_poly(samples[first:], 4, 1)) ** 2 for samples in (plain, limited)]
    peaks_db = [10 * np.log10(power.max() / power.mean()) for power in powers]
    assert peaks_db[1] < 8.5 and peaks_db[1] < peaks_db[0] - 1
    assert np.isclose(powers[0].mean(), powers[1].mean(), rtol=0.02)
    spectrum = np.fft.fft(limited.reshape(-1, wf.symbol_len)[:, wf.cp_len :], axis=1)
    assert np.abs(spectrum[:, np.setdiff1d(np.arange(wf.fft_len), wf.bins)]).max() < 1e-4
    (frame,) = receive(wf, np.pad(limited, 3000))
    assert np.mean(np.abs(frame.symbols - symbols) ** 2) < 10**-2.8
