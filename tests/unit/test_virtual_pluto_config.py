# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of virtual Plutos, the command, and the server in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml
from click.testing import CliRunner
from virtual_air import TwoPlutos

from gr_semantic.cli.main import main
from gr_semantic.errors import UserError
from gr_semantic.paths import ROOT
from gr_semantic.virtual_pluto import SetPath, Unplug, VirtualPlutosConfig, VirtualPlutosProcess
from gr_semantic.virtual_pluto.config import ListedPath, PathConfig, RadioConfig

FULL = {
    "radios": [{"ppm": 10, "serial": "A1"}, {"ppm": -10, "dc_offset_dbfs": -40}],
    "default_path": {"gain_db": [[0, -60], [5, -80]], "multipath": "tdl-a:100ns"},
    "paths": [{"from": 0, "to": 0, "gain_db": -30}],
    "interferers": [{"file": "x.sigmf-meta", "frequency_hz": 2.4e9, "power_dbm": -70, "radios": [1]}],
    "events": [
        {"time_s": 1, "kind": "path_gain", "from": 0, "to": 1, "gain_db": -70},
        {"time_s": 2, "kind": "noise_figure", "radio": 1, "noise_figure_db": 20},
        {"time_s": 3, "kind": "ppm", "radio": 0, "ppm": 3},
        {"time_s": 4, "kind": "unplug", "radio": 1, "for_s": 5, "silent": True},
    ],
    "speed": 0.5,
    "patience_s": 2,
}


def test_every_field_survives_json():
    config = VirtualPlutosConfig.from_dict(FULL)
    again = VirtualPlutosConfig.from_dict(json.loads(json.dumps(config.model_dump(mode="json", by_alias=True))))
    assert again == config
    assert config.path(0, 0).gain_db == -30 and config.path(1, 0) is config.default_path and config.path(1, 1) is None
    assert config.path(0, 1).gain_at(2.5) == -70
    assert isinstance(config.events[3], Unplug)


@pytest.mark.parametrize("model", [VirtualPlutosConfig, RadioConfig, PathConfig, ListedPath, SetPath, Unplug])
def test_every_field_is_documented(model):
    undocumented = [name for name, field in model.model_fields.items() if not field.description and name != "kind"]
    assert not undocumented


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"radio": []}, ["radio", "unknown"]),
        ({"radios": []}, ["radios"]),
        ({"radios": [{}] * 9}, ["radios"]),
        ({"radios": [{"ppm": 500}]}, ["ppm", "500"]),
        ({"radios": [{"colour": "red"}]}, ["colour"]),
        ({"radios": [{"serial": "a"}, {"serial": "a"}]}, ["serial"]),
        ({"default_path": {"gain_db": 50}}, ["gain_db", "50", "-200 to 40"]),
        ({"default_path": {"gain_db": [[1, -60], [0, -60]]}}, ["time 0"]),
        ({"default_path": {"multipath": "tdl-z"}}, ["multipath", "tdl-z"]),
        ({"default_path": {"fading": "doppler", "multipath": "rayleigh"}}, ["doppler_hz"]),
        ({"paths": [{"from": 0, "to": 2}]}, ["paths.0.to", "2", "0 to 1"]),
        ({"paths": [{"from": 0, "to": 1}] * 2}, ["twice"]),
        ({"events": [{"kind": "unplug", "radio": 2}]}, ["events.0", "2"]),
        ({"events": [{"kind": "earthquake"}]}, ["earthquake"]),
        ({"events": [{"kind": "path_gain", "from": 1, "to": 1, "gain_db": 0}]}, ["no path"]),
        ({"port": 65535}, ["port"]),
        ({"speed": 0}, ["speed"]),
        ({"tick_ms": "soon"}, ["tick_ms", "soon"]),
    ],
)
def test_mistakes_are_named(fields, words, tmp_path):
    with pytest.raises(UserError) as caught:
        VirtualPlutosConfig.from_dict(fields)
    assert all(word in str(caught.value) for word in words), caught.value
    path = tmp_path / "air.yaml"
    path.write_text(yaml.safe_dump(fields))
    result = CliRunner(mix_stderr=False).invoke(main, ["virtual-pluto", "--config", str(path)])
    assert result.exit_code == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert "air.yaml" in result.stderr


