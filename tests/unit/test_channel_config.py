# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel settings: where they come from, what they refuse, and what they build."""

import numpy as np
import pytest
import yaml

from gr_semantic.channel import (
    CarrierOffset,
    ChannelConfig,
    DcOffset,
    Delay,
    Gain,
    Interferer,
    IqImbalance,
    Multipath,
    Noise,
    PhaseNoise,
    PowerAmplifier,
    SampleRateOffset,
    SnrTrajectory,
    Tone,
)
from gr_semantic.errors import UserError

ALL_FIELDS = {
    "snr_db": [[0.0, 20.0], [1.0, 0.0]],
    "gain_db": -3.0,
    "multipath": "tdl-b:100ns",
    "fading": "block",
    "fading_block_s": 0.01,
    "rician_k_db": 3.0,
    "cfo_hz": 100.0,
    "sro_ppm": -2.0,
    "phase_noise_linewidth_hz": 2.0,
    "phase_noise_loop_hz": 50.0,
    "iq_gain_db": 0.2,
    "iq_phase_deg": 1.0,
    "dc_offset_db": -40.0,
    "pa_backoff_db": 6.0,
    "pa_smoothness": 4,
    "delay_samples": 2.5,
    "interferer_db": -10.0,
    "interferer_hz": 1e5,
}


def kinds(config):
    return [type(impairment) for impairment in config.build(1e6).impairments]


def test_defaults_are_a_clean_channel():
    assert kinds(ChannelConfig()) == [Gain, CarrierOffset, Noise]
    assert ChannelConfig().to_dict() == {}


def test_every_field_is_documented():
    assert all(field.description for field in ChannelConfig.model_fields.values())


def test_all_fields_build_in_the_order_of_a_radio():
    assert kinds(ChannelConfig(**ALL_FIELDS)) == [
        PowerAmplifier,
        Multipath,
        Delay,
        Gain,
        Tone,
        SampleRateOffset,
        CarrierOffset,
        PhaseNoise,
        Noise,
        IqImbalance,
        DcOffset,
    ]


def test_dict_and_yaml_make_the_same_channel(tmp_path):
    config = ChannelConfig(**ALL_FIELDS)
    assert ChannelConfig.from_dict(config.to_dict()) == config
    (tmp_path / "channel.yaml").write_text(yaml.safe_dump(config.to_dict()))
    read = ChannelConfig.from_yaml(tmp_path / "channel.yaml")
    assert read == config
    samples = np.ones(5000, np.complex64)
    np.testing.assert_array_equal(read.build(1e6, 7).process(samples), config.build(1e6, 7).process(samples))


def test_trajectory_of_every_form():
    assert ChannelConfig().trajectory is None
    assert ChannelConfig(snr_db=5).trajectory.at(9) == 5
    demo = SnrTrajectory.demo(3)
    assert ChannelConfig(snr_db=demo).trajectory == demo == ChannelConfig(snr_db=demo.points).trajectory


def test_interferer_from_a_file(tmp_path):
    samples = np.exp(1j * np.arange(50)).astype("<c8")
    samples.tofile(tmp_path / "other.cf32")
    config = ChannelConfig(interferer_db=0, interferer_file=str(tmp_path / "other.cf32"))
    assert Interferer in kinds(config)
    np.testing.assert_allclose(config.build(1e6).process(np.zeros(100, np.complex64)), np.tile(samples, 2), atol=1e-6)
    with pytest.raises(UserError, match=r"missing\.cf32: cannot be read"):
        ChannelConfig(interferer_db=0, interferer_file=str(tmp_path / "missing.cf32")).build(1e6)
    (tmp_path / "empty.cf32").touch()
    with pytest.raises(UserError, match=r"empty\.cf32: .*at least one sample"):
        ChannelConfig(interferer_db=0, interferer_file=str(tmp_path / "empty.cf32")).build(1e6)


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"snr": 3}, "unknown field 'snr'; known here: snr_db"),
        ({"snr_db": 101}, "snr_db is 101, expected -60 to 100"),
        ({"snr_db": "loud"}, "snr_db is 'loud', expected a number"),
        ({"snr_db": True}, "snr_db"),
        ({"snr_db": [[0, 1], [1, 200]]}, "snr_db is 200, expected -60 to 100"),
        ({"snr_db": [[1, 1], [0, 1]]}, "snr_db trajectory"),
        ({"snr_db": float("nan")}, "snr_db is nan"),
        ({"gain_db": 61}, "gain_db is 61, expected -120 to 60"),
        ({"gain_db": float("inf")}, "gain_db is inf"),
        ({"multipath": "tdl-x:1ns"}, "multipath is 'tdl-x:1ns', expected"),
        ({"fading": "fast"}, "fading is 'fast', expected 'static', 'block' or 'doppler'"),
        ({"fading": "block"}, "multipath is 'flat', which does not fade"),
        ({"rician_k_db": 3}, "multipath is 'flat', which does not fade"),
        ({"multipath": "rayleigh", "fading": "doppler"}, "doppler_hz above 0"),
        ({"doppler_hz": -1}, "doppler_hz is -1, expected 0 to 100000"),
        ({"fading_block_s": 0}, "fading_block_s is 0, expected 1e-06"),
        ({"sro_ppm": 1500}, "sro_ppm is 1500, expected -1000 to 1000"),
        ({"phase_noise_linewidth_hz": -1}, "phase_noise_linewidth_hz is -1, expected 0 to"),
        ({"iq_phase_deg": 90}, "iq_phase_deg is 90, expected -45 to 45"),
        ({"pa_smoothness": 3}, "pa_smoothness is 3, expected 1, 2 or 4"),
        ({"delay_samples": -1}, "delay_samples is -1, expected 0 to"),
        ({"interferer_file": "x"}, "interferer_db is not"),
    ],
)
def test_wrong_fields_are_refused_in_one_line(fields, text):
    with pytest.raises(UserError, match=text) as refusal:
        ChannelConfig(**fields)
    assert "\n" not in str(refusal.value)


def test_what_does_not_fit_the_sample_rate_is_refused():
    with pytest.raises(UserError, match="cfo_hz is 60000, expected -50000 to 50000"):
        ChannelConfig(cfo_hz=6e4).build(1e5)
    with pytest.raises(UserError, match="doppler_hz is 500, expected up to 100"):
        ChannelConfig(multipath="rayleigh", fading="doppler", doppler_hz=500).build(1e5)
    with pytest.raises(UserError, match="seed is -1"):
        ChannelConfig().build(1e6, seed=-1)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "1: 2\n", "snr: 3\n", "cfo_hz: 1e99\n"])
def test_wrong_files_are_refused_with_their_name(tmp_path, text):
    (tmp_path / "channel.yaml").write_text(text)
    with pytest.raises(UserError, match=r"channel\.yaml: ") as refusal:
        ChannelConfig.from_yaml(tmp_path / "channel.yaml")
    assert "\n" not in str(refusal.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.yaml: cannot be read"):
        ChannelConfig.from_yaml(tmp_path / "nothing.yaml")
