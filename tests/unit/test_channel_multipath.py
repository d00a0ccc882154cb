# SPDX-License-Identifier: GPL-3.0-or-later
"""Multipath and fading, against the statistics that define them."""

import numpy as np
import pytest

from gr_semantic.channel import Channel, Multipath
from gr_semantic.channel.delay_profiles import delay_profile
from gr_semantic.errors import UserError


def bessel_j0(x):
    """Mean of cos(x cos(angle)) around the circle."""
    angles = 2 * np.pi * (np.arange(400) + 0.5) / 400
    return np.cos(np.multiply.outer(x, np.cos(angles))).mean(axis=-1)


def impulse_response(multipath, rate_hz, length=256):
    """(response, index of delay 0)"""
    channel = Channel([multipath], rate_hz)
    impulse = np.zeros(length, np.complex64)
    impulse[0] = 1
    return channel.process(impulse).astype(np.complex128), channel.latency_samples


def gains(multipath, rate_hz, length):
    return Channel([multipath], rate_hz).process(np.ones(length, np.complex64)).astype(np.complex128)


@pytest.mark.parametrize("letter", "abc")
def test_profiles_have_unit_power_and_rms_delay_spread(letter):
    """TR 38.901 normalises its profiles to an RMS delay spread of 1 (the printed figures hold it within 0.01 %)."""
    profile = delay_profile(f"tdl-{letter}:100ns")
    assert profile.powers_lin.sum() == pytest.approx(1)
    mean_s = profile.powers_lin @ profile.delays_s
    spread_s = np.sqrt(profile.powers_lin @ (profile.delays_s - mean_s) ** 2)
    assert spread_s == pytest.approx(100e-9, rel=1e-4)


@pytest.mark.parametrize("letter", "abc")
def test_mean_power_and_delay_spread_over_seeds(letter):
    """Power in the band up to 0.42 of the sample rate; the spread comes from the mean delay profile at 20 Msps."""
    rate_hz, band = 20e6, np.linspace(-0.42, 0.42, 85)
    turns = np.exp(-2j * np.pi * np.outer(band, np.arange(256)))
    power, profile = [], np.zeros(256)
    for seed in range(400):
        response, zero = impulse_response(Multipath(f"tdl-{letter}:300ns", seed=seed), rate_hz)
        power.append(np.mean(np.abs(turns @ response) ** 2))
        profile += np.abs(response) ** 2
    assert np.mean(power) == pytest.approx(1, abs=4 * np.std(power) / np.sqrt(len(power)))
    assert np.std(power) / np.sqrt(len(power)) < 0.05
    delay_s = (np.arange(256) - zero) / rate_hz
    profile /= profile.sum()
    spread_s = np.sqrt(profile @ (delay_s - profile @ delay_s) ** 2)
    assert spread_s == pytest.approx(300e-9, rel=0.08)


def test_paths_lie_at_their_delays():
    """A channel of one draw, compared in the band with paths at the exact (fractional) delays."""
    rate_hz = 10e6
    responses = [impulse_response(Multipath("tdl-a:100ns", seed=seed), rate_hz) for seed in range(300)]
    delays = delay_profile("tdl-a:100ns").delays_s * rate_hz
    band = np.linspace(-0.4, 0.4, 161)
    for response, zero in responses[:20]:
        seen = np.exp(-2j * np.pi * np.outer(band, np.arange(256) - zero)) @ response
        paths = np.exp(-2j * np.pi * np.outer(band, delays))
        fitted = paths @ np.linalg.lstsq(paths, seen, rcond=1e-9)[0]
        assert np.mean(np.abs(seen - fitted) ** 2) < 1e-5 * np.mean(np.abs(seen) ** 2)


