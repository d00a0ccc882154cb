# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in SigMF: samples that are streamed, metadata that is checked.

A recording is named by its `.sigmf-meta` (the samples lie beside it in `.sigmf-data`), by a `.sigmf` archive (a tar of
both), or by `-`: an archive on stdin or stdout.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jsonschema
import numpy as np
import sigmf
from sigmf.schema import get_schema

from ..errors import UserError
from ..replacing import replacing
from .columns import surely_fit
from .journal import JOURNAL, fold, is_unfinished, read_journal
from .namespace import EXTENSION, check_own_fields, field, own_fields
from .sample_format import SampleFormat, writable_format

META, DATA, ARCHIVE, STREAM = ".sigmf-meta", ".sigmf-data", ".sigmf", "-"
_BLOCK_BYTES = 1 << 20
_CHUNK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Segment:
    """Samples of one capture. first, count: place in the recording. gap: samples are missing before it (or may be)."""

    first: int
    count: int
    gap: bool


class Recording:
    """A recording opened for reading. Its metadata has been checked and its samples have the hash that it names.

    metadata: the whole SigMF metadata (dict). sample_rate_hz: float, or None where it names none. sample_count: int.
    unfinished: nobody has ended it (its recorder was killed, or still runs): it is read up to its last checkpoint.
    A context manager: what was read from a pipe is deleted at the end.

    Raises:
        UserError: a file is missing, not SigMF, damaged, empty, or holds other than one channel of complex samples.
    """

    def __init__(self, name: str | os.PathLike):
        self.name = "stdin" if str(name) == STREAM else str(name)
        self._spool = None
        self._checkpoint = None
        try:
            if str(name) == STREAM:
                self._open_archive(self._spooled())
            elif self.name.endswith(ARCHIVE):
                self._open_archive(Path(name))
            elif self.name.endswith(META):
                self._open_pair(Path(name))
            else:
                raise UserError(f"{name}: expected a {META} file, a {ARCHIVE} archive or {STREAM} for stdin")
            self._check_samples()
        except OSError as error:
            self.close()
            raise UserError(f"{error.filename or self.name}: cannot be read ({error.strerror or error})") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()

    @property
    def own(self) -> dict:
        """Our own fields of the metadata's global part, without the namespace."""
        return own_fields(self.metadata["global"])

    @property
    def unfinished(self) -> bool:
        return is_unfinished(self.metadata)

    def chunks(self, samples: int = _CHUNK_SAMPLES, segment: Segment | None = None) -> Iterator[np.ndarray]:
        """The samples in order: arrays of complex64, `samples` long but for the last. Integers are scaled to
        gr_semantic:full_scale (default 1).

        segment: only its samples; None: all.
        """
        left = self.sample_count if segment is None else segment.count
        with open(self._path, "rb") as file:
            file.seek(self._offset + (segment.first if segment else 0) * self._format.sample_bytes)
            while left:
                values = np.fromfile(file, self._format.component, 2 * min(left, samples))
                if len(values) < 2 * min(left, samples):
                    raise UserError(f"{self.name}: the samples end early: was the file changed meanwhile?")
                left -= len(values) // 2
                yield self._format.decode(values)

    @property
    def segments(self) -> list[Segment]:
        """One for each capture that holds samples, in order.

        A capture goes on where the one before it ended, without a gap, if core:global_index says so in both.
        """
        captures = self.metadata["captures"] or [{"core:sample_start": 0}]
        starts = [capture["core:sample_start"] for capture in captures]
        ends = [*starts[1:], self.sample_count]
        found, before = [], None
        if starts[0]:  # SigMF allows samples before the first capture
            found.append(Segment(0, starts[0], gap=False))
        for capture, start, end in zip(captures, starts, ends, strict=True):
            index = capture.get("core:global_index")
            joined = None not in (before, index) and index - before[0] == start - before[1]
            if end > start:
                found.append(Segment(start, end - start, gap=not joined and start > 0))
            before = None if index is None else (index, start)
        return found

    def _open_pair(self, path: Path) -> None:
        text = path.read_bytes()
        self._path = path.with_suffix(DATA)
        self._offset, self._bytes = 0, self._path.stat().st_size
        self._read_metadata(text)
        if self.unfinished:
            entries = read_journal(path.with_suffix(JOURNAL))
            self.metadata, self._checkpoint = fold(self.metadata, entries)
            self._check_metadata()

    def _open_archive(self, path: Path) -> None:
        try:
            with tarfile.open(path, "r:") as archive:
                members = [member for member in archive.getmembers() if member.isfile()]
                text = [archive.extractfile(m).read() for m in members if m.name.endswith(META)]
        except tarfile.TarError as error:
            raise UserError(f"{self.name}: is not a SigMF archive, or is cut off ({error})") from None
        samples = [member for member in members if member.name.endswith(DATA)]
        if len(text) != 1 or len(samples) != 1:
            raise UserError(f"{self.name}: a SigMF archive holds one {META} and one {DATA} file")
        self._path, self._offset, self._bytes = path, samples[0].offset_data, samples[0].size
        self._read_metadata(text[0])

    def _spooled(self) -> Path:
        self._spool = tempfile.NamedTemporaryFile(prefix="gr-semantic-", suffix=ARCHIVE)  # noqa: SIM115 (see close)
        shutil.copyfileobj(sys.stdin.buffer, self._spool, _BLOCK_BYTES)
        self._spool.flush()
        if not self._spool.tell():
            raise UserError("stdin is empty; expected a SigMF archive")
        return Path(self._spool.name)

    def _read_metadata(self, text: bytes) -> None:
        try:
            self.metadata = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.name}: is not SigMF metadata ({_first_line(error)})") from None
        self._check_metadata()

    def _check_metadata(self) -> None:
        try:
            jsonschema.validate(self.metadata, {"type": "object", "required": ["global", "captures", "annotations"]})
            sigmf.SigMFFile(_to_validate(self.metadata)).validate()
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"{self.name}: is not SigMF metadata ({_first_line(error)})") from None
        except jsonschema.ValidationError as error:
            where = "/".join(str(part) for part in error.absolute_path)
            raise UserError(f"{self.name}: {where + ': ' if where else ''}{_first_line(error.message)}") from None
        try:
            check_own_fields(self.metadata)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from None

    def _check_samples(self) -> None:
        general = self.metadata["global"]
        try:
            self._format = SampleFormat(general["core:datatype"], self.own.get("full_scale", 1.0))
        except UserError as error:
            raise UserError(f"{self.name}: core:{error}") from None
        if general.get("core:num_channels", 1) != 1:
            raise UserError(f"{self.name}: core:num_channels is {general['core:num_channels']}, expected 1")
        if "core:dataset" in general or any(capture.get("core:header_bytes") for capture in self.metadata["captures"]):
            raise UserError(
                f"{self.name}: the samples lie in a file of another format (core:dataset, core:header_bytes)"
            )
        self.sample_count, rest = divmod(self._bytes, self._format.sample_bytes)
        wanted = general.get("core:sha512")
        if self.unfinished:
            self._cut_to_checkpoint()
            wanted = self._checkpoint["sha512"] if self._checkpoint else None
        elif rest:
            raise UserError(
                f"{self.name}: {self._bytes} bytes are no whole number of {self._format.datatype} samples: cut off?"
            )
        if not self.sample_count:
            raise UserError(f"{self.name}: holds no samples")
        if wanted is not None and wanted.lower() != self._sha512():
            raise UserError(
                f"{self.name}: the samples do not have the hash that core:sha512 names: damaged, or mixed up"
            )
        starts = [capture["core:sample_start"] for capture in self.metadata["captures"]]
        if starts != sorted(starts) or (starts and starts[-1] > self.sample_count):
            raise UserError(
                f"{self.name}: captures begin at samples {', '.join(map(str, starts[:9]))}: not in order, or beyond "
                f"the {self.sample_count} samples that there are"
            )
        self.sample_rate_hz = general.get("core:sample_rate")
        if self.sample_rate_hz is not None and not self.sample_rate_hz > 0:
            raise UserError(f"{self.name}: core:sample_rate is {self.sample_rate_hz}, expected a number above 0")

    def _cut_to_checkpoint(self) -> None:
        """What the journal vouches for; without one, all whole samples."""
        if self._checkpoint:
            if self._checkpoint["samples"] > self.sample_count:
                raise UserError(
                    f"{self.name}: holds {self.sample_count} samples, its journal names {self._checkpoint['samples']}: "
                    "cut off?"
                )
            self.sample_count = self._checkpoint["samples"]

    def _sha512(self) -> str:
        digest, left = hashlib.sha512(), self.sample_count * self._format.sample_bytes
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            while left and (block := file.read(min(left, _BLOCK_BYTES))):
                digest.update(block)
                left -= len(block)
        return digest.hexdigest()


