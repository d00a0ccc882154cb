# SPDX-License-Identifier: GPL-3.0-or-later
"""The knowledge store: what the teacher said about every view of every sample, in one memory-mapped file.

Layout: an 8-byte magic, a JSON header padded with spaces to HEADER_BYTES, then views x samples records of fixed width:
augmentation seed (u32), K class indices (u8, or u16 beyond 256 classes), K probabilities (u16, units of 1/65535).
All numbers are little endian.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from .augmentation import Augmentation, view_seeds
from .data import ImageSet
from .errors import CodecError
from .teacher import teacher_logits

MAGIC = b"GSKSTOR1"
HEADER_BYTES = 4096


def record_dtype(kept: int, classes: int) -> np.dtype:
    """The packed record: fields seed, index (K), probability (K)."""
    return np.dtype([("seed", "<u4"), ("index", "u1" if classes <= 256 else "<u2", kept), ("probability", "<u2", kept)])


def build_store(
    path: Path,
    teacher,
    images: ImageSet,
    views: int,
    kept: int,
    augmentation: Augmentation,
    seed: int,
    bfloat16=False,
    report=None,
) -> None:
    """Ask the teacher once about every view and write the store.

    View 0 is the plain image, the others are augmented. kept: how many of the largest probabilities a record keeps.
    A killed build goes on after its last whole view. report(view, views) is called after each.
    bfloat16: ask the teacher in reduced precision.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = len(images.classes)
    if not 1 <= kept <= classes:
        raise CodecError(f"knowledge store {path}: kept is {kept}, it must lie within 1:{classes}")
    dtype = record_dtype(kept, classes)
    header = {
        "teacher_sha256": teacher_hash(teacher),
        "data_sha256": images.content_hash,
        "data": images.name,
        "samples": len(images),
        "classes": classes,
        "views": views,
        "kept": kept,
        "seed": seed,
        "augmentation": asdict(augmentation),
    }
    part = path.with_name(path.name + ".part")
    view_bytes = dtype.itemsize * len(images)
    done = _views_done(part, header, view_bytes)
    with open(part, "r+b" if done else "wb") as file:
        file.write(_header_bytes(header))
        file.truncate(HEADER_BYTES + done * view_bytes)
        file.seek(0, os.SEEK_END)
        for view in range(done, views):
            file.write(_records(teacher, images, view, dtype, augmentation, seed, bfloat16).tobytes())
            file.flush()
            if report:
                report(view + 1, views)
        file.flush()
        checksum = _checksum(part)
        file.seek(0)
        file.write(_header_bytes(header | {"records_sha256": checksum}))
    os.replace(part, path)


class KnowledgeStore:
    """Read access to a store. Opening it checks size and checksum; matches() checks that it fits an image set."""

    def __init__(self, path: Path):
        """Raises CodecError if the file is missing, unfinished, truncated or altered."""
        self.path = path = Path(path)
        if not path.is_file():
            raise CodecError(f"knowledge store {path}: not found")
        self.header = header = _read_header(path)
        try:
            dtype = record_dtype(int(header["kept"]), int(header["classes"]))
            shape = int(header["views"]), int(header["samples"])
            checksum = header["records_sha256"]
            self.augmentation = Augmentation(**header["augmentation"])
        except (KeyError, TypeError, ValueError):
            raise CodecError(f"knowledge store {path}: unfinished or damaged header; build it again") from None
        wanted, found = HEADER_BYTES + dtype.itemsize * shape[0] * shape[1], path.stat().st_size
        if found != wanted:
            raise CodecError(f"knowledge store {path}: truncated or extended ({found} bytes, {wanted} expected)")
        if _checksum(path) != checksum:
            raise CodecError(f"knowledge store {path}: altered (its checksum differs); build it again")
        self.views, self.samples = shape
        self.classes, self.kept = int(header["classes"]), int(header["kept"])
        self._records = np.memmap(path, dtype, "r", HEADER_BYTES, shape)

    def matches(self, images: ImageSet) -> None:
        """Raise CodecError unless the store was built from exactly these images and labels."""
        if images.content_hash != self.header["data_sha256"]:
            built_from = self.header.get("data")
            raise CodecError(
                f"knowledge store {self.path}: built from another data set ({built_from}), not {images.name}"
            )

    def view(self, images: np.ndarray, view: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the teacher saw and said.

        images: the whole set's uint8 images; chosen: sample indices, N. Returns the augmented images (uint8,
        N x C x H x W) and the rebuilt probabilities (float32, N x classes).
        """
        records = self._records[view % self.views][chosen]
        return self.augmentation.apply(images[chosen], records["seed"]), self._rebuild(records)

    def _rebuild(self, records: np.ndarray) -> np.ndarray:
        """Kept classes keep their probability; the others share the rest equally, (1 - sum) / (C - K) each."""
        kept = records["probability"].astype(np.float32) / 65535
        rest = np.clip(1 - kept.sum(1, keepdims=True), 0, None) / max(1, self.classes - self.kept)
        rebuilt = np.broadcast_to(rest, (len(records), self.classes)).copy()
        np.put_along_axis(rebuilt, records["index"].astype(np.int64), kept, 1)
        return rebuilt / rebuilt.sum(1, keepdims=True)


def teacher_hash(teacher) -> str:
    """sha256 (hex) over a network's weights and buffers."""
    digest = hashlib.sha256()
    for key, value in sorted(teacher.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _records(teacher, images: ImageSet, view: int, dtype, augmentation: Augmentation, seed: int, bfloat16: bool):
    records = np.empty(len(images), dtype)
    everything = np.arange(len(images))
    records["seed"] = 0 if view == 0 else view_seeds(seed, view, everything)
    for start in range(0, len(images), 500):
        rows = slice(start, start + 500)
        views = augmentation.apply(images.images[rows], records["seed"][rows])
        logits = teacher_logits(teacher, views, bfloat16=bfloat16)
        probabilities = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
        kept = np.argsort(-probabilities, 1, kind="stable")[:, : dtype["index"].shape[0]]
        records["index"][rows] = kept
        records["probability"][rows] = np.round(np.take_along_axis(probabilities, kept, 1) * 65535)
    return records


def _views_done(part: Path, header: dict, view_bytes: int) -> int:
    try:
        if _read_header(part) != header:
            return 0
    except (OSError, CodecError):
        return 0
    return (part.stat().st_size - HEADER_BYTES) // view_bytes


def _header_bytes(header: dict) -> bytes:
    return MAGIC + json.dumps(header).encode().ljust(HEADER_BYTES - len(MAGIC))


def _read_header(path: Path) -> dict:
    with open(path, "rb") as file:
        raw = file.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES or not raw.startswith(MAGIC):
        raise CodecError(f"knowledge store {path}: not a knowledge store, or truncated in its header")
    try:
        return json.loads(raw[len(MAGIC) :])
    except ValueError:
        raise CodecError(f"knowledge store {path}: unfinished or damaged header; build it again") from None


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(HEADER_BYTES)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
