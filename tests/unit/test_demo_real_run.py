# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic demo` with the real flowgraph, short, on a codec without training."""

import io
import json
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from gr_semantic.cli.demo import run_demo
from gr_semantic.link.config import LoopConfig
from gr_semantic.link.frame_log import read_frame_log
from semantic_models.testing import tiny_codec


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return str(tiny_codec(tmp_path_factory.mktemp("codec") / "tiny"))


def run(path, codec, **settings):
    settings = {"seconds": 0.5, "images": "synthetic:64", "images_per_frame": 4, "codec": codec, **settings}
    done = run_demo(LoopConfig(**settings), path, Console(file=io.StringIO()))
    assert done.error is None
    return done, (path / "frames.csv").read_text()


def test_same_seed_same_table_to_the_last_digit(tmp_path, codec):
    first = run(tmp_path / "first", codec, seed=5)[1]
    assert run(tmp_path / "second", codec, seed=5)[1] == first
    assert run(tmp_path / "other", codec, seed=6)[1] != first


def test_long_codes_take_fewer_images_a_frame(tmp_path):
    long = str(tiny_codec(tmp_path / "long", budgets=(8, 128)))
    path = tmp_path / "run"
    done = run_demo(LoopConfig(codec=long, seconds=0.1), path, Console(file=io.StringIO()))
    assert done.error is None and done.summary["frames_received"] == 5
    assert json.loads((path / "manifest.json").read_text())["config"]["images_per_frame"] == 44


def test_a_drop_is_adopted_within_100_ms_and_not_without_feedback(tmp_path, codec):
    settings = {"seconds": 1.2, "trajectory": [(0, 24), (0.6, 24), (0.6, 9)]}
    closed, _ = run(tmp_path / "closed", codec, **settings)
    assert closed.summary["frames_received"] == closed.summary["frames_sent"] == 59
    assert closed.summary["feedback"] == {"sent": 59, "received": 59, "used": 59}
    assert closed.summary["adoption_ms"] <= 100
    opened, _ = run(tmp_path / "open", codec, feedback=False, **settings)
    assert opened.summary["feedback"] == {"sent": 0, "received": 0, "used": 0}
    rows = read_frame_log(tmp_path / "open" / "frames.csv")
    assert len({(row.snr_used_db, row.budget) for row in rows}) == 1


def test_a_dead_reverse_link_leaves_the_safe_profile(tmp_path, codec):
    done, _ = run(tmp_path / "run", codec, reverse={"gain_db": -60}, trajectory=[(0, 20)])
    rows = read_frame_log(tmp_path / "run" / "frames.csv")
    assert done.summary["feedback"]["received"] == 0
    assert all((row.received, row.snr_used_db, row.budget) == (True, -6.0, 32) for row in rows)


def test_ctrl_c_ends_the_process_cleanly_with_what_was_gathered(tmp_path, codec):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "gr_semantic.cli.main", "demo", "--json", "--seconds", "3600", "--codec", codec]
    command += ["--images", "synthetic:64", "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not (folder / "frames.csv").is_file() or len(read_frame_log(folder / "frames.csv")) < 5:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    summary = json.loads(stdout)
    assert summary["frames_sent"] == len(read_frame_log(folder / "frames.csv")) >= 5
    assert json.loads((folder / "manifest.json").read_text())["status"] == "interrupted"
    assert (folder / "index.html").is_file()
    assert "Traceback" not in stderr
