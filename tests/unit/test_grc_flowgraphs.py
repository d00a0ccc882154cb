# SPDX-License-Identifier: GPL-3.0-or-later
"""The flowgraphs that a person opens in Companion compile, and loopback_sim runs without a screen."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from gr_semantic.paths import FLOWGRAPHS, GRC_BLOCKS
from semantic_models.testing import tiny_codec

TIMEOUT_S = 180  # only a hang takes so long
FILES = sorted(FLOWGRAPHS.glob("*.grc"))

# Runs the generated flowgraph until some frames have come through, moves its controls, draws its widget, and stops it.
DRIVER = """
import json, sys
from PyQt5 import QtCore, QtWidgets
from loopback_sim import loopback_sim

app = QtWidgets.QApplication(sys.argv)
flowgraph = loopback_sim(codec=sys.argv[1], images="synthetic:64")
flowgraph.start()
flowgraph.show()
sink = flowgraph.result_sink

def look():
    if sink.frames >= 10 and flowgraph.snr_db != 3:
        flowgraph.set_snr_db(3)
        flowgraph.set_feedback(False)
        flowgraph.set_cfo_hz(-700)
    if sink.frames < 30 and not sink.run_error:
        return
    timer.stop()
    history = flowgraph.display._history
    flowgraph.display.widget.refresh()
    flowgraph.stop()
    flowgraph.wait()
    curves = history.curves()
    print(json.dumps({
        "error": sink.run_error,
        "warnings": list(sink.warnings),
        "frames": sink.frames,
        "tiles": [tile.text for tile in history.tiles(8)],
        "measured_db": curves[[5, -1], 2].tolist(),
        "drawn": len({flowgraph.display.widget.grab().toImage().pixel(x, 60) for x in range(0, 400, 3)}),
    }))
    app.quit()

timer = QtCore.QTimer()
timer.timeout.connect(look)
timer.start(50)
app.exec_()
"""


def compiled(grc_file, folder):
    """Generates the flowgraph's Python file as ``grcc`` does; returns what grcc printed."""
    command = [sys.executable, shutil.which("grcc"), "-o", str(folder), str(grc_file)]
    environment = {**os.environ, "GRC_BLOCKS_PATH": str(GRC_BLOCKS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_there_are_flowgraphs():
    assert "loopback_sim.grc" in [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_compiles(path, tmp_path):
    compiled(path, tmp_path)
    code = (tmp_path / f"{path.stem}.py").read_text()
    compile(code, path.stem, "exec")
    assert "gr_semantic.blocks" in code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_no_path_of_the_machine_that_it_was_made_on(path):
    text = path.read_text()
    assert "/home" not in text and "/tmp" not in text and "/root" not in text and str(FLOWGRAPHS.parent) not in text


def test_loopback_sim_runs_without_a_screen(tmp_path):
    compiled(FLOWGRAPHS / "loopback_sim.grc", tmp_path)
    (tmp_path / "driver.py").write_text(DRIVER)
    codec = tiny_codec(tmp_path / "codec")
    done = subprocess.run(
        [sys.executable, "driver.py", str(codec)],
        cwd=tmp_path,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "GR_CONF_LOG_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["error"] is None and result["warnings"] == [] and result["frames"] >= 30
    assert len(result["tiles"]) == 8 and result["drawn"] > 1
    before_db, after_db = result["measured_db"]
    assert before_db == pytest.approx(18, abs=3) and after_db == pytest.approx(3, abs=3)
    assert "Traceback" not in done.stderr
