# SPDX-License-Identifier: GPL-3.0-or-later
"""The digital baselines' parts: modulation, gr-fec's polar codes, words through the modem, pictures without headers."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.special import erfc

from gr_semantic.baselines.air import MEDIA, PLUTOS, SimulatedAir, exchange, slot_len
from gr_semantic.baselines.airs import Airs
from gr_semantic.baselines.analog import prefix
from gr_semantic.baselines.block_errors import frame_shape, layout, word_arrivals
from gr_semantic.baselines.features import Quantiser
from gr_semantic.baselines.limits import power_gains
from gr_semantic.baselines.modes import RATES, Mode, label_modes, message_modes
from gr_semantic.baselines.modulation import NAMES, map_bits, soft_bits
from gr_semantic.baselines.pictures import profiles
from gr_semantic.baselines.polar import PolarCode
from gr_semantic.errors import UserError
from gr_semantic.modem import Waveform
from semantic_models import load_images

WF = Waveform.load("ofdm64")


def noisy(symbols, snr_db, seed=0):
    """Symbols with white noise, and its variance for each of them."""
    rng = np.random.default_rng(seed)
    noise_var = 10 ** (-snr_db / 10)
    noise = rng.normal(size=(*symbols.shape, 2)) @ [1, 1j] * np.sqrt(noise_var / 2)
    return (symbols + noise).astype(np.complex64), np.full(symbols.shape, noise_var, np.float32)


@pytest.mark.parametrize("bits_per_symbol", NAMES)
def test_modulation_has_unit_power_and_comes_back(bits_per_symbol):
    every = np.arange(1 << bits_per_symbol)[:, None] >> np.arange(bits_per_symbol - 1, -1, -1) & 1
    symbols = map_bits(every.astype(np.uint8), bits_per_symbol)
    assert len(np.unique(symbols)) == len(every)
    assert np.mean(np.abs(symbols) ** 2) == pytest.approx(1, abs=1e-6)
    soft = soft_bits(symbols, np.full(symbols.shape, 0.01, np.float32), bits_per_symbol, bits_per_symbol)
    assert np.array_equal(soft < 0, every == 1)
    # Gray: the nearest neighbours differ in one bit.
    distance = np.abs(symbols - symbols.T)
    nearest = np.isclose(distance, distance[distance > 1e-6].min())
    assert ((every[:, None] != every[None]).sum(axis=2)[nearest] == 1).all()


@pytest.mark.parametrize(("bits_per_symbol", "snr_db"), [(1, 3.0), (2, 6.0), (4, 12.0), (6, 18.0)])
def test_bit_errors_are_those_of_theory(bits_per_symbol, snr_db):
    """Gray-coded square QAM, nearest neighbours: (1 - 1/m) / b * erfc(d / sqrt(N0)), m amplitudes of b bits an axis."""
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, (1, 240_000), dtype=np.uint8)
    symbols = map_bits(bits, bits_per_symbol)
    soft = soft_bits(*noisy(symbols, snr_db), bits_per_symbol, bits.shape[1])
    axis_bits, axes = max(bits_per_symbol // 2, 1), min(bits_per_symbol, 2)
    half_distance = np.sqrt(3 / (axes * (4**axis_bits - 1)))
    expected = (1 - 2.0**-axis_bits) / axis_bits * erfc(half_distance * 10 ** (snr_db / 20))
    assert ((soft < 0) != bits).mean() == pytest.approx(expected, rel=0.1)


def test_soft_bits_are_calibrated():
    """A bit that is called with a ratio of about 1 is wrong as often as that says."""
    bits = np.random.default_rng(2).integers(0, 2, (1, 120_000), dtype=np.uint8)
    soft = soft_bits(*noisy(map_bits(bits, 4), 8.0), 4, bits.shape[1])
    near = (np.abs(soft) > 0.9) & (np.abs(soft) < 1.1)
    assert ((soft < 0) != bits)[near].mean() == pytest.approx(1 / (1 + np.e), abs=0.03)


@pytest.mark.parametrize(("length", "info_bits"), [(8, 4), (16, 8), (64, 24), (256, 192), (512, 256), (1024, 640)])
def test_polar_words_come_back_and_the_code_is_linear(length, info_bits):
    code = PolarCode(length, info_bits)
    bits = np.random.default_rng(length).integers(0, 2, (6, info_bits), dtype=np.uint8)
    coded = code.encode(bits)
    assert np.array_equal(code.decode(1 - 2.0 * coded), bits)
    assert np.array_equal(coded[0] ^ coded[1], code.encode((bits[0] ^ bits[1])[None])[0])
    assert len(code.frozen) == length - info_bits


def test_own_generator_is_the_encoder_of_gr_fec():
    """Where both work: below 32 bits only the generator does."""
    code = PolarCode(64, 40)
    bits = np.random.default_rng(3).integers(0, 2, (5, 40), dtype=np.uint8)
    assert np.array_equal(bits @ code._generator() % 2, code.encode(bits))


def test_polar_refuses_words_of_another_length():
    with pytest.raises(ValueError, match="expected"):
        PolarCode(64, 32).encode(np.zeros((1, 31), np.uint8))


def test_a_code_beats_no_code():
    """Rate 1/2 with QPSK at 2 dB in white noise: uncoded, no word of 256 bits would be right."""
    mode = Mode(512, 256, 2)
    bits = np.random.default_rng(4).integers(0, 2, (20, 256), dtype=np.uint8)
    received = mode.receive(*noisy(mode.send(bits), 3.0))
    assert (received == bits).all(axis=1).sum() >= 18
    assert (mode.receive(*noisy(mode.send(bits), -3.0)) == bits).all(axis=1).sum() == 0


def test_modes_have_the_rates_that_they_claim():
    for mode in message_modes():
        assert mode.info_bits * 8 % mode.length == 0
        assert mode.info_bits * 8 // mode.length in RATES[mode.bits_per_symbol]
        assert mode.channel_uses == int(np.ceil(mode.length / mode.bits_per_symbol))
    assert {mode.info_bits for mode in label_modes(4)} == {4}
    assert all(len(mode.send(np.zeros((1, 4), np.uint8))[0]) == mode.channel_uses for mode in label_modes(4))


def test_layout_puts_every_mode_into_a_frame_once():
    modes = message_modes() + label_modes(4)
    frames = layout(modes, 5632)
    assert sorted(index for frame in frames for index, _ in frame) == list(range(len(modes)))
    for frame in frames:
        cells = np.concatenate([start + np.arange(modes[index].channel_uses) for index, start in frame])
        assert len(np.unique(cells)) == len(cells) and cells.max() < 5632


def test_words_through_the_modem_arrive_where_they_should():
    """Strong and weak modes at 6 dB in white noise: what the modem loses is a fraction of a dB."""
    modes = [Mode(64, 16, 1), Mode(256, 128, 2), Mode(256, 224, 6)]
    air = SimulatedAir("awgn", 6.0, 5, slot_len(WF, *frame_shape(WF)))
    assert word_arrivals(WF, air, modes, 12, 5) == [12, 12, 0]


def test_shortcuts_of_word_arrivals_are_what_the_decoder_says():
    """Words that are not decoded, because it is certain what the decoder would say."""
    from gr_semantic.baselines.block_errors import _arrived

    for mode, snr_db in ((Mode(256, 128, 2), 1.0), (Mode(256, 192, 4), 9.0), (Mode(256, 64, 1), -5.0)):
        bits = np.random.default_rng(6).integers(0, 2, (40, mode.info_bits), dtype=np.uint8)
        level_db = snr_db + np.linspace(-6, 4, 40)[:, None]
        symbols, noise_var = noisy(mode.send(bits), level_db)
        noise_var = np.broadcast_to(10 ** (-level_db / 10), symbols.shape).astype(np.float32)
        decoded = (mode.receive(symbols, noise_var) == bits).all(axis=1)
        assert np.array_equal(_arrived(mode, bits, symbols, noise_var), decoded)
        assert 0 < decoded.sum() < 40


def test_exchange_returns_what_was_sent_and_fades_change_from_frame_to_frame():
    rng = np.random.default_rng(7)
    sent = np.exp(2j * np.pi * rng.random((6, 4, 8))).astype(np.complex64)
    found = list(exchange(WF, SimulatedAir("rayleigh", 30.0, 3, slot_len(WF, 4, 8)), sent))
    assert len(found) >= 5
    for number, symbols, noise_var in found:
        assert np.mean(np.abs(symbols - sent[number]) ** 2) < 3 * noise_var.mean() + 1e-3
    levels = [float(np.median(noise_var)) for _, _, noise_var in found]
    assert max(levels) > 1.5 * min(levels)


def test_frames_pass_virtual_plutos_at_the_snr_that_is_asked_for():
    pytest.importorskip("iio")
    sent = np.exp(2j * np.pi * np.random.default_rng(8).random((40, 4, 8))).astype(np.complex64)
    with Airs() as airs:
        with pytest.raises(UserError, match=r"snr_db is 40.*-27.75 to 32 dB"):
            airs(PLUTOS, 40.0, 1, slot_len(WF, 4, 8))
        for snr_db in (14.0, 6.0):
            found = list(exchange(WF, airs(PLUTOS, snr_db, 1, slot_len(WF, 4, 8)), sent))
            assert len(found) >= 39 and [number for number, _, _ in found] == sorted({n for n, _, _ in found})
            error = np.mean([np.mean(np.abs(symbols - sent[number]) ** 2) for number, symbols, _ in found])
            assert -10 * np.log10(error) == pytest.approx(snr_db, abs=0.7)


def test_gains_of_media():
    assert power_gains(WF, MEDIA["awgn"]).tolist() == [1.0]
    rayleigh, tdl_a = power_gains(WF, MEDIA["rayleigh"]), power_gains(WF, MEDIA["tdl-a"])
    assert rayleigh.mean() == pytest.approx(1, abs=0.1) and rayleigh.var() == pytest.approx(1, abs=0.25)
    assert tdl_a.mean() == pytest.approx(1, abs=0.1) and tdl_a.var() < 0.7 * rayleigh.var()


def test_prefix_has_unit_power():
    code = np.random.default_rng(8).normal(size=(5, 16, 2)).astype(np.float32).view(np.complex64)[..., 0]
    short = prefix(code, 4)
    assert np.allclose((np.abs(short) ** 2).mean(axis=1), 1) and np.allclose(np.angle(short), np.angle(code[:, :4]))


def test_quantiser_gets_finer_with_its_bits():
    values = np.random.default_rng(9).normal(size=(4000, 2))
    errors = []
    for bits in (1, 2, 3):
        quantiser = Quantiser.fit(values, bits)
        assert quantiser.levels.shape == (2, 1 << bits)
        errors.append(((quantiser.value(quantiser.index(values)) - values) ** 2).mean())
    assert errors == pytest.approx([0.3634, 0.1175, 0.0345], rel=0.08)  # Max 1960, for a normal variable


def pictures(colour):
    images = load_images("fashion-mnist:test[0:3]").images
    if not colour:
        return images
    return np.concatenate([images, images[:, :, ::-1], images.transpose(0, 1, 3, 2)], axis=1)


@pytest.mark.parametrize("colour", [False, True])
def test_pictures_come_back_without_their_headers(colour):
    """The rebuilt file shows what Pillow's own file shows, and zeros behind the data change nothing."""
    for image in pictures(colour):
        for profile in profiles(image.shape)[::3]:
            data = profile.pack(image)
            shown = profile.unpack(data, image.shape)
            assert shown.shape == image.shape and shown.dtype == np.uint8
            assert np.array_equal(profile.unpack(data + bytes(21), image.shape), shown)
            if profile.share == 1:
                content = io.BytesIO()
                picture = Image.fromarray(image.transpose(1, 2, 0).squeeze())
                settings = {"method": 6} if profile.form == "webp" else {}
                picture.save(content, profile.form, quality=max(profile.quality, profile.form == "jpeg"), **settings)
                own = np.atleast_3d(np.asarray(Image.open(content).convert("RGB" if colour else "L")))
                assert np.array_equal(shown, own.transpose(2, 0, 1))
                assert len(data) <= len(content.getvalue()) - 20
