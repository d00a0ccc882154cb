# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardware configurations: the files that we ship, and mistakes that are named with field and range."""

import pytest

from gr_semantic.errors import UserError
from gr_semantic.link.ota_config import Carrier, OtaConfig, SweepConfig
from gr_semantic.paths import ROOT
from gr_semantic.radio import RadioConfig

FILES = sorted((ROOT / "hw_configs").glob("*.yaml"))
FORWARD = {"transmitter": "a", "receiver": "b", "lo_hz": 2.40e9}
FEEDBACK = {"transmitter": "b", "receiver": "a", "lo_hz": 2.42e9}
PAIR = {"radios": {"a": {"uri": "ip:one"}, "b": {"uri": "ip:two"}}, "forward": FORWARD, "feedback": FEEDBACK}


def configure(**changes):
    return OtaConfig.from_dict(PAIR | changes, "pair.yaml")


def radios(**fields):
    return {"a": {"uri": "ip:one"} | fields, "b": {"uri": "ip:two"}}


def test_all_five_are_there():
    names = {path.stem for path in FILES}
    assert names == {"pair_2g4", "single_loopback", "one_way_tx", "one_way_rx", "virtual_pair"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_we_ship_is_valid_and_safe(path):
    config = OtaConfig.from_yaml(path)
    uris = dict.fromkeys(config.radios, "ip:x") if config.virtual_plutos is not None else None
    for radio in config.radio_configs(uris).values():
        assert radio.tx_attenuation_db >= 30 and radio.rx_gain_mode == "manual" and not radio.strong_transmit


@pytest.mark.parametrize("settings", [OtaConfig, Carrier, RadioConfig, SweepConfig])
def test_every_field_is_documented(settings):
    text = (ROOT / "docs" / "pluto.md").read_text()
    for name, field in settings.model_fields.items():
        if settings is not RadioConfig or name not in ("sample_rate_hz", "tx_lo_hz", "rx_lo_hz"):
            assert f"| `{name}` |" in text and field.description in text, name


def test_carriers_reach_the_radios_that_use_them():
    both = configure().radio_configs()
    assert (both["a"].tx_lo_hz, both["a"].rx_lo_hz) == (2.40e9, 2.42e9)
    assert (both["b"].tx_lo_hz, both["b"].rx_lo_hz) == (2.42e9, 2.40e9)
    sending = configure(mode="tx", radios={"a": {"uri": "ip:one"}}).radio_configs()
    assert list(sending) == ["a"] and (sending["a"].tx_lo_hz, sending["a"].rx_lo_hz) == (2.40e9, None)
    hearing = configure(mode="rx", radios={"b": {"uri": "ip:two"}}).radio_configs()
    assert list(hearing) == ["b"] and (hearing["b"].tx_lo_hz, hearing["b"].rx_lo_hz) == (None, 2.40e9)


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"bogus": 1}, "unknown field 'bogus'; known here: mode, radios,"),
        ({"seconds": -1}, "seconds is -1, expected 0.1 to 86400"),
        ({"sample_rate_hz": 1e5}, "sample_rate_hz is 100000.0, expected 521000 to 61440000"),
        ({"forward": FORWARD | {"lo_hz": 2.4e12}}, "forward.lo_hz is 2400000000000.0, expected 70000000 to 6000000000"),
        ({"forward": {"transmitter": "a"}}, "field 'forward.receiver' is missing"),
        ({"forward": FORWARD | {"receiver": "c"}}, "forward.receiver is 'c', which is not among radios: a, b"),
        ({"feedback": None}, "feedback is missing"),
        ({"radios": radios(rx_gain_db=90)}, "radios.a: rx_gain_db is 90, expected -3 to 73"),
        ({"radios": radios(gain=3)}, "radios.a: unknown field 'gain'"),
        ({"radios": radios(tx_attenuation_db=10)}, "tx_attenuation_db is 10, expected 30 or more.*strong_transmit"),
        ({"radios": radios(tx_lo_hz=1e9)}, "radios.a.tx_lo_hz: is set by sample_rate_hz, forward and feedback"),
        ({"radios": radios(uri="pluto")}, "radios.a: uri: 'pluto' is no address"),
        ({"radios": radios(uri="usb:")}, "names no radio: with two plugged in"),
        ({"radios": {"a": {}, "b": {"uri": "ip:two"}}}, "radios.a: uri is missing"),
        ({"rate_controller": {"smoothing": 7}}, "smoothing"),
        ({"sweep": {"images": 0}}, "sweep.images is 0, expected 1 to 100000"),
        ({"mode": "duplex"}, "mode is 'duplex', expected 'closed-loop', 'tx', 'rx' or 'sweep'"),
    ],
)
def test_a_mistake_names_field_and_range(changes, text):
    with pytest.raises(UserError, match=f"^pair.yaml: .*{text}"):
        configure(**changes)


def test_a_strong_transmitter_must_be_asked_for():
    assert RadioConfig(uri="ip:x", tx_attenuation_db=0, strong_transmit=True).tx_attenuation_db == 0
    assert RadioConfig(uri="ip:x").tx_attenuation_db == 30


@pytest.mark.parametrize(
    "text, what", [("[1, 2", "is not YAML"), ("- 1", "expected a mapping"), (None, "cannot be read")]
)
def test_a_file_that_is_no_configuration(tmp_path, text, what):
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=f"{path}: .*{what}"):
        OtaConfig.from_yaml(path)
