# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pluto flowgraphs of Companion, generated and run without a screen, on virtual Plutos."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from gr_semantic.paths import FLOWGRAPHS, GRC_BLOCKS
from gr_semantic.virtual_pluto import VirtualPlutos
from semantic_models.testing import tiny_codec

TIMEOUT_S = 280  # only a hang takes so long

# Runs flowgraphs until frames have come through, moves their controls, and stops them.
DRIVER = """
import json, sys, time
from PyQt5 import QtCore, QtWidgets
from gr_semantic.blocks.pdu import read_pdu

app = QtWidgets.QApplication(sys.argv)
codec, uri_a, uri_b = sys.argv[2:]
if sys.argv[1] == "duplex":
    from pluto_duplex import pluto_duplex
    flowgraphs = [pluto_duplex(codec=codec, images="synthetic:64", uri_a=uri_a, uri_b=uri_b)]
    receiver = flowgraphs[0]
    frames = lambda: receiver.result_sink.frames
else:
    from pluto_rx import pluto_rx
    from pluto_tx import pluto_tx
    receiver = pluto_rx(codec=codec, uri=uri_b)
    flowgraphs = [receiver, pluto_tx(codec=codec, images="synthetic:64", uri=uri_a)]
    frames = lambda: receiver.display._history.snapshot(0).frames
for flowgraph in flowgraphs:
    flowgraph.start()
    flowgraph.show()

deadline_s = time.monotonic() + 240

def look():
    receiver.set_gain_db(45)
    flowgraphs[-1].set_attenuation_db(35)
    blocks = [block for one in flowgraphs for block in vars(one).values() if getattr(block, "error", None)]
    if frames() < 5 and not blocks and time.monotonic() < deadline_s:
        return
    timer.stop()
    for flowgraph in flowgraphs:
        flowgraph.stop()
        flowgraph.wait()
    print(json.dumps({"errors": [block.error for block in blocks], "frames": frames()}))
    app.quit()

timer = QtCore.QTimer()
timer.timeout.connect(look)
timer.start(100)
app.exec_()
"""


def generate(name, folder):
    command = [sys.executable, shutil.which("grcc"), "-o", str(folder), str(FLOWGRAPHS / f"{name}.grc")]
    environment = {**os.environ, "GRC_BLOCKS_PATH": str(GRC_BLOCKS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("which, names", [("duplex", ["pluto_duplex"]), ("one way", ["pluto_tx", "pluto_rx"])])
def test_flowgraphs_run_on_virtual_plutos_and_leave_them_off(tmp_path, which, names):
    for name in names:
        generate(name, tmp_path)
    (tmp_path / "driver.py").write_text(DRIVER)
    codec = tiny_codec(tmp_path / "codec")
    with VirtualPlutos({"radios": [{"ppm": 5}, {}], "speed": 0.2, "patience_s": 1}).start() as plutos:
        done = subprocess.run(
            [sys.executable, "driver.py", which, str(codec), *plutos.uris],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "GR_CONF_LOG_LOG_LEVEL": "warning"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["errors"] == [] and result["frames"] >= 5, done.stderr
        assert "Traceback" not in done.stderr
        for radio in range(2):
            state = plutos.state(radio)
            assert state.tx_lo_powerdown and not state.tx_buffer_open and not any(state.dds_scales)
        assert plutos.state(0).tx_gain_db == -35 and plutos.state(1).rx_gain_db == 45
