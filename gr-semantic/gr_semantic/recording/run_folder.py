# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one run: manifest.json, frames.csv, summary.json, plots, index.html."""

import json
import os
import platform
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from gr_semantic.errors import UserError
from gr_semantic.paths import ROOT
from gr_semantic.replacing import replacing

MANIFEST, FRAMES, SUMMARY, PAGE = "manifest.json", "frames.csv", "summary.json", "index.html"
AIR, FEEDBACK_AIR = "air.sigmf-meta", "feedback-air.sigmf-meta"  # of the two directions, if they were recorded
_RECORDINGS = [
    name.replace("-meta", f"-{part}") for name in (AIR, FEEDBACK_AIR) for part in ("data", "journal", "meta")
]
_FORMAT = "gr-semantic run 1"


class RunFolder:
    """Creates the folder (with parents) and writes files into it, each whole or not at all.

    The folder must be new, empty, or hold an earlier run, whose files then go.

    Args:
        path: the folder.
        old_files: names of further files that an earlier run may have left (plots).
        resume: go on in the folder of an earlier run, whose files stay.

    Raises:
        UserError: it cannot be created or written, or holds something else.
    """

    def __init__(self, path: str | os.PathLike, old_files: tuple[str, ...] = (), resume: bool = False):
        self.path = Path(path).expanduser()
        with self._naming_errors():
            if resume:
                self.read_manifest()
            else:
                self.path.mkdir(parents=True, exist_ok=True)
                if any(self.path.iterdir()):
                    self._clear(old_files)
            probe = self.path / ".writable.part"
            probe.touch()
            probe.unlink()

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file through a temporary name; returns its path."""
        with self.replacing(name) as part:
            part.write_text(text, encoding="utf-8")
        return self.path / name

    def write_json(self, name: str, value) -> Path:
        """Write JSON; NaN is refused (ValueError), since JSON has none."""
        return self.write_text(name, json.dumps(value, indent=2, allow_nan=False) + "\n")

    @contextmanager
    def replacing(self, name: str):
        """Gives a temporary path; what was written there becomes file ``name`` at the end, unless something failed."""
        with self._naming_errors(), replacing(self.path / name) as part:
            yield part

    def read_manifest(self) -> dict:
        """The manifest of the run that the folder holds. Raises UserError if it holds none."""
        manifest = self._manifest()
        if manifest is None:
            raise UserError(f"{self.path} holds no earlier run")
        return manifest

    def _manifest(self):
        try:
            manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            return manifest if manifest.get("format") == _FORMAT else None
        except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
            return None

    def _clear(self, names):
        if self._manifest() is None:
            raise UserError(f"{self.path} is not empty and holds no earlier run; name a new folder")
        for name in (FRAMES, SUMMARY, PAGE, *_RECORDINGS, *names, MANIFEST):
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def _naming_errors(self):
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write run folder {self.path}: {error.strerror or error}") from None


def default_run_path(now: datetime | None = None, name: str = "demo") -> Path:
    """runs/NAME-DATE-TIME in the current folder."""
    return Path("runs") / f"{name}-{now or datetime.now():%Y%m%d-%H%M%S}"


def make_manifest(
    status: str, config: dict, identities: dict, command: list[str] | None = None, papr_db: float | None = None
) -> dict:
    """The manifest's content: what has to be known to make the same run again.

    Args:
        status: "running", "complete", "interrupted" or "failed".
        config: the run's settings, JSON-ready.
        identities: hashes and ids of codec, waveform and images.
        command: the command line (default: this process's).
        papr_db: peak over mean power of the data frames sent; None: not known (yet).
    """
    return {
        "format": _FORMAT,
        "status": status,
        "wall_written": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(sys.argv if command is None else command),
        "config": config,
        "identities": identities,
        "papr_db": papr_db,
        "versions": versions(),
        "git_commit": git_commit(ROOT),
        "platform": platform.platform(),
    }


def versions() -> dict[str, str | None]:
    """Versions of what a result depends on; None: not installed."""
    found = {"python": platform.python_version(), "gnuradio": _gnuradio_version()}
    for package in ("gr-semantic", "numpy", "scipy", "torch"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_commit(folder: Path) -> str | None:
    """Commit of the checkout ("-dirty" appended if tracked files differ), or None where there is none."""
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _gnuradio_version():
    try:
        from gnuradio import gr
    except ImportError:
        return None
    return gr.version()
