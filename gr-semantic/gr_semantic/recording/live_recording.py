# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording that is readable at any time while it is made: after a kill, a full disk, a pulled plug."""

import contextlib
import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..replacing import replacing
from .journal import JOURNAL, RECORDING, Journal, fold, read_journal
from .namespace import check_own_fields, field
from .sample_format import writable_format
from .sigmf_file import DATA, META, global_part, metadata_text

_CHECKPOINT_S = 0.5


class LiveRecording:
    """Writes samples, captures and frames as they come. All methods may be called from any thread. A context manager.

    While it is made there are three files: samples, metadata that are valid from the start, and a journal of what has
    come since (see journal). Twice a second the samples so far are put on the disk, with their hash in the journal:
    whatever happens then, `Recording` reads up to there. `finish` puts everything into the metadata and deletes the
    journal. Where the disk fills up meanwhile, the recording ends at the last sample that went onto it.

    Args:
        name: a `.sigmf-meta` file.
        sample_rate_hz: of the samples.
        own: our fields of the global part, without the namespace.
        core: SigMF's fields of the global part ("description", "hw", ...), without the namespace.
        datatype, full_scale: see SampleFormat.
        overwrite: replace an older recording of that name at once; False: complain.
        checkpoint_s: time between two checkpoints.

    Raises:
        UserError: another name or type; the recording exists, or cannot be written.
    """

    def __init__(
        self,
        name: str | os.PathLike,
        sample_rate_hz: float,
        own: dict | None = None,
        core: dict | None = None,
        datatype: str = "cf32_le",
        full_scale: float = 1.0,
        overwrite: bool = False,
        checkpoint_s: float = _CHECKPOINT_S,
    ):
        self.path = checked_name(name)
        self._format = writable_format(datatype, full_scale)
        self.sample_count = self.clipped = 0
        self.error: str | None = None
        self._finished = False
        self._digest = hashlib.sha512()
        self._checkpoint = {"samples": 0, "sha512": self._digest.hexdigest()}
        self.gaps: list[int] = []  # samples before which some are missing
        self._capture = None
        self._lock = threading.RLock()
        self._metadata = {
            "global": global_part(self._format, sample_rate_hz, {**(own or {}), "status": RECORDING}, core),
            "captures": [],
            "annotations": [],
        }
        check_own_fields(self._metadata)
        text = metadata_text(self._metadata)
        with self._naming_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not overwrite and (self.path.exists() or self._data_path.exists()):
                raise UserError(f"{self.path}: exists already: name another file, or remove it")
            self.path.unlink(missing_ok=True)
            self._file = open(self._data_path, "wb", buffering=0)  # noqa: SIM115, closed by finish()
            self._journal = Journal(self._journal_path)
            self._put(text)
        self._ended = threading.Event()
        self._timer = threading.Thread(target=self._keep_checkpoints, args=(checkpoint_s,), daemon=True)
        self._timer.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *failure):
        self.finish("complete" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed")

    def begin_capture(self, joined: bool = True, global_index: int | None = None, own=None, **core) -> None:
        """What follows was received under these settings; the time is now.

        joined: no sample is missing before it. global_index: number of its first sample in the radio's own count, if
        that is known. own: our fields ("gain_db", ...); core: SigMF's ("frequency"), both without the namespace.
        """
        with self._lock:
            start = self.sample_count
            if global_index is None and self._capture is None:
                global_index = 0
            elif global_index is None and joined:
                global_index = self._capture["core:global_index"] + start - self._capture["core:sample_start"]
            capture = {
                "core:sample_start": start,
                "core:datetime": _timestamp(),
                **{f"core:{key}": value for key, value in core.items()},
                **{field(key): value for key, value in (own or {}).items()},
            }
            if global_index is not None:
                capture["core:global_index"] = global_index
            _check(captures=[capture])
            if not joined and start:
                self.gaps.append(start)
            self._capture = {"core:global_index": 0, **capture}
            self._append("capture", capture)

    def mark_gap(self, start: int, missing: int) -> None:
        """So many samples are missing before sample ``start``, which has been written already: there a capture begins,
        under the settings of the newest one.

        Raises:
            ValueError: the newest capture begins later.
        """
        with self._lock:
            since = start - self._capture["core:sample_start"]
            if since <= 0:
                raise ValueError(f"a gap before sample {start}, but a capture begins later")
            ago_s = (self.sample_count - start) / self._metadata["global"]["core:sample_rate"]
            capture = {
                **self._capture,
                "core:sample_start": start,
                "core:datetime": _timestamp(ago_s),
                "core:global_index": self._capture["core:global_index"] + since + missing,
            }
            self.gaps.append(start)
            self._capture = capture
            self._append("capture", capture)

    def write(self, samples: np.ndarray) -> None:
        """Append samples (complex64). Raises UserError if the disk does not take them all; what it took stays."""
        block, clipped = self._format.encode(samples)
        with self._lock:
            self._complain()
            if self._capture is None:
                self.begin_capture()
            self.clipped += clipped
            done = 0
            try:
                while done < len(block):
                    done += self._file.write(block[done:] if done else block)
            except OSError as error:
                self._fail(error)
            size = self._format.sample_bytes
            self._digest.update(block[: done // size * size])
            self.sample_count += done // size
            self._complain()

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples (complex64) that have been written already, as a replay reads them."""
        offset = first * self._format.sample_bytes
        return self._format.decode(np.fromfile(self._data_path, self._format.component, 2 * count, offset=offset))

    def note(self, **own) -> None:
        """Our fields of the global part (without the namespace) that have become known only now.

        Raises:
            UserError: a field of another type.
        """
        _check({field(name): value for name, value in own.items()})
        self._append("own", own)

    def sent(self, **frame) -> None:
        """A frame as its transmitter knows it: kind, sequence, sample_count, slot, ..., images, labels.

        Raises:
            UserError: a field of another type.
        """
        _check(annotations=[_annotation(frame)])
        self._append("sent", frame)

    def found(self, **frame) -> None:
        """A frame as the receiver found it: sample_start, sample_count, kind, sequence, ..., measured_snr_db, ...

        Raises:
            UserError: a field of another type.
        """
        _check(annotations=[_annotation(frame)])
        self._append("found", frame)

    def checkpoint(self) -> None:
        """Put what has been written on the disk, and say so in the journal."""
        with self._lock:
            if self._finished or self.error or self.sample_count == self._checkpoint["samples"]:
                return
            state = {"samples": self.sample_count, "sha512": self._digest.hexdigest()}
        try:
            os.fdatasync(self._file.fileno())  # without the lock: samples go on meanwhile
            with self._lock:
                if not self._finished:
                    self._journal.append("checkpoint", state, sync=True)
                    self._checkpoint = state
        except (OSError, ValueError) as error:  # ValueError: finished meanwhile
            if isinstance(error, OSError):
                self._fail(error)

    def finish(self, status: str = "complete") -> None:
        """End the recording; a second call does nothing.

        status: "complete", "interrupted" or "failed"; after an error of the disk always "failed".

        Raises:
            UserError: the disk is so full that the metadata find no room; the recording can be read nevertheless, up to
            its last checkpoint.
        """
        with self._lock:
            if self._finished:
                return
            self._finished = True
        self._ended.set()
        if threading.current_thread() is not self._timer:
            self._timer.join()
        size = self._format.sample_bytes
        state = {"samples": self.sample_count, "sha512": self._digest.hexdigest()}
        if self.clipped:
            with contextlib.suppress(OSError):
                self._journal.append("own", {"clipped_samples": self.clipped})
        self._journal.close()
        status = "failed" if self.error else status
        # At first with all samples; where that finds no room, without those since the last checkpoint.
        for last, kept in ((False, state), (True, self._checkpoint)):
            try:
                self._file.truncate(kept["samples"] * size)
                with contextlib.suppress(OSError):
                    os.fsync(self._file.fileno())
                self._write_metadata(kept, status)
                break
            except OSError as error:
                self._fail(error)
                if last:
                    self._file.close()
                    raise UserError(f"{self.error}; it can be read up to sample {kept['samples']}") from None
        self.sample_count = kept["samples"]
        self._file.close()
        self._journal_path.unlink(missing_ok=True)

    @property
    def _data_path(self):
        return self.path.with_suffix(DATA)

    @property
    def _journal_path(self):
        return self.path.with_suffix(JOURNAL)

    def _write_metadata(self, state, status):
        entries = [*read_journal(self._journal_path), ("checkpoint", state), ("own", {"status": status})]
        metadata, _ = fold(self._metadata, entries)
        metadata["global"]["core:sha512"] = state["sha512"]
        self._put(metadata_text(metadata))

    def _put(self, text):
        with replacing(self.path) as part, open(part, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the names too
        finally:
            os.close(folder)

    def _append(self, kind, value):
        with self._lock:
            if self._finished or self.error:
                return
            try:
                self._journal.append(kind, value)
            except OSError as error:
                self._fail(error)

    def _keep_checkpoints(self, period_s):
        while not self._ended.wait(period_s):
            self.checkpoint()

    def _fail(self, error):
        if self.error is None:
            self.error = f"{self.path}: cannot be written ({error.strerror or error})"

    def _complain(self):
        if self.error:
            raise UserError(self.error)

    @contextlib.contextmanager
    def _naming_errors(self):
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror or error})") from None


def _timestamp(ago_s=0.0):
    moment = datetime.now(UTC) - timedelta(seconds=ago_s)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def checked_name(name: str | os.PathLike) -> Path:
    """The path of a live recording. Raises UserError for a name that is not a `.sigmf-meta` file's."""
    path = Path(name)
    if path.suffix != META:
        raise UserError(f"{name}: expected a {META} file (archives and pipes cannot be read while they are made)")
    return path


def _check(general: dict | None = None, captures=(), annotations=()) -> None:
    """What is wrong is refused at once: in the file it would make all of the recording unreadable."""
    check_own_fields({"global": general or {}, "captures": captures, "annotations": annotations})


def _annotation(frame):
    own = {field(name): value for name, value in frame.items() if name not in ("sample_start", "sample_count")}
    return {"core:sample_start": frame.get("sample_start", 0), **own}


def json_ready(frame: dict) -> dict:
    """A frame's fields as JSON can hold them: numpy's numbers as Python's, without those that are not finite."""
    plain = {}
    for key, value in frame.items():
        value = value.item() if isinstance(value, np.generic) else value
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if not (isinstance(value, float) and not np.isfinite(value)):
            plain[key] = value
    return plain
