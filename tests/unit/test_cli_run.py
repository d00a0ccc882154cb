# SPDX-License-Identifier: GPL-3.0-or-later
"""The script ./run where it sets nothing up: help, wrong commands, and errors before set-up changes anything."""

import os
import shutil
import subprocess

import pytest

from gr_semantic.paths import ROOT

RUN = ROOT / "run"


def run(*args, script=RUN, **environment):
    return subprocess.run(
        [script, *args], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("args", [[], ["help"], ["--help"], ["-h"]])
def test_help_names_every_command(args):
    result = run(*args)
    assert result.returncode == 0
    for command in ("demo", "test", "grc", "grcc", "doctor", "setup", "python", "gr-semantic"):
        assert f"\n  {command} " in result.stdout
    assert result.stderr == ""


def test_unknown_command_is_one_line_and_exit_code_2():
    result = run("dmeo")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["run: error: unknown command 'dmeo'; see ./run --help"]


def test_a_folder_in_which_set_up_cannot_write_is_one_line(tmp_path):
    script = shutil.copy(RUN, tmp_path)
    (tmp_path / "build").write_text("not a folder")
    result = run("doctor", script=script)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and str(tmp_path) in result.stderr
