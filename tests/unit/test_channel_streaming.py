# SPDX-License-Identifier: GPL-3.0-or-later
"""A channel's output does not depend on how its input is cut, and reset() or an equal seed gives it again."""

import numpy as np
import pytest

from gr_semantic.channel import Channel, ChannelConfig, Interferer
from gr_semantic.errors import UserError

RATE_HZ = 1e6
LENGTH = 30_000

SETTINGS = {
    "nothing": {},
    "noise": {"snr_db": 10},
    "noise on a trajectory": {"snr_db": [[0, 20], [0.01, 0], [0.01, 10]]},
    "gain": {"gain_db": -3},
    "cfo": {"cfo_hz": 1234.5},
    "sro, hardly": {"sro_ppm": 1e-3},
    "sro": {"sro_ppm": 37},
    "sro, fast clock": {"sro_ppm": 1000},
    "sro, slow clock": {"sro_ppm": -1000},
    "static multipath": {"multipath": "tdl-a:300ns"},
    "block fading": {"multipath": "tdl-b:100ns", "fading": "block", "fading_block_s": 777e-6},
    "doppler": {"multipath": "tdl-c:300ns", "fading": "doppler", "doppler_hz": 300, "rician_k_db": 3},
    "flat doppler": {"multipath": "rayleigh", "fading": "doppler", "doppler_hz": 1000},
    "phase noise": {"phase_noise_linewidth_hz": 20},
    "phase noise in a loop": {"phase_noise_linewidth_hz": 20, "phase_noise_loop_hz": 1000},
    "iq": {"iq_gain_db": 1, "iq_phase_deg": 3},
    "dc": {"dc_offset_db": -20},
    "amplifier": {"pa_backoff_db": 3, "pa_smoothness": 4},
    "whole delay": {"delay_samples": 1000},
    "fractional delay": {"delay_samples": 3.3},
    "tone": {"interferer_db": -3, "interferer_hz": 1e5},
}
EVERYTHING = {name: value for fields in SETTINGS.values() for name, value in fields.items()}
SETTINGS["everything"] = {**EVERYTHING, "sro_ppm": -50}


def complex_noise(seed, length=LENGTH):
    return (
        (np.random.default_rng(seed).standard_normal((length, 2)) * np.sqrt(0.5))
        .astype(np.float32)
        .view(np.complex64)[:, 0]
    )


def random_cuts(rng, samples):
    """Pieces of random lengths, many of them empty or a few samples."""
    first = 0
    while first < len(samples):
        length = int(rng.choice([0, 1, 1, 2, 3, 7, rng.integers(1, 100), rng.integers(1, 10_000)]))
        yield samples[first : first + length]
        first += length


def bits(samples):
    assert samples.dtype == np.complex64 and samples.ndim == 1
    return samples.view(np.uint64)


@pytest.mark.parametrize("name", SETTINGS)
def test_cuts_and_reset_change_no_bit(name):
    samples = complex_noise(1)
    untouched = samples.copy()
    channel = ChannelConfig(**SETTINGS[name]).build(RATE_HZ, seed=5)
    whole = channel.process(samples)
    assert np.isfinite(whole.view(np.float32)).all()
    assert (len(whole) == LENGTH) == ("sro_ppm" not in SETTINGS[name])
    rng = np.random.default_rng(2)
    for _ in range(3):
        channel.reset()
        cut = np.concatenate([channel.process(piece) for piece in random_cuts(rng, samples)])
        np.testing.assert_array_equal(bits(cut), bits(whole))
    again = ChannelConfig(**SETTINGS[name]).build(RATE_HZ, seed=5).process(samples)
    np.testing.assert_array_equal(bits(again), bits(whole))
    np.testing.assert_array_equal(samples, untouched)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "nothing"])
def test_every_impairment_does_something(name):
    samples = complex_noise(1, 15_000)
    whole = ChannelConfig(**SETTINGS[name]).build(RATE_HZ).process(samples)
    assert len(whole) != len(samples) or not np.array_equal(whole, samples)


def test_all_off_passes_the_samples():
    samples = complex_noise(3)
    out = ChannelConfig().build(RATE_HZ).process(samples)
    np.testing.assert_array_equal(out, samples)
    assert not np.shares_memory(out, samples)


def test_a_looped_interferer_does_not_depend_on_cuts():
    samples = complex_noise(1)
    channel = Channel([Interferer(complex_noise(2, 777), power_db=0)], RATE_HZ)
    whole = channel.process(samples)
    channel.reset()
    cut = np.concatenate([channel.process(piece) for piece in random_cuts(np.random.default_rng(3), samples)])
    np.testing.assert_array_equal(bits(cut), bits(whole))


def test_seeds_differ_and_impairments_have_their_own():
    samples = np.zeros(5000, np.complex64)
    alone = ChannelConfig(snr_db=0).build(RATE_HZ, seed=1).process(samples)
    assert not np.array_equal(alone, ChannelConfig(snr_db=0).build(RATE_HZ, seed=2).process(samples))
    fading = ChannelConfig(snr_db=0, multipath="rayleigh", phase_noise_linewidth_hz=9).build(RATE_HZ, seed=1)
    np.testing.assert_array_equal(fading.process(samples), alone)


def test_input_limit_holds():
    rng = np.random.default_rng(4)
    for sro_ppm in (-1000, -20, 0, 20, 1000):
        channel = ChannelConfig(sro_ppm=sro_ppm).build(RATE_HZ)
        progress = 0
        for room in rng.integers(0, 5000, 200):
            count = channel.input_limit(int(room))
            assert len(channel.process(np.zeros(count, np.complex64))) <= room
            progress += count
        assert progress > 400_000


def test_wrong_input_is_refused():
    channel = ChannelConfig().build(RATE_HZ)
    with pytest.raises(UserError, match="1-D"):
        channel.process(np.zeros((2, 2), np.complex64))
    with pytest.raises(UserError, match="sample_rate_hz is 0"):
        Channel([], 0)
