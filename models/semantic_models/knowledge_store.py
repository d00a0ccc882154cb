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
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from .augmentation import Augmentation, view_seeds
from .data import ImageSet
from .errors import CodecError
from .processes import process_rank
from .teacher import teacher_logits
from .training import progress

MAGIC = b"GSKSTOR1"
HEADER_BYTES = 4096
BLOCK = 500  # records that are written, and asked from the teacher, together
TOLERANCE, TOLERANCE_BFLOAT16 = 0.002, 0.05  # of a probability, when the teacher is asked again


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
    teacher_name: str = "",
) -> None:
    """Ask the teacher once about every view and write the store.

    View 0 is the plain image, the others are augmented. kept: how many of the largest probabilities a record keeps.
    bfloat16: ask the teacher in reduced precision. teacher_name: what open_teacher takes, for verify_store.
    A killed build goes on with the blocks of BLOCK records that are not whole yet, by any number of processes: started
    by torchrun, each takes every n-th block. report(view, views) is called when this process is done with a view.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = len(images.classes)
    if not 1 <= kept <= classes:
        raise CodecError(f"knowledge store {path}: kept is {kept}, it must lie within 1:{classes}")
    if views < 1:
        raise CodecError(f"knowledge store {path}: views is {views}, it must be 1 or more")
    dtype = record_dtype(kept, classes)
    header = {
        "teacher": teacher_name,
        "teacher_sha256": teacher_hash(teacher),
        "data_sha256": images.content_hash,
        "data": images.name,
        "samples": len(images),
        "classes": classes,
        "views": views,
        "kept": kept,
        "seed": seed,
        "bfloat16": bfloat16,
        "augmentation": asdict(augmentation),
    }
    part = path.with_name(path.name + ".part")
    samples = len(images)
    rank, processes = process_rank()
    blocks = [(view, start) for view in range(views) for start in range(0, samples, BLOCK)]
    if rank == 0 and not _goes_on(part, header, dtype, samples):
        _begin(part, header, dtype, samples)
    while rank and not _goes_on(part, header, dtype, samples) and not path.exists():
        time.sleep(0.2)
    if path.exists():  # the others were done before this process began
        return
    records = np.memmap(part, dtype, "r+", HEADER_BYTES, (views, samples))
    mine = [(view, start) for view, start in blocks[rank::processes] if not _whole(records, view, start)]
    for number, (view, start) in enumerate(progress(mine, "store") if rank == 0 else mine):
        chosen = np.arange(start, min(start + BLOCK, samples))
        records[view, chosen] = _records(teacher, images, view, chosen, dtype, augmentation, seed, bfloat16)
        records.flush()
        if report and (number + 1 == len(mine) or mine[number + 1][0] != view):
            report(view + 1, views)
    if rank == 0:
        while not all(_whole(records, view, start) for view, start in blocks):
            time.sleep(0.2)
        with open(part, "r+b") as file:
            file.write(_header_bytes(header | {"records_sha256": _checksum(part)}))
        os.replace(part, path)
    while not path.exists():
        time.sleep(0.2)


def verify_store(store: KnowledgeStore, teacher, images: ImageSet, records: int = 500, seed: int = 0) -> dict:
    """Ask the teacher again about records drawn at random and compare.

    Seeds must be equal, and stored probabilities within TOLERANCE (TOLERANCE_BFLOAT16 for a store in that precision,
    whose rounding depends on the batch) of the teacher's. Returns {records, largest_difference, mean_difference}.
    Raises CodecError if the images or the teacher are others, or a record differs.
    """
    header, dtype = store.header, store.records.dtype
    store.matches(images)
    if header["teacher_sha256"] != teacher_hash(teacher):
        raise CodecError(
            f"knowledge store {store.path}: built by another teacher ({header.get('teacher') or 'unnamed'})"
        )
    bfloat16 = header.get("bfloat16", True)
    drawn = np.sort(np.random.default_rng(seed).choice(store.records.size, min(records, store.records.size), False))
    drawn_views, chosen = np.divmod(drawn, store.samples)
    differences = []
    for view in np.unique(drawn_views):
        rows = chosen[drawn_views == view]
        stored = store.records[view][rows]
        again = _records(teacher, images, int(view), rows, dtype, store.augmentation, header["seed"], bfloat16)
        wrong = np.flatnonzero(stored["seed"] != again["seed"])
        if len(wrong):
            raise CodecError(f"knowledge store {store.path}: record {rows[wrong[0]]} of view {view} has another seed")
        differences.append(np.abs(store.rebuild(stored) - store.rebuild(again)).max(1))
    difference = np.concatenate(differences)
    tolerance = TOLERANCE_BFLOAT16 if bfloat16 else TOLERANCE
    worst = int(difference.argmax())
    if difference[worst] > tolerance:
        raise CodecError(
            f"knowledge store {store.path}: record {chosen[worst]} of view {drawn_views[worst]} is not what the "
            f"teacher says ({difference[worst]:.4f} apart, {tolerance} allowed)"
        )
    return {
        "records": len(drawn),
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }


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
        self.records = np.memmap(path, dtype, "r", HEADER_BYTES, shape)

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
        records = self.records[view % self.views][chosen]
        return self.augmentation.apply(images[chosen], records["seed"]), self.rebuild(records)

    def rebuild(self, records: np.ndarray) -> np.ndarray:
        """Records, N -> probabilities, float32, N x classes.

        Kept classes keep their probability; the others share the rest equally, (1 - sum) / (C - K) each."""
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


def _records(
    teacher,
    images: ImageSet,
    view: int,
    chosen: np.ndarray,
    dtype,
    augmentation: Augmentation,
    seed: int,
    bfloat16: bool,
) -> np.ndarray:
    """What the teacher says about one view of the samples with these indices."""
    records = np.empty(len(chosen), dtype)
    records["seed"] = 0 if view == 0 else view_seeds(seed, view, chosen)
    views = augmentation.apply(images.images[chosen], records["seed"])
    logits = teacher_logits(teacher, views, BLOCK, bfloat16)
    probabilities = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    kept = np.argsort(-probabilities, 1, kind="stable")[:, : dtype["index"].shape[0]]
    records["index"] = kept
    records["probability"] = np.round(np.take_along_axis(probabilities, kept, 1) * 65535)
    return records


def _goes_on(part: Path, header: dict, dtype: np.dtype, samples: int) -> bool:
    """Whether there is an unfinished file of the same build."""
    try:
        return (
            _read_header(part) == header
            and part.stat().st_size == HEADER_BYTES + header["views"] * samples * dtype.itemsize
        )
    except (OSError, CodecError):
        return False


def _begin(part: Path, header: dict, dtype: np.dtype, samples: int) -> None:
    """An unfinished file without records. The other processes find it whole or not at all."""
    empty = part.with_name(part.name + ".empty")
    with open(empty, "wb") as file:
        file.write(_header_bytes(header))
        file.truncate(HEADER_BYTES + header["views"] * samples * dtype.itemsize)
    os.replace(empty, part)


def _whole(records: np.ndarray, view: int, start: int) -> bool:
    """Whether a block was written: the largest probability of a record is never 0."""
    return bool((records["probability"][view, start : start + BLOCK, 0] > 0).all())


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
