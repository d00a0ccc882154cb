# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recording that is being made knows so far, one JSON line at a time, so that a kill loses nothing of it.

The metadata of such a recording say `gr_semantic:status` = "recording"; its journal stands beside it. Each line is an
object with one key:

- `own`: fields of the global part, without the namespace.
- `capture`: SigMF's capture segment.
- `sent`: a frame as its transmitter knows it (fields of an annotation without the namespace; slot if there are slots).
- `found`: a frame as the receiver found it: sample_start, sample_count and fields of an annotation. Two of the same
  sample_start are one frame.
- `checkpoint`: {"samples": n, "sha512": of the first n samples}; they are on the disk.
"""

import contextlib
import json
import os
from collections import defaultdict
from pathlib import Path

from .namespace import field

JOURNAL = ".sigmf-journal"
STATUS, RECORDING = field("status"), "recording"
_TRUTH = ("slot", "images", "labels")  # of a frame that was sent; the rest stands in its header


def is_unfinished(metadata: dict) -> bool:
    """Whether the recording still waits for its end (or was never given one)."""
    return metadata["global"].get(STATUS) == RECORDING


class Journal:
    """Appends entries; each is on its way to the disk when the call returns.

    Raises:
        OSError: in any call, if the disk does not take it.
    """

    def __init__(self, path: Path):
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115, closed by close()
        self._end = 0

    def append(self, kind: str, value: dict, sync: bool = False) -> None:
        """One entry. sync: wait until it is on the disk."""
        line = json.dumps({kind: value}, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        view = memoryview(line)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            self._file.seek(self._end)  # half a line would spoil the next one
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(line)
        if sync:
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> list[tuple[str, dict]]:
    """The entries (kind, value) of a journal; empty where there is none. A last line that was cut off is left out."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    entries = []
    for line in text.split(b"\n")[:-1]:
        with contextlib.suppress(ValueError, AttributeError):
            ((kind, value),) = json.loads(line).items()
            if isinstance(value, dict):
                entries.append((kind, value))
    return entries


def fold(metadata: dict, entries: list[tuple[str, dict]]) -> tuple[dict, dict | None]:
    """Metadata with what a journal's entries add to it, and the last checkpoint (None: there is none).

    Annotations that reach beyond the last checkpoint are left out. A frame that was sent and never found gets an
    annotation where its slot is, if the metadata name a gr_semantic:slot_len.
    """
    metadata = {**metadata, "global": dict(metadata["global"])}
    captures, sent, found, checkpoint = list(metadata["captures"]), [], {}, None
    for kind, value in entries:
        if kind == "own":
            metadata["global"].update({field(name): item for name, item in value.items()})
        elif kind == "capture":
            captures.append(value)
        elif kind == "sent":
            sent.append(value)
        elif kind == "found":
            found.setdefault(value["sample_start"], {}).update(value)
        elif kind == "checkpoint":
            checkpoint = value
    slot_len = metadata["global"].get(field("slot_len"))
    sent, known = (
        [frame for frame in frames if not {"kind", "sequence", "sample_count"} - frame.keys()]
        for frames in (sent, found.values())
    )
    frames = _joined(sent, known, slot_len)
    if checkpoint:
        frames = [f for f in frames if f["sample_start"] + f["sample_count"] <= checkpoint["samples"]]
        captures = [c for c in captures if c["core:sample_start"] <= checkpoint["samples"]]
    annotations = [*metadata["annotations"], *map(_annotation, frames)]
    metadata["annotations"] = sorted(annotations, key=lambda annotation: annotation["core:sample_start"])
    metadata["captures"] = captures
    return metadata, checkpoint


def _joined(sent, found, slot_len):
    """Frames found with their truth, and those that were never found where their slot is."""
    open_ = defaultdict(list)
    for frame in sent:
        open_[frame["kind"], frame["sequence"]].append(frame)
    frames, anchors = [], []
    for frame in sorted(found, key=lambda frame: frame["sample_start"]):
        candidates = open_.get((frame["kind"], frame["sequence"]), [])
        if candidates:
            # Sequence numbers come again: the frame of the nearest slot, or the oldest one where there are no slots.
            truth = min(
                candidates,
                key=lambda item: abs(item["slot"] * slot_len - frame["sample_start"]) if slot_len else 0,
            )
            candidates.remove(truth)
            frame = {**{key: truth[key] for key in _TRUTH if key in truth}, **frame}
            if slot_len:
                anchors.append((truth["slot"], frame["sample_start"]))
        frames.append(frame)
    if slot_len:
        frames += [_lost(frame, anchors, slot_len) for waiting in open_.values() for frame in waiting]
    return frames


def _lost(frame, anchors, slot_len):
    slot, start = min(anchors, key=lambda anchor: abs(anchor[0] - frame["slot"]), default=(0, 0))
    return {**frame, "sample_start": max(start + (frame["slot"] - slot) * slot_len, 0)}


def _annotation(frame):
    own = dict(frame)
    return {
        "core:sample_start": max(own.pop("sample_start"), 0),  # a frame may be found a sample before the first one
        "core:sample_count": own.pop("sample_count"),
        "core:label": f"{'' if own['kind'] == 'data' else own['kind'] + ' '}frame {own['sequence']}",
        **{field(name): value for name, value in own.items()},
    }