class RawRecording(Recording):
    """A file of samples without metadata. Everything else is as with a Recording.

    Args:
        name: the file.
        datatype: complex SigMF data type of its samples, e.g. "ci16_le".
        sample_rate_hz: of the samples, or None.

    Raises:
        UserError: another type, a file that is missing or empty, or that holds half a sample.
    """

    def __init__(self, name: str | os.PathLike, datatype: str, sample_rate_hz: float | None = None):
        self.name = str(name)
        self._spool = self._checkpoint = None
        self._path, self._offset = Path(name), 0
        general = {"core:datatype": datatype}
        if sample_rate_hz is not None:
            general["core:sample_rate"] = sample_rate_hz
        self.metadata = {"global": general, "captures": [], "annotations": []}
        SampleFormat(datatype)  # complains of the option, not of a file's field
        try:
            self._bytes = self._path.stat().st_size
            with open(self._path, "rb"):
                self._check_samples()
        except OSError as error:
            raise UserError(f"{self.name}: cannot be read ({error.strerror or error})") from None


class RecordingWriter:
    """Writes a recording of complex64 samples; it appears, whole, with `finish`. A context manager.

    Args:
        name: `.sigmf-meta`, `.sigmf` or `-`, see the module.
        datatype, full_scale: see SampleFormat; what lies beyond the full scale is clipped and counted (`clipped`).

    Raises:
        UserError: another name or type, or the folder cannot be written.
    """

    def __init__(self, name: str | os.PathLike, datatype: str = "cf32_le", full_scale: float = 1.0):
        self.name = str(name)
        self.clipped = 0
        self._format = writable_format(datatype, full_scale)
        self._path = Path(name)
        if self.name != STREAM and self._path.suffix not in (META, ARCHIVE):
            raise UserError(f"{name}: expected a {META} file, a {ARCHIVE} archive or {STREAM} for stdout")
        folder = None if self.name == STREAM else self._path.parent
        with self._naming_errors():
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (see __exit__)
                prefix=".gr-semantic-", suffix=".part", dir=folder, delete=False
            )
        self._digest = hashlib.sha512()
        self.sample_count = 0

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)

    def write(self, samples: np.ndarray) -> None:
        """Append samples (complex64)."""
        block, clipped = self._format.encode(samples)
        self.clipped += clipped
        with self._naming_errors():
            self._file.write(block)
        self._digest.update(block)
        self.sample_count += len(samples)

    def finish(
        self,
        sample_rate_hz: float,
        own: dict,
        annotations: list[dict],
        captures: list[dict] | None = None,
        core: dict | None = None,
    ):
        """Write the metadata and give the files their names.

        own: our fields of the global part, without the namespace. annotations: SigMF's, in any order.
        captures: SigMF's; None: one that begins at sample 0. core: SigMF's own fields of the global part
        ("description", "license", ...) besides those that are known here.
        """
        general = global_part(self._format, sample_rate_hz, own, core)
        general["core:sha512"] = self._digest.hexdigest()
        if self.clipped:
            general[field("clipped_samples")] = self.clipped
        text = metadata_text(
            {
                "global": general,
                "captures": captures or [{"core:sample_start": 0}],
                "annotations": sorted(annotations, key=lambda annotation: annotation["core:sample_start"]),
            }
        )
        with self._naming_errors():
            self._file.flush()
            if self.name == STREAM:
                self._write_archive(sys.stdout.buffer, "stream", text)
                sys.stdout.buffer.flush()
            elif self._path.suffix == ARCHIVE:
                with replacing(self._path) as part, open(part, "wb") as file:
                    self._write_archive(file, self._path.stem, text)
            else:
                os.chmod(self._file.name, 0o666 & ~_umask())
                os.replace(self._file.name, self._path.with_suffix(DATA))
                with replacing(self._path) as part:
                    part.write_bytes(text)

    def _write_archive(self, file, stem: str, text: bytes) -> None:
        with (
            tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive,
            open(self._file.name, "rb") as f,
        ):
            for suffix, size, content in ((META, len(text), io.BytesIO(text)), (DATA, os.fstat(f.fileno()).st_size, f)):
                member = tarfile.TarInfo(f"{stem}/{stem}{suffix}")
                member.size, member.mode = size, 0o644
                archive.addfile(member, content)

    @contextlib.contextmanager
    def _naming_errors(self):
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UserError(f"{self.name}: cannot be written ({error.strerror or error})") from None


