# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run ends: by itself, by a signal, by an error."""

import signal
import sys
from contextlib import contextmanager

import click


@contextmanager
def caught_signals():
    """Ctrl-C and SIGTERM become entries of the list that this gives; the second one ends the process as usual."""
    caught = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def catch(number, _frame):
        caught.append(number)
        restore()

    def restore():
        for number in numbers:
            signal.signal(number, before[number])

    for number in numbers:
        signal.signal(number, catch)
    try:
        yield caught
    finally:
        restore()


def exit_unless_complete(run, interrupted: str) -> None:
    """Exit with 1 if the run has an ``error``, with 128 + its ``signal`` if one ended it.

    interrupted: how the line about the signal goes on.
    """
    if run.error:
        click.echo(f"gr-semantic: error: the run failed: {run.error} (what was gathered: {run.folder.path})", err=True)
        sys.exit(1)
    if run.signal:
        click.echo(f"gr-semantic: interrupted{interrupted}", err=True)
        sys.exit(128 + run.signal)
