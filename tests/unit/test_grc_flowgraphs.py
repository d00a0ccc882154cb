# SPDX-License-Identifier: GPL-3.0-or-later
"""The flowgraphs that a person opens in Companion say what to look at, compile, and run without a screen."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from gr_semantic.paths import FLOWGRAPHS, GRC_BLOCKS
from semantic_models.testing import tiny_codec

TIMEOUT_S = 180  # only a hang takes so long
FILES = sorted(FLOWGRAPHS.glob("*.grc"))

# Runs a generated flowgraph: looks at it every 50 ms until `done` holds, then draws its dashboard and stops it.
DRIVER = """
import importlib, json, sys
from PyQt5 import QtCore, QtWidgets

name, options, moves, done, told = json.loads(sys.argv[1])
app = QtWidgets.QApplication(sys.argv[:1])
flowgraph = getattr(importlib.import_module(name), name)(**options)
flowgraph.start()
flowgraph.show()

def look():
    seen = {"fg": flowgraph, "now": getattr(flowgraph, "display", None) and flowgraph.display._snapshot()}
    if moves and eval(moves[0][0], seen):
        for variable, value in moves.pop(0)[1].items():
            getattr(flowgraph, f"set_{variable}")(value)
    if moves or not eval(done, seen):
        return
    timer.stop()
    drawn = 0
    if seen["now"]:
        flowgraph.display.widget.refresh()
        drawn = len({flowgraph.display.widget.grab().toImage().pixel(x, 150) for x in range(0, 700, 3)})
    flowgraph.stop()
    flowgraph.wait()
    print(json.dumps([eval(told, seen), drawn]))
    app.quit()

timer = QtCore.QTimer()
timer.timeout.connect(look)
timer.start(50)
app.exec_()
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Folder of the Python files that ``grcc`` makes of all flowgraphs; one call, since each reads every block file."""
    folder = tmp_path_factory.mktemp("programs")
    command = [sys.executable, shutil.which("grcc"), "-o", str(folder), *map(str, FILES)]
    environment = {**os.environ, "GRC_BLOCKS_PATH": str(GRC_BLOCKS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_there_are_flowgraphs():
    assert "loopback_sim.grc" in [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_compiles(path, programs):
    code = (programs / f"{path.stem}.py").read_text()
    compile(code, path.stem, "exec")
    assert "gr_semantic.blocks" in code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_no_path_of_the_machine_that_it_was_made_on(path):
    text = path.read_text()
    assert "/home" not in text and "/tmp" not in text and "/root" not in text and str(FLOWGRAPHS.parent) not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_says_what_to_look_at(path):
    blocks = yaml.safe_load(path.read_text())["blocks"]
    notes = [block["parameters"] for block in blocks if block["id"] == "note"]
    assert any(note["note"].startswith("What to ") and len(note["comment"]) > 80 for note in notes)


def run(programs, name, folder, moves, done, told, **options):
    """What `told` gives once `done` holds, and how many colours the dashboard's row of images has."""
    (folder / "driver.py").write_text(DRIVER)
    finished = subprocess.run(
        [sys.executable, "driver.py", json.dumps([name, options, moves, done, told])],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(programs),
            "QT_QPA_PLATFORM": "offscreen",
            "HOME": str(folder),
            "GR_CONF_LOG_LOG_LEVEL": "warning",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(tiny_codec(tmp_path_factory.mktemp("codec")))


def test_loopback_sim_runs_without_a_screen(programs, tmp_path, tiny):
    told, drawn = run(
        programs,
        "loopback_sim",
        tmp_path,
        [["now.frames >= 10", {"snr_db": 3, "feedback": False, "cfo_hz": -700}]],
        "now.frames >= 30 or fg.result_sink.run_error",
        "[fg.result_sink.run_error, list(fg.result_sink.warnings), now.curves[[5, -1], 2].tolist(), len(now.tiles),"
        " now.feedback_age_s, len(now.carriers)]",
        codec=tiny,
        images="synthetic:64",
    )
    error, warnings, (before_db, after_db), tiles, feedback_age_s, carriers = told
    assert error is None and warnings == [] and tiles == 6 and drawn > 10
    assert before_db == pytest.approx(18, abs=3) and after_db == pytest.approx(3, abs=3)
    assert feedback_age_s > 0.1 and carriers == 44  # feedback was switched off some slots ago


@pytest.mark.parametrize("name", ["forward_only", "codec_only", "channel_lab"])
def test_one_direction_runs_without_a_screen(programs, name, tmp_path, tiny):
    """Channel, told SNR and budget are moved while it runs; what the receiver measures follows."""
    moves = {"snr_db": 4.0} | ({"multipath": "tdl-a:1000ns"} if name == "channel_lab" else {"told_db": 2, "budget": 8})
    (before, after, warnings), drawn = run(
        programs,
        name,
        tmp_path,
        [["now.frames >= 4", moves], ["now.frames >= 30", {}]],
        "now.curves[-1, 5] == 8 or fg.display.snr_db != 20",
        "[now.curves[2].tolist(), now.curves[-1].tolist(), fg.decoder.error]",
        codec=tiny,
        images="synthetic:64",
    )
    assert warnings is None and drawn > 10
    level_db = {"forward_only": 18, "codec_only": 10, "channel_lab": 20}[name]
    assert before[2] == pytest.approx(level_db, abs=2)
    if name == "channel_lab":
        assert after[2] < 12  # and bent by the multipath draw
    else:
        assert after[2] == pytest.approx(4, abs=2) and after[3] == 2 and after[5] == 8


def test_replay_shows_what_the_recording_holds(programs, tmp_path):
    (frames, accuracy, sent), drawn = run(
        programs,
        "replay",
        tmp_path,
        [],
        "now.frames >= 8 and now.images_judged",
        "[now.frames, now.curves[-1, 4], [tile.sent for tile in now.tiles]]",
    )
    assert frames >= 8 and accuracy > 80 and all(sent) and drawn > 10  # a clean recording of the zoo's codec


def test_stock_ofdm_crosscheck_finds_both_kinds_of_frames(programs, tmp_path):
    (stock, ours), _ = run(
        programs,
        "stock_ofdm_crosscheck",
        tmp_path,
        [],
        "fg.crc.nitems_written(0) >= 960 and fg.our_receiver.frame_count() >= 10",
        "[fg.crc.nitems_written(0) // 96, fg.our_receiver.frame_count()]",
    )
    assert stock >= 10 and ours >= 10
