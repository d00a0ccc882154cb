# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of our own that work until their input ends."""

import contextlib
import subprocess


def end_with_its_input(process: subprocess.Popen, patience_s: float) -> None:
    """Close the process's stdin and wait for its end; killed if that takes longer. Harmless when repeated."""
    with contextlib.suppress(OSError):  # it may have ended before it took all of its input
        process.stdin.close()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