@pytest.mark.parametrize("text", [None, "radios: [", "- 1", "\x00"])
def test_unreadable_files(tmp_path, text):
    path = tmp_path / "air.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"air\.yaml"):
        VirtualPlutosConfig.from_yaml(path)


def test_an_empty_file_gives_the_defaults_and_interferers_are_relative_to_it(tmp_path):
    path = tmp_path / "air.yaml"
    path.write_text("")
    assert VirtualPlutosConfig.from_yaml(path) == VirtualPlutosConfig()
    path.write_text(yaml.safe_dump(FULL))
    assert VirtualPlutosConfig.from_yaml(path).interferers[0].file == str(tmp_path / "x.sigmf-meta")


def test_missing_interferer_is_one_line(tmp_path):
    path = tmp_path / "air.yaml"
    path.write_text(yaml.safe_dump(FULL))
    result = CliRunner(mix_stderr=False).invoke(main, ["virtual-pluto", "--config", str(path)])
    assert result.exit_code == 2 and "x.sigmf-meta" in result.stderr


def test_the_examples_of_help_and_page_are_right():
    page = (ROOT / "docs/virtual-pluto.md").read_text()
    config = VirtualPlutosConfig.from_dict(yaml.safe_load(page.split("```yaml\n")[1].split("```")[0]))
    assert config.events[2].for_s == 5 and config.path(1, 0).gain_at(30) == -85
    help_text = CliRunner().invoke(main, ["virtual-pluto", "--help"]).stdout
    example = help_text[help_text.index("radios: [") : help_text.index("Options:")]
    assert VirtualPlutosConfig.from_dict(yaml.safe_load("      " + example)).events[0].gain_db == -80


def test_help_teaches_every_field():
    help_text = CliRunner().invoke(main, ["virtual-pluto", "--help"]).stdout
    assert "Examples:" in help_text and "iio_info" in help_text
    fields = CliRunner().invoke(main, ["virtual-pluto", "--fields"]).stdout
    for name in ("noise_figure_db", "from [required]", "for_s", "time_zero", "power_dbm", "rician_k_db"):
        assert name in fields


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_runs_until_it_is_told_to_end(number):
    command = [sys.executable, "-m", "gr_semantic.cli.main", "virtual-pluto", "--radios", "3", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        assert len(set(ready["uris"])) == 3 and len(set(ready["serials"])) == 3
        for uri in ready["uris"]:
            socket.create_connection(("127.0.0.1", int(uri.split(":")[2])), timeout=10).close()
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and stdout == ""


def test_process_answers_and_ends():
    with VirtualPlutosProcess({"time_zero": "start"}).start() as plutos:
        pid = plutos.pid
        assert os.getsid(pid) != os.getsid(0)  # Ctrl-C does not reach it
        assert len(plutos.uris) == 2 and plutos.state(0).plugged and plutos.state(1).dds_scales == (0.0,) * 4
        plutos.apply(Unplug(radio=1))
        end = time.monotonic() + 20
        while plutos.state(1).plugged and time.monotonic() < end:
            time.sleep(0.01)
        assert not plutos.state(1).plugged
        plutos.plug_in(1)
        while not plutos.state(1).plugged and time.monotonic() < end:
            time.sleep(0.01)
        assert plutos.state(1).plugged and plutos.time_s > 0 and plutos.slipped_s >= 0
        with pytest.raises(UserError, match="radio 7"):
            plutos.apply(Unplug(radio=7))
        with pytest.raises(UserError, match="unknown request"):
            plutos.state(7)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(UserError, match="does not run"):
        plutos.state(0)


def test_process_says_why_it_does_not_start():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}"):
            VirtualPlutosProcess({"port": port, "radios": [{}]}).start()


def test_process_that_dies_is_noticed():
    with VirtualPlutosProcess({"radios": [{}]}).start() as plutos:
        os.kill(plutos.pid, signal.SIGKILL)
        with pytest.raises(UserError):
            for _ in range(3):
                plutos.state(0)


def test_settings_changed_by_an_event_or_a_client_reach_the_air():
    plutos = TwoPlutos({"radios": [{}, {}]})
    before = plutos.air._stations[0].settings()
    assert plutos.air._stations[0].settings() is before
    plutos.set(0, tx_gain_db=-20.0)
    assert plutos.air._stations[0].settings().tx_gain_db == -20
