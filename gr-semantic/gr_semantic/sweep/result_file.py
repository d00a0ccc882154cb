# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of a sweep: one Parquet file, and a journal beside it while a sweep runs.

Each row goes to the journal the moment it arrives; the Parquet file is written anew now and then and at the end. What
was in the journal when a run was killed is taken up by the next one.
"""

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..replacing import replacing
from .point import Point

MANIFEST = b"gr_semantic:manifest"
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("in_sweep", pa.bool_()),
        ("status", pa.string()),
        ("codec", pa.string()),
        ("model_id", pa.string()),
        ("images_name", pa.string()),
        ("images_sha256", pa.string()),
        ("waveform", pa.string()),
        ("waveform_digest", pa.string()),
        ("channel", pa.string()),
        ("channel_settings", pa.string()),
        ("snr_db", pa.float64()),
        ("budget", pa.int32()),
        ("seed", pa.int64()),
        ("images_per_frame", pa.int32()),
        ("gap", pa.int64()),
        ("sample_rate_hz", pa.float64()),
        ("images", pa.int64()),
        ("correct", pa.int64()),
        ("accuracy", pa.float64()),
        ("ci95_low", pa.float64()),
        ("ci95_high", pa.float64()),
        ("images_found", pa.int64()),
        ("frames_sent", pa.int64()),
        ("frames_found", pa.int64()),
        ("frames_false", pa.int64()),
        ("measured_snr_db", pa.float64()),
        ("wall_s", pa.float64()),
        ("processor_s", pa.float64()),
        ("code", pa.string()),
        ("host", pa.string()),
        ("finished", pa.string()),
        ("error", pa.string()),
    ]
)


def row_of(point: Point, found: dict) -> dict:
    """The whole row of a point: its key and settings, and what `measure` returned."""
    settings = asdict(point)
    settings["images_name"] = settings.pop("images")
    settings["channel_settings"] = json.dumps(settings["channel_settings"], sort_keys=True)
    return {"key": point.key, **settings, **found}


class ResultFile:
    """Rows by key, on disk. A context manager: one process at a time has it open.

    Args:
        path: the Parquet file; need not exist.

    Raises:
        UserError: it cannot be read or written, holds something else, or another sweep is writing it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path).expanduser()
        self._journal_path = self.path.with_name(f".{self.path.name}.journal")
        self.rows: dict[str, dict] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._journal = open(self._journal_path, "a+b")  # noqa: SIM115, closed by close()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None
        try:
            self._lock()
            if self.path.exists():
                self.rows = {row["key"]: row for row in read_rows(self.path)}
            self._take_up_journal()
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self._journal.close()

    def add(self, row: dict) -> None:
        """Keep a row; when this returns, a kill no longer loses it."""
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        try:
            self._journal.write(line)
            self._journal.flush()
        except OSError as error:
            raise UserError(f"{self._journal_path}: cannot be written ({error.strerror})") from None
        self.rows[row["key"]] = row

    def write(self, manifest: dict, in_sweep: set[str]) -> None:
        """Write the Parquet file whole and empty the journal. in_sweep: keys of the points that the sweep asks for."""
        rows = [{**row, "in_sweep": row["key"] in in_sweep} for row in self.rows.values()]
        table = pa.Table.from_pylist(rows, SCHEMA)
        table = table.replace_schema_metadata({MANIFEST: json.dumps(manifest, allow_nan=False)})
        try:
            with replacing(self.path) as part:
                pq.write_table(table, part, compression="zstd")
            self._journal.truncate(0)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror or error})") from None

    def finish(self, manifest: dict, in_sweep: set[str]) -> None:
        """Write for the last time: the journal goes."""
        self.write(manifest, in_sweep)
        self._journal_path.unlink(missing_ok=True)

    def discard_empty(self) -> None:
        """Leave no journal behind where nothing was measured."""
        if self._journal_path.exists() and not self._journal_path.stat().st_size:
            self._journal_path.unlink()

    def _lock(self):
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{self.path}: another sweep is writing it: wait for it, or give another -o") from None
        except OSError:
            pass  # a file system without locks

    def _take_up_journal(self):
        self._journal.seek(0)
        content = self._journal.read()
        whole = content.rfind(b"\n") + 1  # a line that a crash cut off is none
        if whole < len(content):
            self._journal.truncate(whole)
        try:
            rows = [json.loads(line) for line in content[:whole].splitlines()]
            self.rows.update({row["key"]: row for row in rows})
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{self._journal_path}: is damaged: mend or remove it (its points will be lost)") from None


def read_rows(path: Path) -> list[dict]:
    """The rows of a result file. UserError if it is none."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    if MANIFEST not in (table.schema.metadata or {}):
        raise UserError(f"{path}: is no result of a sweep: give another -o")
    return table.to_pylist()


def read_manifest(path: Path) -> dict:
    """The manifest of a result file."""
    return json.loads(pq.read_schema(path).metadata[MANIFEST])
