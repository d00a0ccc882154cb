# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view of a run on stderr: one line that is redrawn, or plain lines where stderr is no terminal."""

import math
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from gr_semantic.link.frame_log import FrameRow
from gr_semantic.link.summary import score

_PLAIN_LINES = 10  # lines of a whole run without a terminal
_REDRAW_S = 0.1


class Progress:
    """Shows frames, SNR, budget and accuracy. A context manager; call ``add`` with each row, from any one thread.

    Args:
        slots: forward slots in the whole run.
        console: where to write; default stderr.
        on_air: the true SNR is not known.
    """

    def __init__(self, slots: int, console: Console | None = None, on_air: bool = False):
        self.slots, self.on_air = slots, on_air
        self.console = console or Console(stderr=True)
        self.frames = self.received = self.images = self.correct = 0
        self._row = None
        self._drawn = 0.0
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None

    def __enter__(self):
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(self, *failure):
        if self._live:
            if self._row:
                self._live.update(self._table(), refresh=True)
            self._live.__exit__(*failure)

    def add(self, row: FrameRow) -> None:
        images, correct = score(row)
        self.frames += 1
        self.received += row.received
        self.images += images
        self.correct += correct
        self._row = row
        now = time.monotonic()
        if self._live is None:
            if self.frames * _PLAIN_LINES // self.slots > (self.frames - 1) * _PLAIN_LINES // self.slots:
                self.console.print(self._line(), soft_wrap=True, highlight=False)
        elif now - self._drawn > _REDRAW_S:
            self._drawn = now
            self._live.update(self._table(), refresh=True)

    def _cells(self):
        row = self._row
        accuracy = f"{100 * self.correct / self.images:.1f} %" if self.images else "-"
        cells = {
            "link time": f"{row.time_s:.1f} s",
            "frames": f"{self.received}/{self.frames}",
            "SNR true": _decibels(row.snr_true_db),
            "measured": _decibels(row.snr_measured_db),
            "used": _decibels(row.snr_used_db),
            "budget": str(row.budget),
            "accuracy": accuracy,
        }
        if self.on_air:
            del cells["SNR true"]
        return cells

    def _line(self):
        return ", ".join(f"{name} {text}" for name, text in self._cells().items())

    def _table(self):
        done = self.frames / self.slots
        table = Table(title=f"{_bar(done)} {100 * done:3.0f} %", title_justify="left")
        cells = self._cells()
        for name in cells:
            table.add_column(name, justify="right", min_width=8)
        table.add_row(*cells.values())
        return table


def _bar(done, width=40):
    full = round(width * min(done, 1.0))
    return "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * full + "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (width - full)


def _decibels(value):
    return "lost" if math.isnan(value) else f"{value:+.1f} dB"
