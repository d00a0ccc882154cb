# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic ota` and `calibrate-xo` over simulated radios, with a codec that knows nothing."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from gr_semantic.cli import ota as command
from gr_semantic.cli.main import main
from gr_semantic.link.frame_log import read_frame_log
from gr_semantic.link.ota_row import OtaRow
from gr_semantic.radio.simulated import SimulatedMedium
from gr_semantic.recording.namespace import own_fields
from gr_semantic.recording.run_folder import FRAMES, MANIFEST, PAGE
from gr_semantic.recording.sigmf_file import Recording
from semantic_models.testing import tiny_codec

PAIR = {
    "radios": {"a": {"kind": "simulated"}, "b": {"kind": "simulated"}},
    "forward": {"transmitter": "a", "receiver": "b", "lo_hz": 2.40e9},
    "feedback": {"transmitter": "b", "receiver": "a", "lo_hz": 2.42e9},
    "images": "synthetic:64",
    "images_per_frame": 4,
    "seconds": 0.4,
    "medium": {"forward": {"snr_db": 15, "cfo_hz": 24_000, "sro_ppm": -10}, "feedback": {"snr_db": 14}},
}


@pytest.fixture
def run(tmp_path, monkeypatch, tmp_path_factory):
    """Calls a command with a configuration; slow air, since the machine may be busy."""
    monkeypatch.chdir(tmp_path)
    codec = tiny_codec(tmp_path_factory.mktemp("codec"))
    media = []

    def make_medium(config):
        carriers = {"forward": config.forward, "feedback": config.feedback}
        channels = {carriers[name].lo_hz: fields for name, fields in (config.medium or {}).items() if carriers[name]}
        media.append(SimulatedMedium(channels, speed=0.5))
        return media[-1]

    monkeypatch.setattr(command, "make_medium", make_medium)

    def call(*arguments, name="ota", config=True, **changes):
        path = tmp_path / "pair.yaml"
        path.write_text(yaml.safe_dump(PAIR | {"codec": str(codec)} | changes))
        given = ["--config", str(path)] if config else []
        return CliRunner().invoke(main, [name, *given, *arguments], catch_exceptions=False)

    call.media = media
    return call


def test_a_run_leaves_everything_behind_and_its_transmitters_off(run, tmp_path):
    result = run("--out", "here", "--json", record=True)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output[result.output.index("{\n") :])  # behind the lines of stderr
    folder = tmp_path / "here"
    rows = read_frame_log(folder / FRAMES, OtaRow)
    assert summary["frames_sent"] == len(rows) == 16
    assert (
        summary["frames_received"] >= 12
    )  # in real time: a busy machine loses some. That none is lost is the slow tests' bar
    assert summary["feedback"]["used"] >= 8 and summary["report_delay_ms"]["median"] > 0
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["status"] == "complete" and manifest["config"]["seconds"] == 0.4
    settings = manifest["radios"]["a"]["settings"]
    assert settings["tx_lo_hz"] == 2.40e9 and settings["rx_lo_hz"] == 2.42e9 and settings["tx_attenuation_db"] == 30
    assert manifest["radios"]["b"]["counters"]["overflows"] == 0
    forward, feedback = json.loads((folder / "preflight.json").read_text())
    assert forward["snr_db"] == pytest.approx(15, abs=1) and feedback["snr_db"] == pytest.approx(14, abs=1)
    assert forward["offset_ppm"] == pytest.approx(10, abs=0.3) and forward["advice"] == []
    for name in ("snr_budget.png", "accuracy.png", "constellation.png", "images.png", "preflight.png", PAGE):
        assert (folder / name).stat().st_size > 1000
    assert "over the air" in (folder / PAGE).read_text()
    with Recording(folder / "received.sigmf-meta") as recording:
        assert recording.sample_count > 16 * 24576 and recording.sample_rate_hz == 1e6
        assert recording.own["status"] == "complete" and recording.own["dropped_samples"] >= 0
        assert recording.metadata["captures"][0]["core:frequency"] == 2.40e9
        sent = [a for a in map(own_fields, recording.metadata["annotations"]) if "labels" in a]
        assert [a["sequence"] for a in sent] == list(range(16))
    replay = ["replay", str(folder / "received.sigmf-meta"), "--codec", manifest["config"]["codec"], "--json"]
    again = json.loads(CliRunner().invoke(main, replay, catch_exceptions=False).stdout)
    assert again["frames_found"] == again["frames_identical"] >= summary["frames_received"]
    assert again["accuracy"] is not None and again["frames_false"] == 0
    assert not any(run.media[0].state(f"ip:{name}")["transmitting"] for name in "ab")


def interrupt_after(rows, number):
    """Send this process a signal once so many rows are in the table."""

    def wait():
        deadline_s = time.monotonic() + 60
        path = Path("cut") / FRAMES
        while time.monotonic() < deadline_s:
            if path.exists() and len(path.read_text().splitlines()) > rows:
                break
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_it_has_and_resumed_it_goes_on(run, tmp_path, number):
    interrupt_after(5, number)
    result = run("--out", "cut", "--no-preflight", seconds=1.2)
    assert result.exit_code == 128 + number and "--resume cut" in result.output
    assert not any(run.media[0].state(f"ip:{name}")["transmitting"] for name in "ab")
    folder = tmp_path / "cut"
    before = read_frame_log(folder / FRAMES, OtaRow)
    assert json.loads((folder / MANIFEST).read_text())["status"] == "interrupted" and 5 <= len(before) < 49
    if number == signal.SIGTERM:
        return  # once is enough
    result = run("--resume", "cut", "--no-preflight", config=False)
    assert result.exit_code == 0, result.output
    rows = read_frame_log(folder / FRAMES, OtaRow)
    assert [row.slot for row in rows] == list(range(49)) and repr(rows[: len(before)]) == repr(before)
    assert json.loads((folder / MANIFEST).read_text())["status"] == "complete"


