# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise, gain and their trajectories, against their definitions."""

import numpy as np
import pytest

from gr_semantic.channel import Channel, Gain, Noise, SnrTrajectory
from gr_semantic.errors import UserError

RATE_HZ = 1e6


def power_db(samples):
    return 10 * np.log10(np.mean(np.abs(samples.astype(np.complex128)) ** 2))


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 24.0])
def test_noise_is_white_circular_gaussian_of_the_defined_power(snr_db):
    noise = Channel([Noise(snr_db, seed=1)], RATE_HZ).process(np.zeros(400_000, np.complex64))
    assert power_db(noise) == pytest.approx(-snr_db, abs=0.03)
    unit = noise.astype(np.complex128) * 10 ** (snr_db / 20)
    deviation = 1 / np.sqrt(len(unit))
    assert abs(unit.mean()) < 5 * deviation
    assert abs(np.mean(unit**2)) < 5 * deviation * np.sqrt(2)
    assert all(abs(np.mean(unit[lag:] * unit[:-lag].conj())) < 5 * deviation for lag in (1, 2, 3, 64))
    assert np.mean(np.abs(unit) ** 4) == pytest.approx(2, abs=0.05)


def test_snr_of_a_data_carrier_by_definition():
    """Unit symbols on 52 of 64 carriers, unitary FFT both ways: signal power over error power at the FFT output."""
    rng = np.random.default_rng(2)
    carriers = np.r_[1:27, 38:64]
    symbols = np.zeros((4000, 64), np.complex128)
    symbols[:, carriers] = np.exp(2j * np.pi * rng.uniform(size=(4000, 52)))
    samples = np.fft.ifft(symbols, norm="ortho").ravel().astype(np.complex64)
    received = Channel([Noise(7.0, seed=3)], RATE_HZ).process(samples)
    error = np.fft.fft(received.reshape(-1, 64), norm="ortho") - symbols
    assert -power_db(error[:, carriers]) == pytest.approx(7.0, abs=0.05)


def test_no_noise():
    samples = np.ones(100, np.complex64)
    np.testing.assert_array_equal(Channel([Noise(None)], RATE_HZ).process(samples), samples)


def test_noise_follows_the_trajectory_over_link_time():
    trajectory = SnrTrajectory([(0, 20), (0.1, 0), (0.1, 15), (0.2, 15)])
    noise = Channel([Noise(trajectory, seed=4)], RATE_HZ).process(np.zeros(200_000, np.complex64))
    for first in range(0, 200_000, 5000):
        middle_s = (first + 2500) / RATE_HZ
        assert power_db(noise[first : first + 5000]) == pytest.approx(-trajectory.at(middle_s), abs=0.25)


def test_gain_follows_a_trajectory_and_jumps_at_the_sample():
    trajectory = SnrTrajectory([(0, 0), (0.01, -20), (0.01, 5), (0.1, 5)])
    out = Channel([Gain(trajectory)], RATE_HZ).process(np.ones(30_000, np.complex64))
    seen_db = 20 * np.log10(out.real)
    steps = np.abs(np.diff(seen_db))
    assert np.flatnonzero(steps > 1).tolist() == [9_999]
    np.testing.assert_allclose(seen_db, trajectory.at(np.arange(30_000) / RATE_HZ), atol=64 * 20 / 10_000)


def test_setters_act_from_the_next_sample_on():
    noise, gain = Noise(0, seed=5), Gain(0)
    channel = Channel([gain, noise], RATE_HZ)
    ones = np.ones(50_000, np.complex64)
    assert power_db(channel.process(ones) - 1) == pytest.approx(0, abs=0.1)
    noise.set_snr_db(20)
    assert power_db(channel.process(ones) - 1) == pytest.approx(-20, abs=0.1)
    noise.set_snr_db(None)
    gain.set_gain_db(-6)
    np.testing.assert_allclose(channel.process(ones), 10 ** (-6 / 20), rtol=1e-6)


def test_trajectory_points_and_jumps():
    trajectory = SnrTrajectory([(1, 10), (3, 20), (3, 5), (4, 7)])
    np.testing.assert_allclose(
        trajectory.at([0, 1, 2, 2.999999, 3, 3.5, 4, 99]), [10, 10, 15, 20, 5, 6, 7, 7], atol=1e-4
    )
    assert trajectory.at(2) == 15 and isinstance(trajectory.at(2), float)
    assert trajectory.at(np.zeros((2, 3))).shape == (2, 3)
    assert trajectory.jumps == [(3, 20, 5)]
    assert SnrTrajectory(trajectory.points) == trajectory


def test_demo_trajectory():
    demo = SnrTrajectory.demo(30)
    assert demo.at(0) == 24 and demo.at(12) == pytest.approx(-4) and demo.at(24) == pytest.approx(24)
    ((time_s, before_db, after_db),) = demo.jumps
    assert 24 < time_s < 30 and before_db - after_db == 15
    assert demo.at(30) == after_db


@pytest.mark.parametrize("points", [[], [(0, 1), (-1, 2)], [(0, np.nan)], [(0,)], 5, "demo"])
def test_wrong_trajectories_are_refused(points):
    with pytest.raises(UserError, match="trajectory"):
        SnrTrajectory(points)