def global_part(form: SampleFormat, sample_rate_hz: float, own: dict, core: dict | None = None) -> dict:
    """SigMF's global part of a recording of ours; own and core: fields without their namespace."""
    if form.full_scale != 1.0:
        own = {**own, "full_scale": form.full_scale}
    return {
        "core:datatype": form.datatype,
        "core:sample_rate": sample_rate_hz,
        "core:recorder": f"gr-semantic {version('gr-semantic')}",
        "core:extensions": [EXTENSION],
        **{f"core:{key}": value for key, value in (core or {}).items()},
        **{field(key): value for key, value in own.items()},
    }


def metadata_text(metadata: dict) -> bytes:
    """SigMF metadata as the bytes of a file, checked first; adds what SigMF wants in every file."""
    whole = sigmf.SigMFFile(metadata)
    whole.validate()
    return (whole.dumps() + "\n").encode()


def _to_validate(metadata: dict) -> dict:
    """The metadata, without the annotations where these are surely valid and in order."""
    annotations, start = metadata["annotations"], "core:sample_start"
    schema = get_schema()["properties"]["annotations"]["items"]
    if isinstance(annotations, list) and surely_fit(annotations, schema["properties"]):
        starts = [annotation.get(start, -1) for annotation in annotations]
        if min(starts, default=0) >= 0 and starts == sorted(starts):
            return metadata | {"annotations": []}
    return metadata


def _no_constant(name):
    raise ValueError(f"{name} is no JSON")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _first_line(error) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__
