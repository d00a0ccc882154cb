# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands in the pages run: every block marked bash of a page, in order, in an empty folder."""

import os
import re
import subprocess
import sys

import pytest

from gr_semantic.paths import GRC_BLOCKS, ROOT

TIMEOUT_S = 900  # only a hang takes so long
pytestmark = pytest.mark.timeout(TIMEOUT_S + 100)
DOCS = ROOT / "docs"
# What a page says, and what the test takes instead so that it is quick. Every pattern must be in the page.
SHORTER = {
    "quick-start.md": [("./run demo\n", "./run demo --seconds 1\n"), ("--seconds 5", "--seconds 1")],
    "tutorials/first-loop.md": [("--seconds 2", "--seconds 1")],
    "tutorials/replay-and-compare.md": [("--seconds 3", "--seconds 1")],
    "tutorials/own-codec.md": [
        ("--count 300", "--count 40"),
        ("epochs: 30", "epochs: 2"),
        ("widths: [24, 48, 96]", "widths: [4, 8, 8]"),
        ("--seconds 2", "--seconds 1"),
        ("--snr-db 0 --snr-db 10", "--snr-db 10 --budget 8"),
    ],
    "tutorials/own-channel.md": [("LoopConfig(seconds=1.0)", "LoopConfig(seconds=0.5)")],
    "tutorials/two-plutos.md": [("--seconds 2", "--seconds 0.5")],
}
# ./run without the set-up; Companion's window becomes a compilation.
RUN = """#!/usr/bin/env bash
set -euo pipefail
command=$1
shift
case $command in
  gr-semantic) exec "$PYTHON" -m gr_semantic.cli.main "$@" ;;
  demo | doctor) exec "$PYTHON" -m gr_semantic.cli.main "$command" "$@" ;;
  python) exec "$PYTHON" "$@" ;;
  grcc) exec "$PYTHON" "$(command -v grcc)" "$@" ;;
  grc) exec "$PYTHON" "$(command -v grcc)" -o "$(mktemp -d)" "${1:-flowgraphs/loopback_sim.grc}" ;;
  *) echo "the test's run knows no $command" >&2; exit 2 ;;
esac
"""


def commands(page):
    """The bash blocks of a page as one script, shortened."""
    script = "\n".join(
        re.findall(r"^```bash\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    )
    for said, instead in SHORTER[page]:
        assert said in script, f"{page} does not say {said!r} any more"
        script = script.replace(said, instead)
    return script


def run(page, folder):
    (folder / "run").write_text(RUN)
    (folder / "run").chmod(0o755)
    for name in ("docs", "flowgraphs"):
        (folder / name).symlink_to(ROOT / name)
    environment = os.environ | {
        "PYTHON": sys.executable,
        "GRC_BLOCKS_PATH": str(GRC_BLOCKS),
        "QT_QPA_PLATFORM": "offscreen",
        "GR_CONF_LOG_LOG_LEVEL": "warning",
        "HOME": str(folder),
    }
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands(page)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_tutorial_with_commands_is_here():
    pages = {f"tutorials/{path.name}" for path in (DOCS / "tutorials").glob("*.md") if "```bash" in path.read_text()}
    assert pages <= set(SHORTER)


@pytest.mark.slow
def test_quick_start(tmp_path):
    run("quick-start.md", tmp_path)
    assert len(list((tmp_path / "runs").glob("*/index.html"))) == 3


def test_first_loop(tmp_path):
    shown = run("tutorials/first-loop.md", tmp_path)
    assert "--codec" in shown and (tmp_path / "runs" / "first" / "index.html").is_file()


@pytest.mark.slow
def test_replay_and_compare(tmp_path):
    shown = run("tutorials/replay-and-compare.md", tmp_path)
    frames, accuracy = re.search(r"^(\d+) (0\.\d+|1\.0)$", shown, flags=re.M).groups()
    assert int(frames) == 49 and float(accuracy) > 0.85  # 1 s in slots of 20.48 ms, the last one whole
    assert "by fashion-mnist-12k-embedding: " in shown and "(its own symbols over this air)" in shown
    assert "--recording" in shown


def test_own_channel(tmp_path):
    shown = run("tutorials/own-channel.md", tmp_path)
    assert "silent: 20.0%" in shown
    clear, dropped = (
        tuple(map(int, found)) for found in re.findall(r"(\d+) of 10 frames lost, (\d+) of \d+ answers right", shown)
    )
    assert clear[0] == 0 and clear[1] > 280 and dropped[0] >= 3
    assert "error: None" in shown


@pytest.mark.slow
def test_two_plutos(tmp_path):
    shown = run("tutorials/two-plutos.md", tmp_path)
    found, expected = map(int, re.search(r"^frames found: (\d+) of (\d+)$", shown, flags=re.M).groups())
    assert 15 <= found <= expected  # 0.5 s in slots of 24.6 ms: 21 frames, and what is sent until the radios are off
    assert "as in the run, to the last bit" in shown and "both agree on" in shown
    assert (tmp_path / "runs" / "air" / "index.html").is_file()


@pytest.mark.slow
def test_own_codec(tmp_path):
    shown = run("tutorials/own-codec.md", tmp_path)
    assert "120 images of 3 x 32 x 32 in 3 classes" in shown
    for name in ("weights.safetensors", "codec.toml", "README.md"):
        assert (tmp_path / "my-codec" / name).is_file()
    assert (tmp_path / "runs" / "mine" / "index.html").is_file()
