# SPDX-License-Identifier: GPL-3.0-or-later
"""The modem over channels, as thresholds with fixed seeds."""

import numpy as np
import pytest
from scipy.signal import resample

from gr_semantic.modem import Header, StreamReceiver, Waveform, detect, modulate, receive

WAVEFORMS = Waveform.names()


def gaussian(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * np.sqrt(0.5)


def send(wf, rng, count, payload_symbols=10, budget=16):
    """`count` frames with random gaps: (samples, symbols of each frame)."""
    images = min(payload_symbols * wf.data_count // budget, 256)
    parts, sent = [], []
    for sequence in range(count):
        sent.append(gaussian(rng, images, budget))
        header = Header("data", sequence=sequence, budget=budget, image_count=images)
        parts += [np.zeros(int(rng.integers(200, 3000)), np.complex64), modulate(wf, header, sent[-1])]
    return np.concatenate([*parts, np.zeros(2000, np.complex64)]), sent


def noisy(rng, samples, snr_db):
    return (samples + gaussian(rng, len(samples)) * 10 ** (-snr_db / 20)).astype(np.complex64)


def shifted(samples, cfo):
    return samples * np.exp(2j * np.pi * cfo * np.arange(len(samples)))


def mse_db(frames, sent):
    return 10 * np.log10(np.mean([np.mean(np.abs(f.symbols - sent[f.header.sequence]) ** 2) for f in frames]))


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("snr_db", [8.0, 15.0, 30.0])
def test_no_frame_is_lost_at_8_db_and_above(name, snr_db):
    """2,100 frames in all (2 waveforms x 3 SNRs x 350), carrier offsets up to +-5 carriers: none lost, none false."""
    wf, rng = Waveform.load(name), np.random.default_rng(int(snr_db))
    for _ in range(7):
        samples, sent = send(wf, rng, 50, payload_symbols=4)
        frames = receive(wf, noisy(rng, shifted(samples, rng.uniform(-5, 5) / wf.fft_len), snr_db))
        assert [f.header.sequence for f in frames] == list(range(50))
        assert mse_db(frames, sent) < -snr_db + 0.7


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("snr_db, share", [(0.0, 0.99), (-4.0, 0.95)])
def test_frames_below_0_db(name, snr_db, share):
    wf, rng = Waveform.load(name), np.random.default_rng(20)
    samples, _ = send(wf, rng, 200, payload_symbols=2)
    frames = receive(wf, noisy(rng, shifted(samples, 3.3 / wf.fft_len), snr_db))
    assert len({f.header.sequence for f in frames}) >= share * 200
    assert len(frames) <= 200


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("snr_db", [-4.0, 0.0, 10.0, 20.0, 28.0])
def test_snr_estimate(name, snr_db):
    """Bias and spread against the definition, and the noise variance against the error that is really there."""
    wf, rng = Waveform.load(name), np.random.default_rng(30)
    samples, sent = send(wf, rng, 80)
    frames = receive(wf, noisy(rng, shifted(samples, -2.2 / wf.fft_len), snr_db))
    measured = np.array([f.snr_db for f in frames])
    assert abs(measured.mean() - snr_db) < 0.3 and measured.std() < 0.8
    assert abs(10 * np.log10(np.mean([f.noise_var.mean() for f in frames])) - mse_db(frames, sent)) < 0.3


@pytest.mark.parametrize("name", WAVEFORMS)
def test_snr_and_noise_var_in_multipath(name):
    """Unequal SNR: the frame's SNR is the average over data carriers, noise_var tells good symbols from bad ones."""
    wf, rng = Waveform.load(name), np.random.default_rng(31)
    profile = np.exp(-np.arange(6) / 2)
    bias, normalised = [], []
    for _ in range(60):
        taps = gaussian(rng, 6) * np.sqrt(profile / profile.sum())
        samples, sent = send(wf, rng, 1)
        response = np.fft.fft(taps, wf.fft_len)[wf.bins[wf.data_index]]
        truth = 10 * np.log10(np.mean(np.abs(response) ** 2)) + 15
        (frame,) = receive(wf, noisy(rng, np.convolve(samples, taps), 15))
        bias.append(frame.snr_db - truth)
        normalised.append(np.mean(np.abs(frame.symbols - sent[0]) ** 2 / frame.noise_var))
    assert abs(np.mean(bias)) < 0.3 and np.std(bias) < 0.8
    assert 0.85 < np.mean(normalised) < 1.2


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("sro_ppm", [-40.0, 40.0])
def test_long_frames_with_clock_and_carrier_offset(name, sro_ppm):
    """100 payload symbols at 30 dB lose at most 1 dB; carrier within 50 Hz at 1 Msps, clock within 3 ppm."""
    wf, rng = Waveform.load(name), np.random.default_rng(40)
    samples, sent = send(wf, rng, 8, payload_symbols=100, budget=128)
    stretched = resample(samples, round(len(samples) * (1 + sro_ppm * 1e-6)))
    sro_ppm = 1e6 * (len(stretched) / len(samples) - 1)  # whole samples
    frames = receive(wf, noisy(rng, shifted(stretched, 5 / wf.fft_len), 30))
    assert len(frames) == 8 and mse_db(frames, sent) < -29
    for frame in frames:
        assert abs(frame.cfo_hz - 5e6 / wf.fft_len) < 50 and abs(frame.sro_ppm - sro_ppm) < 3


@pytest.mark.parametrize("name", WAVEFORMS)
def test_phase_noise_and_dc(name):
    wf, rng = Waveform.load(name), np.random.default_rng(50)
    samples, sent = send(wf, rng, 30)
    walk = np.exp(1j * np.cumsum(1e-3 * rng.standard_normal(len(samples))))
    frames = receive(wf, noisy(rng, shifted(samples * walk, 1.4 / wf.fft_len) + 0.3, 20))
    assert len(frames) == 30 and mse_db(frames, sent) < -19.3


def fading_gain(rng, count, doppler_hz, sample_rate_hz=1e6):
    """A Rayleigh fading gain of unit mean power (complex128, count): 32 plane waves."""
    angle, phase = rng.uniform(0, 2 * np.pi, (2, 32, 1))
    coarse = np.arange(0, count + 200, 100)
    waves = np.exp(1j * (2 * np.pi * doppler_hz / sample_rate_hz * np.cos(angle) * coarse + phase)).sum(
        axis=0
    ) / np.sqrt(32)
    return np.interp(np.arange(count), coarse, waves.real) + 1j * np.interp(np.arange(count), coarse, waves.imag)


@pytest.mark.parametrize("name", WAVEFORMS)
def test_fading_within_long_frames(name):
    """50 Hz Doppler over 100 payload symbols at 20 dB: within 1 dB of a receiver that knows the channel.

    Error of the symbols after shrinking by 1 / (1 + noise_var), as a decoder does: without it, fades would decide
    alone.
    """
    wf, rng = Waveform.load(name), np.random.default_rng(51)
    errors, genie = [], []
    begin = wf.symbol_len * (wf.preamble_symbols + wf.header_symbols)
    for _ in range(40):
        samples, sent = send(wf, rng, 1, payload_symbols=100, budget=128)
        gain = fading_gain(rng, len(samples), 50)
        frames = receive(wf, noisy(rng, samples * gain, 20))
        assert len(frames) == 1
        frame = frames[0]
        errors.append(np.mean(np.abs(frame.symbols / (1 + frame.noise_var) - sent[0]) ** 2))
        middles = frame.start_sample + begin + wf.symbol_len * (np.arange(90) + 0.5)
        genie.append(np.mean(1 / (1 + 100 * np.abs(gain[middles.astype(int)]) ** 2)))
    assert 10 * np.log10(np.mean(errors) / np.mean(genie)) < 1


@pytest.mark.parametrize("name", WAVEFORMS)
def test_false_alarm_rate_of_the_scan(name):
    """The rate that docs/waveform.md states, exp(-W t), at thresholds where it can be counted."""
    wf, rng = Waveform.load(name), np.random.default_rng(61)
    window = (wf.preamble_symbols - 1) * wf.symbol_len
    noise = rng.standard_normal(2 * 8_000_000, dtype=np.float32).view(np.complex64)
    metric = detect.scan(wf, noise)
    for exponent in (2.0, 4.0, 6.0):
        assert np.mean(metric > exponent / window) == pytest.approx(np.exp(-exponent), rel=0.15)


@pytest.mark.parametrize("name", WAVEFORMS)
def test_a_spur_in_the_band(name):
    """A steady tone 10 dB below the signal: frames are found; where it sits on a carrier, the others do not suffer."""
    wf, rng = Waveform.load(name), np.random.default_rng(62)
    samples, sent = send(wf, rng, 20)
    for carrier in (7.0, 7.3):
        spur = 10**-0.5 * np.exp(2j * np.pi * (carrier / wf.fft_len * np.arange(len(samples)) + 0.1))
        frames = receive(wf, noisy(rng, samples + spur, 20))
        assert [f.header.sequence for f in frames] == list(range(20))
        errors = np.concatenate([np.abs(f.symbols - sent[f.header.sequence]).ravel() ** 2 for f in frames])
        if carrier == 7.0:  # of complex Gaussian noise, the median power is ln 2 of the mean
            assert 10 * np.log10(np.median(errors) / np.log(2)) < -19


@pytest.mark.parametrize("name", WAVEFORMS)
def test_noise_gives_no_frame(name):
    """10^7 samples a waveform here; 10^8 and more in the slow test below."""
    assert _frames_in_noise(Waveform.load(name), 10_000_000) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", WAVEFORMS)
def test_much_noise_gives_no_frame(name):
    assert _frames_in_noise(Waveform.load(name), 500_000_000) == 0


def _frames_in_noise(wf, count):
    rng, receiver, found = np.random.default_rng(60), StreamReceiver(wf), 0
    for _ in range(0, count, 1_000_000):
        found += len(receiver.push(rng.standard_normal(2_000_000, dtype=np.float32).view(np.complex64)))
    assert receiver.processed > count - 10_000
    return found


@pytest.mark.parametrize("name", WAVEFORMS)
def test_a_stronger_echo_after_the_first_path(name):
    """Half a cyclic prefix late and 6 dB stronger: the start is the first path, and nothing of the payload is lost."""
    wf, rng = Waveform.load(name), np.random.default_rng(52)
    samples, sent = send(wf, rng, 5)
    delay = wf.cp_len // 2
    both = np.concatenate([samples, np.zeros(delay)]) + 2j * np.concatenate([np.zeros(delay), samples])
    frames = receive(wf, noisy(rng, both / np.sqrt(5), 25))
    assert [f.header.sequence for f in frames] == list(range(5))
    for frame in frames:
        excess = np.mean(np.abs(frame.symbols - sent[frame.header.sequence]) ** 2 / frame.noise_var)
        assert 0.8 < excess < 1.3 and abs(frame.snr_db - 25) < 1


@pytest.mark.parametrize("name", WAVEFORMS)
def test_four_echoes_of_one_strength(name):
    """No path has more than a quarter of the power that the matched filter compares with: every frame is found."""
    wf, rng = Waveform.load(name), np.random.default_rng(53)
    samples, _ = send(wf, rng, 10)
    echoes = sum(1j**path * np.roll(samples, path * wf.cp_len // 4) for path in range(4)) / 2
    frames = receive(wf, noisy(rng, echoes, 15))
    assert [f.header.sequence for f in frames] == list(range(10))


@pytest.mark.parametrize("name, carrier", [("ofdm64", 7), ("ofdm256", 8)])
def test_a_spur_while_the_channel_fades(name, carrier):
    """Two paths 60 Hz apart at 1 Msps, frames long enough to see it: the covered carrier's symbols are told as noisy as
    they are."""
    wf, rng = Waveform.load(name), np.random.default_rng(54)
    samples, sent = send(wf, rng, 15, payload_symbols=60)
    time = np.arange(len(samples))
    spur = 10**-0.4 * np.exp(2j * np.pi * (carrier / wf.fft_len * time + 0.1))
    frames = receive(wf, noisy(rng, samples * (1 + 0.6 * np.exp(2j * np.pi * 60e-6 * time)) + spur, 25))
    assert [f.header.sequence for f in frames] == list(range(15))
    errors = np.concatenate([np.abs(f.symbols - sent[f.header.sequence]).ravel() ** 2 for f in frames])
    told = np.concatenate([f.noise_var.ravel() for f in frames])
    covered = told > 10 * np.median(told)
    assert 0.3 / wf.data_count < covered.mean() < 3 / wf.data_count
    assert 0.7 < np.mean(errors[covered] / told[covered]) < 1.4
    assert 0.8 < np.mean(errors[~covered] / told[~covered]) < 1.3


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("beyond", [-3, 0, 1])
def test_a_transmitter_that_starts_again(name, beyond):
    """A frame breaks off so many symbols behind its preamble's end, and another follows at once."""
    wf, rng = Waveform.load(name), np.random.default_rng(55)
    samples, _ = send(wf, rng, 1)
    frame = np.trim_zeros(samples)
    broken = (wf.preamble_symbols + beyond) * wf.symbol_len
    frames = receive(wf, noisy(rng, np.concatenate([np.zeros(500), frame[:broken], frame, np.zeros(2000)]), 15))
    assert [f.header.sequence for f in frames] == [0]
