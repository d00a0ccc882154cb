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
from importlib.metadata import version
from pathlib import Path

import jsonschema
import numpy as np
import sigmf
from sigmf.sigmffile import dtype_info

from ..errors import UserError
from ..replacing import replacing

NAMESPACE = "gr_semantic"  # of our own fields
META, DATA, ARCHIVE, STREAM = ".sigmf-meta", ".sigmf-data", ".sigmf", "-"
_BLOCK_BYTES = 1 << 20
_CHUNK_SAMPLES = 1 << 20


def field(name: str) -> str:
    """The name of one of our own fields in SigMF metadata."""
    return f"{NAMESPACE}:{name}"


class Recording:
    """A recording opened for reading. Its metadata has been checked and its samples have the hash that it names.

    metadata: the whole SigMF metadata (dict). sample_rate_hz: float, or None where it names none. sample_count: int.
    A context manager: what was read from a pipe is deleted at the end.

    Raises:
        UserError: a file is missing, not SigMF, damaged, empty, or holds other than one channel of complex samples.
    """

    def __init__(self, name: str | os.PathLike):
        self.name = "stdin" if str(name) == STREAM else str(name)
        self._spool = None
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

    def chunks(self, samples: int = _CHUNK_SAMPLES) -> Iterator[np.ndarray]:
        """The samples in order: arrays of complex64, `samples` long but for the last. Integers are scaled to -1..1."""
        info = dtype_info(self.metadata["global"]["core:datatype"])
        left = self.sample_count
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            while left:
                values = np.fromfile(file, info["component_dtype"], 2 * min(left, samples))
                if len(values) < 2 * min(left, samples):
                    raise UserError(f"{self.name}: the samples end early: was the file changed meanwhile?")
                left -= len(values) // 2
                with np.errstate(over="ignore"):
                    values = values.astype(np.float32)
                if info["is_fixedpoint"]:
                    half = np.float32(2 ** (8 * info["component_size"] - 1))
                    values = (values - half if info["is_unsigned"] else values) / half
                yield values.view(np.complex64)

    def _open_pair(self, path: Path) -> None:
        text = path.read_bytes()
        self._path = path.with_suffix(DATA)
        self._offset, self._bytes = 0, self._path.stat().st_size
        self._read_metadata(text)

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
            metadata = json.loads(text.decode("utf-8"))
            jsonschema.validate(metadata, {"type": "object", "required": ["global", "captures", "annotations"]})
            sigmf.SigMFFile(metadata).validate()
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"{self.name}: is not SigMF metadata ({_first_line(error)})") from None
        except jsonschema.ValidationError as error:
            where = "/".join(str(part) for part in error.absolute_path)
            raise UserError(f"{self.name}: {where + ': ' if where else ''}{_first_line(error.message)}") from None
        self.metadata = metadata

    def _check_samples(self) -> None:
        general = self.metadata["global"]
        datatype = general["core:datatype"]
        if not datatype.startswith("c"):
            raise UserError(
                f"{self.name}: core:datatype is {datatype}: real samples; complex ones (cf32_le) are needed"
            )
        if general.get("core:num_channels", 1) != 1:
            raise UserError(f"{self.name}: core:num_channels is {general['core:num_channels']}, expected 1")
        if "core:dataset" in general or any(capture.get("core:header_bytes") for capture in self.metadata["captures"]):
            raise UserError(
                f"{self.name}: the samples lie in a file of another format (core:dataset, core:header_bytes)"
            )
        self.sample_count, rest = divmod(self._bytes, dtype_info(datatype)["sample_size"])
        if not self._bytes:
            raise UserError(f"{self.name}: holds no samples")
        if rest:
            raise UserError(f"{self.name}: {self._bytes} bytes are no whole number of {datatype} samples: cut off?")
        wanted = general.get("core:sha512")
        if wanted is not None and wanted.lower() != self._sha512():
            raise UserError(
                f"{self.name}: the samples do not have the hash that core:sha512 names: damaged, or mixed up"
            )
        self.sample_rate_hz = general.get("core:sample_rate")
        if self.sample_rate_hz is not None and not self.sample_rate_hz > 0:
            raise UserError(f"{self.name}: core:sample_rate is {self.sample_rate_hz}, expected a number above 0")

    def _sha512(self) -> str:
        digest, left = hashlib.sha512(), self._bytes
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            while left and (block := file.read(min(left, _BLOCK_BYTES))):
                digest.update(block)
                left -= len(block)
        return digest.hexdigest()


class RecordingWriter:
    """Writes a recording of complex64 samples; it appears, whole, with `finish`. A context manager.

    Args:
        name: `.sigmf-meta`, `.sigmf` or `-`, see the module.

    Raises:
        UserError: another name, or the folder cannot be written.
    """

    def __init__(self, name: str | os.PathLike):
        self.name = str(name)
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
        block = np.ascontiguousarray(samples, "<c8").tobytes()
        with self._naming_errors():
            self._file.write(block)
        self._digest.update(block)
        self.sample_count += len(samples)

    def finish(self, sample_rate_hz: float, own: dict, annotations: list[dict], captures: list[dict] | None = None):
        """Write the metadata and give the files their names.

        own: our fields of the global part, without the namespace. annotations: SigMF's, in any order.
        captures: SigMF's; None: one that begins at sample 0.
        """
        general = {
            "core:datatype": "cf32_le",
            "core:sample_rate": sample_rate_hz,
            "core:recorder": f"gr-semantic {version('gr-semantic')}",
            "core:sha512": self._digest.hexdigest(),
            "core:extensions": [{"name": NAMESPACE, "version": "1.0.0", "optional": True}],
            **{field(key): value for key, value in own.items()},
        }
        metadata = sigmf.SigMFFile(
            {
                "global": general,
                "captures": captures or [{"core:sample_start": 0}],
                "annotations": sorted(annotations, key=lambda annotation: annotation["core:sample_start"]),
            }
        )
        metadata.validate()
        text = (metadata.dumps() + "\n").encode()
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


def own_fields(part: dict) -> dict:
    """Our own fields of a part of SigMF metadata, without the namespace."""
    prefix = f"{NAMESPACE}:"
    return {key.removeprefix(prefix): value for key, value in part.items() if key.startswith(prefix)}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _first_line(error) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__
