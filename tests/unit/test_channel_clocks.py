# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrier offset, sample-rate offset and phase noise."""

import numpy as np
import pytest

from gr_semantic.channel import CarrierOffset, Channel, PhaseNoise, SampleRateOffset
from gr_semantic.errors import UserError

RATE_HZ = 1e6


def error_db(seen, ideal):
    return 10 * np.log10(np.mean(np.abs(seen - ideal) ** 2))


def tone(frequency, length):
    """exp(j 2 pi frequency n), frequency in cycles per sample; complex64."""
    return np.exp(2j * np.pi * (frequency * np.arange(length) % 1)).astype(np.complex64)


@pytest.mark.parametrize("cfo_hz", [0.0, 1.0, -868.25, 123456.789, 5e5])
def test_carrier_offset_is_exact(cfo_hz):
    out = Channel([CarrierOffset(cfo_hz)], RATE_HZ).process(np.ones(300_000, np.complex64))
    ideal = np.exp(2j * np.pi * (cfo_hz * np.arange(300_000) / RATE_HZ % 1))
    assert np.max(np.abs(out - ideal)) < 3e-7


def test_changing_the_carrier_offset_keeps_the_phase():
    offset = CarrierOffset(1000)
    channel = Channel([offset], RATE_HZ)
    before = channel.process(np.ones(12_345, np.complex64))
    offset.set_cfo_hz(-3000)
    after = channel.process(np.ones(10_000, np.complex64))
    ideal = np.exp(2j * np.pi * (1000 * 12_345 - 3000 * np.arange(10_000)) / RATE_HZ)
    assert np.max(np.abs(after - ideal)) < 1e-6
    assert abs(np.angle(after[0] / before[-1])) < 2 * np.pi * 1001 / RATE_HZ


def test_carrier_offset_beyond_half_the_rate_is_refused():
    with pytest.raises(UserError, match="cfo_hz is 600000, expected -500000 to 500000"):
        Channel([CarrierOffset(6e5)], RATE_HZ)


@pytest.mark.parametrize("sro_ppm", [0.01, 20.0, -50.0, 400.0, -1000.0, 1000.0])
@pytest.mark.parametrize("frequency", [0.003, 0.25, -0.42, 0.42])
def test_resampler_error_floor(sro_ppm, frequency):
    """Against a tone at the exact place of every output sample: below -50 dB (in fact -70) up to 0.42 of the rate."""
    channel = Channel([SampleRateOffset(sro_ppm)], RATE_HZ)
    out = channel.process(tone(frequency, 60_000))
    place = np.arange(len(out)) / (1 + sro_ppm * 1e-6) - channel.latency_samples
    assert error_db(out[64:], np.exp(2j * np.pi * frequency * place[64:])) < -70


@pytest.mark.parametrize("sro_ppm", [-1000.0, -20.0, 0.5, 20.0, 1000.0])
def test_sample_count_and_measured_rate(sro_ppm):
    length = 2_000_000
    out = Channel([SampleRateOffset(sro_ppm)], RATE_HZ).process(tone(0.1, length))
    assert abs(len(out) - length * (1 + sro_ppm * 1e-6)) <= 2
    # Phase of the tone at both ends gives the rate to far below 0.1 ppm; a faster receiver sees a lower frequency.
    drift = np.angle(out[1000:] * np.exp(-2j * np.pi * 0.1 * np.arange(1000, len(out))))
    cycles = np.unwrap(drift)[[0, -1]] / (2 * np.pi)
    seen = (cycles[1] - cycles[0]) / (len(out) - 1001)
    measured_ppm = 1e6 * (0.1 / (0.1 + seen) - 1)
    assert measured_ppm == pytest.approx(sro_ppm, abs=0.01)


def test_changing_the_sample_rate_offset_makes_no_step():
    offset = SampleRateOffset(300)
    channel = Channel([offset], RATE_HZ)
    parts, ppm = [], [300, -700, 0, 50]
    for sro_ppm in ppm:
        offset.set_sro_ppm(sro_ppm)
        parts.append(channel.process(tone(0.05, 40_000)))
    out = np.concatenate(parts)
    assert abs(len(out) - 40_000 * sum(1 + p * 1e-6 for p in ppm)) < 6
    # 40,000 samples are whole periods of the tone, so the input has no step either: no phase step at the output.
    steps = np.diff(np.unwrap(np.angle(out[100:].astype(np.complex128))))
    assert np.max(np.abs(steps - 2 * np.pi * 0.05)) < 1e-3


def test_sample_rate_offset_out_of_range_is_refused():
    with pytest.raises(UserError, match="sro_ppm is 1001, expected -1000 to 1000"):
        SampleRateOffset(1001)


def test_free_running_phase_noise_grows_as_a_wiener_process():
    """Variance of the phase after a lag: 2 pi linewidth lag / rate."""
    linewidth_hz = 50.0
    out = Channel([PhaseNoise(linewidth_hz, seed=1)], RATE_HZ).process(np.ones(2_000_000, np.complex64))
    assert np.max(np.abs(np.abs(out) - 1)) < 1e-6
    phase = np.unwrap(np.angle(out.astype(np.complex128)))
    for lag in (1, 10, 100, 1000):
        variance = np.var(phase[lag::lag] - phase[:-lag:lag])
        count = len(phase) / lag
        assert variance == pytest.approx(2 * np.pi * linewidth_hz * lag / RATE_HZ, rel=5 * np.sqrt(2 / count))


def test_phase_noise_in_a_loop_has_its_variance_and_spectrum():
    """Stationary variance linewidth / (2 loop); density flat below the loop bandwidth, -20 dB a decade above."""
    linewidth_hz, loop_hz, length = 20.0, 2000.0, 4_000_000
    out = Channel([PhaseNoise(linewidth_hz, loop_hz, seed=2)], RATE_HZ).process(np.ones(length, np.complex64))
    phase = np.angle(out.astype(np.complex128))
    assert np.var(phase) == pytest.approx(linewidth_hz / (2 * loop_hz), rel=0.06)
    segments = phase[: length // 40_000 * 40_000].reshape(-1, 40_000) * np.hanning(40_000)
    density = np.mean(np.abs(np.fft.rfft(segments)) ** 2, axis=0)
    bins_hz = np.fft.rfftfreq(40_000, 1 / RATE_HZ)

    def level_db(low_hz, high_hz):
        return 10 * np.log10(density[(bins_hz >= low_hz) & (bins_hz < high_hz)].mean())

    assert level_db(200, 300) - level_db(1950, 2050) == pytest.approx(3.0, abs=0.7)
    assert level_db(9900, 10100) - level_db(99000, 101000) == pytest.approx(20.0, abs=0.7)


def test_phase_noise_in_a_loop_is_stationary_from_the_start():
    first = [
        np.angle(Channel([PhaseNoise(20, 100, seed=s)], RATE_HZ).process(np.ones(1, np.complex64)))[0]
        for s in range(400)
    ]
    assert np.var(first) == pytest.approx(0.1, rel=0.35)


def test_negative_phase_noise_is_refused():
    with pytest.raises(UserError, match="linewidth_hz"):
        PhaseNoise(-1)