def test_unplugged_for_good_it_ends_with_a_message_and_a_whole_folder(run, tmp_path):
    def unplug():
        while not (run.media and (tmp_path / "gone" / FRAMES).exists()):
            time.sleep(0.02)
        run.media[0].unplug("ip:b")

    threading.Thread(target=unplug, daemon=True).start()
    radios = {name: {"kind": "simulated", "reconnect_s": 0.5} for name in "ab"}
    result = run("--out", "gone", "--no-preflight", radios=radios, seconds=100)
    assert result.exit_code == 1 and "radio b is given up" in result.output
    assert "did not come back within 0.5 s" in result.output
    manifest = json.loads((tmp_path / "gone" / MANIFEST).read_text())
    assert manifest["status"] == "failed" and any("lost" in event for event in manifest["events"])
    assert (tmp_path / "gone" / "summary.json").exists()


def test_a_sweep_resumes_where_it_was(run, tmp_path):
    sweep = {"attenuation_db": [30, 40], "images": 8, "images_per_frame": 4, "qpsk_frames": 2}
    result = run("--out", "swept", "--mode", "sweep", "--no-preflight", sweep=sweep, record=True)
    assert result.exit_code == 0, result.output
    points = json.loads((tmp_path / "swept" / "summary.json").read_text())["points"]
    assert [point["attenuation_db"] for point in points] == [30, 40]
    for point in points:
        assert point["snr_db"] == pytest.approx(15, abs=1) and point["frames_received"] == point["frames"] == 2
        assert point["image_snr_db"] == pytest.approx(15, abs=1) and point["ber"] < 1e-3
        assert point["cfo_hz"] == pytest.approx(24_000, abs=100) and point["images"] == 8
    folder = tmp_path / "swept"
    assert (folder / "sweep.png").stat().st_size > 1000
    with Recording(folder / "point-01.sigmf-meta") as recording:
        assert len(recording.metadata["annotations"]) == 4
    table = (folder / "sweep.csv").read_text().splitlines()
    (folder / "sweep.csv").write_text("\n".join(table[:2]) + "\n")  # as if it had been cut before the second
    result = run("--resume", "swept", "--no-preflight", config=False)
    assert result.exit_code == 0 and "attenuation 40 dB" in result.output and "attenuation 30 dB:" not in result.output
    assert (folder / "sweep.csv").read_text().splitlines()[:2] == table[:2]
    assert len((folder / "sweep.csv").read_text().splitlines()) == 3


def test_a_recording_of_a_sweep_point_replays_with_its_truth(run):
    sweep = {"attenuation_db": [30], "images": 8, "images_per_frame": 4, "qpsk_frames": 2}
    run("--out", "swept", "--mode", "sweep", "--no-preflight", sweep=sweep, record=True)
    result = CliRunner().invoke(main, ["replay", "swept/point-00.sigmf-meta", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert (found["frames_expected"], found["frames_found"], found["frames_false"]) == (4, 4, 0) and found["ber"] == 0


def test_calibrate_xo_finds_what_the_other_crystal_is_off(run):
    result = run("--times", "2", "--json", name="calibrate-xo")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["radio"] == "b" and found["reference"] == "a" and found["measurements"] == 2
    # The transmitter's crystal is 10 ppm faster than the receiver's.
    assert found["offset_ppm"] == pytest.approx(10, abs=0.2) and found["xo_ppm"] == pytest.approx(-10, abs=0.2)
    text = run("--times", "1", "--reference", "b", name="calibrate-xo").output
    assert "under radios.a" in text and float(text.split("xo_ppm: ")[1]) == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize(
    "arguments, text",
    [
        ((), "give --config FILE, or --resume RUN-FOLDER"),
        (("--config", "none.yaml"), "none.yaml: cannot be read"),
        (("--resume", "none"), "none holds no earlier run"),
        (("--config", "x.yaml", "--mode", "duplex"), "--mode"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["ota", *arguments])
    assert result.exit_code == 2 and text in result.output and len(result.output.splitlines()) == 1


def test_nothing_is_created_when_a_radio_is_missing(run, tmp_path):
    radios = {"a": {"uri": "ip:127.0.0.1:1"}, "b": {"uri": "ip:127.0.0.1:2"}}
    result = run("--out", "never", radios=radios, medium=None)
    assert result.exit_code == 2 and "radio a: ip:127.0.0.1:1: no radio answers" in result.output
    assert not (tmp_path / "never").exists()


def test_two_names_of_one_radio_are_noticed(run, monkeypatch):
    monkeypatch.setattr("gr_semantic.radio.simulated._RECORDED", {"kind"})
    real = SimulatedMedium.radio

    def same(self, config):
        radio = real(self, config)
        radio.settings["serial"] = "1044"
        return radio

    monkeypatch.setattr(SimulatedMedium, "radio", same)
    result = run("--out", "same")
    assert result.exit_code == 2 and "radios a and b are the same Pluto (1044)" in result.output