def test_rayleigh_and_rician_statistics_over_blocks():
    rate_hz, blocks = 1e6, 20_000
    for k_db in (None, 6.0):
        fading = Multipath("rayleigh", fading="block", block_samples=3, rician_k_db=k_db, seed=1)
        gain = gains(fading, rate_hz, 3 * blocks).reshape(blocks, 3)
        assert (gain == gain[:, :1]).all()
        power = np.abs(gain[:, 0]) ** 2
        steady_lin = 0 if k_db is None else 10 ** (k_db / 10) / (1 + 10 ** (k_db / 10))
        assert power.mean() == pytest.approx(1, abs=0.03)
        assert abs(gain[:, 0].mean()) ** 2 == pytest.approx(steady_lin, abs=0.02)
        assert np.mean(power**2) == pytest.approx(2 - steady_lin**2, abs=0.1)
        centred = gain[:, 0] - gain[:, 0].mean()
        assert abs(np.mean(centred[1:] * centred[:-1].conj())) < 0.03
        if k_db is None:
            assert np.mean(power < 0.1) == pytest.approx(1 - np.exp(-0.1), abs=0.01)


def test_doppler_autocorrelation_is_j0():
    rate_hz, doppler_hz = 1e5, 100.0
    lags = np.arange(0, 2000, 50)
    seen = np.zeros(len(lags), complex)
    for seed in range(20):
        gain = gains(Multipath("rayleigh", fading="doppler", doppler_hz=doppler_hz, seed=seed), rate_hz, 100_000)
        seen += [np.mean(gain[lag:] * gain[: len(gain) - lag].conj()) / 20 for lag in lags]
    expected = bessel_j0(2 * np.pi * doppler_hz * lags / rate_hz)
    assert expected.min() < -0.3
    np.testing.assert_allclose(seen, expected, atol=0.05)


def test_doppler_amplitudes_are_rayleigh():
    powers = [
        np.abs(gains(Multipath("rayleigh", fading="doppler", doppler_hz=100, seed=seed), 1e5, 50_000)[::500]) ** 2
        for seed in range(60)
    ]
    power = np.concatenate(powers)
    assert power.mean() == pytest.approx(1, abs=0.05)
    assert np.mean(power < 0.1) == pytest.approx(1 - np.exp(-0.1), abs=0.02)
    assert np.mean(power > 2) == pytest.approx(np.exp(-2), abs=0.02)


def test_doppler_moves_smoothly_at_its_limit():
    """Linear interpolation of the gains: a path with one known Doppler, the line of sight at 0.7 of the maximum."""
    gain = gains(Multipath("rayleigh", fading="doppler", doppler_hz=1000, rician_k_db=60, seed=1), 1e6, 50_000)
    ideal = np.exp(2j * np.pi * 700 * np.arange(50_000) / 1e6)
    assert np.mean(np.abs(gain - ideal * np.vdot(ideal, gain) / 50_000) ** 2) < 3e-6  # scattered paths: 1e-6


def test_flat_is_no_change_and_unit_power_takes_the_fades_away():
    samples = np.arange(1, 1000).astype(np.complex64)
    np.testing.assert_array_equal(Channel([Multipath("flat")], 1e6).process(samples), samples)
    for seed in range(10):
        response, _ = impulse_response(Multipath("tdl-c:300ns", unit_power=True, seed=seed), 5e6)
        assert np.sum(np.abs(response) ** 2) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    "name", ["tdl-d:10ns", "tdl-a", "tdl-a:-1ns", "tdl-a:1e9ns", "tdl-a:200000ns", "", "Flat fading"]
)
def test_unknown_profiles_are_refused(name):
    with pytest.raises(UserError, match="multipath is"):
        Multipath(name)


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"profile": "flat", "fading": "doppler", "doppler_hz": 5}, "does not fade"),
        ({"profile": "flat", "rician_k_db": 5}, "does not fade"),
        ({"profile": "rayleigh", "fading": "doppler"}, "doppler_hz above 0"),
        ({"profile": "rayleigh", "fading": "jakes"}, "fading is 'jakes'"),
        ({"profile": "rayleigh", "fading": "block", "block_samples": 0}, "block_samples is 0"),
    ],
)
def test_contradictions_are_refused(arguments, text):
    with pytest.raises(UserError, match=text):
        Multipath(**arguments)


def test_what_does_not_fit_the_sample_rate_is_refused():
    with pytest.raises(UserError, match="doppler_hz is 1001, expected up to 1000"):
        Channel([Multipath("rayleigh", fading="doppler", doppler_hz=1001)], 1e6)
    with pytest.raises(UserError, match="longest delay"):
        Channel([Multipath("tdl-a:100000ns")], 20e6)
