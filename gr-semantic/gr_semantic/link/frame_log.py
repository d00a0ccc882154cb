# SPDX-License-Identifier: GPL-3.0-or-later
"""One row for each forward slot of a run, and the table frames.csv that is written while the run goes on."""

import contextlib
import csv
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from gr_semantic.errors import UserError

NAN = math.nan


@dataclass(frozen=True)
class FrameRow:
    """What happened to the frame of one forward slot. A lost frame has a row too: received False, no predictions.

    slot, sequence: number of the slot, and of the frame (slot modulo 2**16).
    time_s: link time of the slot's start. snr_true_db: the trajectory at time_s.
    snr_used_db, budget: what the encoder used. snr_reported_db: newest report that A had for that choice (NaN: none).
    snr_measured_db, cfo_hz, sro_ppm, evm_db: the receiver's measurements (NaN: lost).
    images: indices into the image set. true: their classes (empty for unlabelled images). predicted: decoded classes.
    feedback_sent, feedback_received, feedback_used: 0/1, for the reverse slot of the same number.
    latency_s: link time from the slot's start until the frame's last sample (NaN: lost).
    """

    slot: int
    sequence: int
    time_s: float
    snr_true_db: float
    snr_used_db: float
    snr_reported_db: float
    budget: int
    images: tuple[int, ...]
    true: tuple[int, ...]
    received: bool = False
    snr_measured_db: float = NAN
    cfo_hz: float = NAN
    sro_ppm: float = NAN
    evm_db: float = NAN
    latency_s: float = NAN
    predicted: tuple[int, ...] = ()
    feedback_sent: int = 0
    feedback_received: int = 0
    feedback_used: int = 0


COLUMNS = tuple(field.name for field in fields(FrameRow))
LISTS = ("images", "true", "predicted")


class FrameLog:
    """frames.csv: one line a row, flushed at once, so that a killed run has lost nothing.

    Lists are space-separated, NaN is an empty cell, floats have nine significant digits.

    Args:
        path: the file; it must not be writable by anyone else meanwhile.
        kind: class of the rows.
        append: go on behind the rows that are there instead of starting anew; a cut-off last line goes.

    Raises:
        UserError: the file cannot be created.
    """

    def __init__(self, path: Path, kind: type[FrameRow] = FrameRow, append: bool = False):
        try:
            if append:
                whole = path.read_bytes()
                os.truncate(path, whole.rfind(b"\n") + 1)
            self._file = open(path, "a" if append else "w", newline="", encoding="utf-8")  # noqa: SIM115, see close()
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        self._writer = csv.writer(self._file, lineterminator="\n")
        if not append:
            self._write([field.name for field in fields(kind)])

    def append(self, row: FrameRow) -> None:
        """Write one row. Raises UserError if the disk does not take it."""
        self._write([_cell(value) for value in asdict(row).values()])

    def close(self) -> None:
        """Never fails: append has flushed every row, or has said that the disk did not take it."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, cells):
        try:
            self._writer.writerow(cells)
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self._file.name}: {error.strerror}") from None


def read_frame_log(path: Path, kind: type[FrameRow] = FrameRow) -> list[FrameRow]:
    """The rows (of class ``kind``) of a frames.csv; a last line that was cut off by a kill is left out."""
    rows, kinds = [], {field.name: field.type for field in fields(kind)}
    text = path.read_text(encoding="utf-8")
    for cells in csv.DictReader(text[: text.rfind("\n") + 1].splitlines()):
        rows.append(kind(**{name: _value(name, kinds[name], cells[name]) for name in kinds}))
    return rows


def _cell(value):
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.9g}"
    return value


def _value(name, kind, text):
    if name in LISTS:
        return tuple(int(part) for part in text.split())
    if kind is bool:
        return text == "1"
    return NAN if kind is float and text == "" else kind(text)
