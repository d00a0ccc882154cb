# SPDX-License-Identifier: GPL-3.0-or-later
"""IQ imbalance, DC offset, amplifier, delay and interferers."""

import numpy as np
import pytest

from gr_semantic.channel import Channel, DcOffset, Delay, Interferer, IqImbalance, PowerAmplifier, Tone
from gr_semantic.errors import UserError

RATE_HZ = 1e6


def process(impairment, samples):
    return Channel([impairment], RATE_HZ).process(np.asarray(samples, np.complex64)).astype(np.complex128)


@pytest.mark.parametrize("gain_db, phase_deg", [(1.0, 0.0), (0.0, 5.0), (-0.5, 3.0)])
def test_image_rejection(gain_db, phase_deg):
    bins = np.fft.fft(process(IqImbalance(gain_db, phase_deg), np.exp(2j * np.pi * 100 * np.arange(1000) / 1000)))
    g, phase = 10 ** (gain_db / 20), np.radians(phase_deg)
    expected = (1 + 2 * g * np.cos(phase) + g**2) / (1 - 2 * g * np.cos(phase) + g**2)
    assert 20 * np.log10(abs(bins[100]) / abs(bins[-100])) == pytest.approx(10 * np.log10(expected), abs=0.01)
    others = np.delete(np.abs(bins), [100, 900])
    assert others.max() < 1e-3


def test_dc_offset():
    out = process(DcOffset(-20, angle_deg=30), np.zeros(10))
    np.testing.assert_allclose(out, 0.1 * np.exp(1j * np.pi / 6), rtol=1e-6)


@pytest.mark.parametrize("smoothness", [1, 2, 4])
def test_rapp_curve(smoothness):
    """Against the formula; linear far below saturation, 2 ** (-1 / (2 p)) at the knee, then saturated; no AM/PM."""
    saturation = 10 ** (6 / 20)
    drive = np.geomspace(1e-3, 100, 300) * saturation
    out = process(PowerAmplifier(6, smoothness), drive * np.exp(0.7j))
    expected = drive / (1 + (drive / saturation) ** (2 * smoothness)) ** (1 / (2 * smoothness))
    np.testing.assert_allclose(np.abs(out), expected, rtol=1e-5)
    np.testing.assert_allclose(np.angle(out), 0.7, atol=1e-6)
    assert np.abs(out)[-1] == pytest.approx(saturation, rel=1e-4)
    assert abs(process(PowerAmplifier(6, smoothness), [saturation])[0]) == pytest.approx(
        saturation * 2 ** (-1 / (2 * smoothness)), rel=1e-5
    )


def test_amplifier_knee_out_of_range_is_refused():
    with pytest.raises(UserError, match="pa_smoothness is 3, expected 1, 2 or 4"):
        PowerAmplifier(6, 3)


def test_whole_delay():
    samples = np.arange(1, 101)
    np.testing.assert_array_equal(process(Delay(7), samples), np.r_[np.zeros(7), samples[:-7]])
    np.testing.assert_array_equal(process(Delay(0), samples), samples)


@pytest.mark.parametrize("delay_samples", [0.25, 3.5, 40.9])
@pytest.mark.parametrize("frequency", [0.05, -0.3, 0.42])
def test_fractional_delay(delay_samples, frequency):
    delay = Delay(delay_samples)
    out = process(delay, np.exp(2j * np.pi * frequency * np.arange(3000)))
    place = np.arange(3000) - delay_samples - delay.latency_samples
    error = (out - np.exp(2j * np.pi * frequency * place))[200:]
    assert 10 * np.log10(np.mean(np.abs(error) ** 2)) < -65


@pytest.mark.parametrize("delay_samples", [-1, np.nan, np.inf])
def test_impossible_delays_are_refused(delay_samples):
    with pytest.raises(UserError, match="delay_samples is"):
        Delay(delay_samples)


def test_interferer_loops_at_its_power():
    given = np.array([3, 4j, 0, -5])
    out = process(Interferer(given, power_db=-10), np.ones(10)) - 1
    assert np.mean(np.abs(out[:8]) ** 2) == pytest.approx(0.1, rel=1e-5)
    np.testing.assert_allclose(out, np.tile(given, 3)[:10] * np.sqrt(0.1 / 12.5), atol=1e-6)


def test_tone_interferer():
    out = process(Tone(-2e5, power_db=3), np.zeros(20_000))
    ideal = 10 ** (3 / 20) * np.exp(-2j * np.pi * 0.2 * np.arange(20_000))
    np.testing.assert_allclose(out, ideal, atol=1e-6)
    with pytest.raises(UserError, match="interferer_hz"):
        Channel([Tone(6e5, 0)], RATE_HZ)


@pytest.mark.parametrize("samples", [[], [0, 0], [1, np.nan]])
def test_useless_interferers_are_refused(samples):
    with pytest.raises(UserError, match="interferer"):
        Interferer(np.array(samples), 0)
