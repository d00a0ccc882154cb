# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `gr-semantic demo`, around a loop that is played by a fake; tests/link runs the real one."""

import io
import json
import os
import signal
import threading

import numpy as np
import pytest
from click.testing import CliRunner
from link_rows import make_rows
from rich.console import Console

import gr_semantic.link.loop
from gr_semantic.cli.ending import caught_signals
from gr_semantic.cli.main import main
from gr_semantic.cli.progress import Progress
from gr_semantic.link.frame_log import read_frame_log
from semantic_models.testing import tiny_codec

KEYS = [
    "frames_sent",
    "frames_received",
    "images",
    "accuracy",
    "accuracy_by_snr",
    "feedback",
    "adoption_ms",
    "run_dir",
]


class FakeLoop:
    """Gives out ready-made rows. ``limit``: rows after which it goes on for ever, or fails with ``failure``."""

    limit = None
    failure = None
    stopped = 0

    def __init__(self, config, codec, images, on_result, on_symbols):
        self.config, self.on_result, self.on_symbols = config, on_result, on_symbols
        self.error = None
        self.papr_db = 8.5
        self._finished = threading.Event()

    def start(self):
        rows = make_rows(self.config.slots)[: self.limit]
        for row in rows:
            self.on_result(row)
            if row.received:
                self.on_symbols(row.snr_measured_db, np.ones(32, np.complex64))
        self.error = self.failure
        if self.failure or self.limit is None:
            self._finished.set()
        else:
            os.kill(os.getpid(), self.config.seed)  # the seed says which signal ends this run

    def finished(self):
        return self._finished.is_set()

    def stop_and_wait(self):
        type(self).stopped += 1


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls the command with a tiny codec and the fake loop; gives click's result."""
    monkeypatch.setattr(gr_semantic.link.loop, "LoopFlowgraph", FakeLoop)
    for name in ("limit", "failure", "stopped"):
        monkeypatch.setattr(FakeLoop, name, getattr(FakeLoop, name))
    codec = tiny_codec(tmp_path / "codec")
    given = [
        "demo",
        "--codec",
        str(codec),
        "--images",
        "synthetic:64",
        "--seconds",
        "1",
        "--out",
        str(tmp_path / "run"),
    ]
    return lambda *arguments: CliRunner(mix_stderr=False).invoke(main, [*given, *arguments])


def test_json_has_exactly_the_promised_keys_and_stdout_nothing_else(run, tmp_path):
    result = run("--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert list(summary) == KEYS
    assert list(summary["accuracy_by_snr"][0]) == ["snr_db", "images", "accuracy", "reference_accuracy"]
    assert list(summary["feedback"]) == ["sent", "received", "used"]
    assert summary["run_dir"] == str(tmp_path / "run")
    assert summary["frames_sent"] == 49
    assert summary["frames_received"] == 42
    assert summary["images"] == 4 * 42
    assert summary["accuracy"] == 0.75
    assert "frames" in result.stderr
    assert FakeLoop.stopped == 1


def test_the_run_folder_holds_what_the_loop_gave(run, tmp_path):
    assert run().exit_code == 0
    found = read_frame_log(tmp_path / "run" / "frames.csv")
    assert [(row.slot, row.received, row.predicted) for row in found] == [
        (row.slot, row.received, row.predicted) for row in make_rows(49)
    ]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["status"], manifest["papr_db"]) == ("complete", 8.5)
    assert (tmp_path / "run" / "index.html").is_file()


def test_without_json_a_table_and_the_place_of_the_report_are_printed(run, tmp_path):
    result = run()
    assert "accuracy by SNR" in result.stdout
    assert "75.0 %" in result.stdout
    assert f"{tmp_path / 'run' / 'index.html'}" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_what_was_gathered(run, tmp_path, monkeypatch, number):
    monkeypatch.setattr(FakeLoop, "limit", 20)
    before = signal.getsignal(number)
    result = run("--json", "--seed", str(int(number)))
    assert result.exit_code == 128 + number
    assert json.loads(result.stdout)["frames_sent"] == 20
    assert "interrupted after 20 frames" in result.stderr
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "interrupted"
    assert "was interrupted after 20 frames" in (tmp_path / "run" / "index.html").read_text()
    assert len(read_frame_log(tmp_path / "run" / "frames.csv")) == 20
    assert FakeLoop.stopped == 1
    assert signal.getsignal(number) is before


def test_a_failed_run_is_one_line_exit_1_and_keeps_its_rows(run, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeLoop, "limit", 5)
    monkeypatch.setattr(FakeLoop, "failure", "semantic_decoder: decoding failed: out of memory")
    result = run("--json")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("gr-semantic: error: the run failed: semantic_decoder")
    assert json.loads(result.stdout)["frames_sent"] == 5
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "failed"


def empty_folder(path):
    (path / "empty").mkdir()
    return ["--images", str(path / "empty")]


def corrupt_codec(path):
    codec = tiny_codec(path / "corrupt")
    weights = codec / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    return ["--codec", str(codec)]


def file_in_the_way(path):
    (path / "file").write_text("")
    return ["--out", str(path / "file" / "run")]


def wrong_waveform(path):
    (path / "wave.yaml").write_text("name: x\nfft: 64\n")
    return ["--waveform", str(path / "wave.yaml")]


@pytest.mark.parametrize(
    ("make_arguments", "named"),
    [
        (lambda path: ["--codec", "no-such-codec"], "no-such-codec"),
        (corrupt_codec, "corrupt"),
        (lambda path: ["--waveform", "ofdm65"], "ofdm65"),
        (wrong_waveform, "wave.yaml"),
        (empty_folder, "empty"),
        (lambda path: ["--images", str(path / "missing")], "missing"),
        (file_in_the_way, "file"),
        (lambda path: ["--seconds", "-1"], "seconds"),
        (lambda path: ["--seconds", "nan"], "seconds"),
        (lambda path: ["--seed", "-1"], "seed"),
        (lambda path: ["--seconds", "soon"], "seconds"),
        (lambda path: ["--sekonds", "1"], "sekonds"),
    ],
)
def test_wrong_input_is_exit_2_with_one_clear_line_and_no_run_folder(run, tmp_path, make_arguments, named):
    result = run("--json", *make_arguments(tmp_path))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert named in result.stderr.splitlines()[-1]
    assert len(result.stderr.splitlines()) == 1 or result.stderr.startswith("Usage:")
    assert not (tmp_path / "run").exists()


def test_options_reach_the_config(run, tmp_path):
    assert run("--seed", "7", "--no-feedback", "--waveform", "ofdm256").exit_code == 0
    config = json.loads((tmp_path / "run" / "manifest.json").read_text())["config"]
    assert (config["seed"], config["feedback"], config["waveform"]) == (7, False, "ofdm256")


def test_progress_on_a_terminal_shows_the_last_row():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    rows = make_rows(60)
    with Progress(len(rows), console) as progress:
        for row in rows:
            progress.add(row)
    text = console.file.getvalue()
    assert "100 %" in text
    assert "52/60" in text
    assert "75.0 %" in text, "all of the table fits 80 columns"


def test_progress_without_a_terminal_is_ten_plain_lines():
    console = Console(file=io.StringIO(), width=60)
    with Progress(500, console) as progress:
        for row in make_rows(500):
            progress.add(row)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 10
    assert all(line.startswith("link time") and "\x1b" not in line for line in lines)


def test_an_empty_run_shows_no_progress():
    with Progress(10, Console(file=io.StringIO(), force_terminal=True)):
        pass


def test_signals_are_given_back(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    with caught_signals() as caught:
        os.kill(os.getpid(), signal.SIGINT)
        assert caught == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is before, "the second one ends the process as usual"
    assert signal.getsignal(signal.SIGINT) is before
