# SPDX-License-Identifier: GPL-3.0-or-later
"""The knowledge store: what the teacher said about every view of every sample, in one memory-mapped file.

Layout: an 8-byte magic, a JSON header padded with spaces to HEADER_BYTES, then views x samples records of fixed width:
augmentation seed (u32), K class indices (u8, or u16 beyond 256 classes), K probabilities (u16, units of 1/65535),
and in a store with features the compressed feature vector (f16 or i8; feature_compression.py). Its tables (centre,
components, scale: safetensors) follow the records. All numbers are little endian.
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
from .feature_compression import FIT_IMAGES, FeatureCompression
from .processes import process_rank
from .teacher import teacher_logits, teacher_outputs
from .training import progress

MAGIC = b"GSKSTOR1"
HEADER_BYTES = 4096
BLOCK = 500  # records that are written, and asked from the teacher, together
TOLERANCE, TOLERANCE_BFLOAT16 = 0.002, 0.05  # of a probability, when the teacher is asked again
FEATURE_TOLERANCE, FEATURE_TOLERANCE_BFLOAT16 = 0.02, 0.1  # of an embedding, relative to the usual length


def record_dtype(kept: int, classes: int, features: FeatureCompression | None = None) -> np.dtype:
    """The packed record: fields seed, index (K), probability (K), and with features also feature (width)."""
    fields = [("seed", "<u4"), ("index", "u1" if classes <= 256 else "<u2", kept), ("probability", "<u2", kept)]
    return np.dtype(fields + ([features.field] if features else []))


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
    features: dict | None = None,
) -> None:
    """Ask the teacher once about every view and write the store.

    View 0 is the plain image, the others are augmented. kept: how many of the largest probabilities a record keeps.
    bfloat16: ask the teacher in reduced precision. teacher_name: what open_teacher takes, for verify_store.
    features: keep the teacher's feature vectors too; kind and, for "pca", width (FeatureCompression.fit's arguments).
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
    if features:
        header["features"] = features
    if rank == 0 and not _goes_on(part, header):
        _begin(part, header, _fit(teacher, images, features, bfloat16) if features else None)
    while rank and not _goes_on(part, header) and not path.exists():
        time.sleep(0.2)
    if path.exists():  # the others were done before this process began
        return
    header = _read_header(part)
    compression = _compression(part, header)
    dtype = record_dtype(kept, classes, compression)
    records = np.memmap(part, dtype, "r+", HEADER_BYTES, (views, samples))
    mine = [(view, start) for view, start in blocks[rank::processes] if not _whole(records, view, start)]
    for number, (view, start) in enumerate(progress(mine, "store") if rank == 0 else mine):
        chosen = np.arange(start, min(start + BLOCK, samples))
        records[view, chosen] = _records(
            teacher, images, view, chosen, dtype, augmentation, seed, bfloat16, compression
        )
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
    whose rounding depends on the batch) of the teacher's. Returns {records, largest_difference, mean_difference}; of
    a store with features also largest_feature_difference: between embeddings, relative to their rms length.
    Raises CodecError if the images or the teacher are others, or a record differs.
    """
    header, dtype = store.header, store.records.dtype
    store.matches(images)
    store.was_built_by(teacher)
    bfloat16 = header.get("bfloat16", True)
    drawn = np.sort(np.random.default_rng(seed).choice(store.records.size, min(records, store.records.size), False))
    drawn_views, chosen = np.divmod(drawn, store.samples)
    differences, distances, lengths = [], [], []
    for view in np.unique(drawn_views):
        rows = chosen[drawn_views == view]
        stored = store.records[view][rows]
        again = _records(
            teacher, images, int(view), rows, dtype, store.augmentation, header["seed"], bfloat16, store.features
        )
        wrong = np.flatnonzero(stored["seed"] != again["seed"])
        if len(wrong):
            raise CodecError(f"knowledge store {store.path}: record {rows[wrong[0]]} of view {view} has another seed")
        differences.append(np.abs(store.rebuild(stored) - store.rebuild(again)).max(1))
        if store.features:
            one, other = (store.features.restore(records["feature"]) for records in (stored, again))
            distances.append(np.linalg.norm(one - other, axis=1))
            lengths.append(np.linalg.norm(other, axis=1))

    def check(difference: np.ndarray, tolerance: float, what: str) -> None:
        worst = int(difference.argmax())
        if difference[worst] > tolerance:
            raise CodecError(
                f"knowledge store {store.path}: record {chosen[worst]} of view {drawn_views[worst]} is not what the "
                f"teacher {what} ({difference[worst]:.4f} apart, {tolerance} allowed)"
            )

    difference = np.concatenate(differences)
    check(difference, TOLERANCE_BFLOAT16 if bfloat16 else TOLERANCE, "says")
    result = {
        "records": len(drawn),
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }
    if store.features:
        distance = np.concatenate(distances) / np.sqrt(np.square(np.concatenate(lengths)).mean())
        check(distance, FEATURE_TOLERANCE_BFLOAT16 if bfloat16 else FEATURE_TOLERANCE, "sees (its features)")
        result["largest_feature_difference"] = float(distance.max())
    return result


class KnowledgeStore:
    """Read access to a store. Opening it checks size and checksum; matches() checks that it fits an image set."""

    def __init__(self, path: Path):
        """Raises CodecError if the file is missing, unfinished, truncated or altered."""
        self.path = path = Path(path)
        if not path.is_file():
            raise CodecError(f"knowledge store {path}: not found")
        self.header = header = _read_header(path)
        try:
            shape = int(header["views"]), int(header["samples"])
            checksum = header["records_sha256"]
            self.augmentation = Augmentation(**header["augmentation"])
            self.features = _compression(path, header)
            dtype = record_dtype(int(header["kept"]), int(header["classes"]), self.features)
        except CodecError:
            raise
        except (KeyError, TypeError, ValueError):
            raise CodecError(f"knowledge store {path}: unfinished or damaged header; build it again") from None
        wanted, found = _size(header, dtype), path.stat().st_size
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

    def was_built_by(self, teacher) -> None:
        """Raise CodecError unless the store holds this network's answers."""
        if self.header["teacher_sha256"] != teacher_hash(teacher):
            name = self.header.get("teacher") or "unnamed"
            raise CodecError(
                f"knowledge store {self.path}: built by another teacher ({name}); remove it to build it again"
            )

    def answers(self, view: int, chosen: np.ndarray) -> np.ndarray:
        """What the teacher said, as `view` gives it; views beyond the last begin again."""
        return self.rebuild(self.records[view % self.views][chosen])

    def view(self, images: np.ndarray, view: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the teacher saw and said.

        images: the whole set's uint8 images; chosen: sample indices, N. Returns the augmented images (uint8,
        N x C x H x W) and the rebuilt probabilities (float32, N x classes).
        """
        records = self.records[view % self.views][chosen]
        return self.augmentation.apply(images[chosen], records["seed"]), self.rebuild(records)

    def embedding(self, view: int, chosen: np.ndarray) -> np.ndarray:
        """The teacher's embeddings of what `view` gives, float32, N x features.width; a store with features only."""
        return self.features.restore(self.records["feature"][view % self.views, chosen])

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
    features: FeatureCompression | None,
) -> np.ndarray:
    """What the teacher says about one view of the samples with these indices."""
    records = np.empty(len(chosen), dtype)
    records["seed"] = 0 if view == 0 else view_seeds(seed, view, chosen)
    views = augmentation.apply(images.images[chosen], records["seed"])
    if features is None:
        logits = teacher_logits(teacher, views, BLOCK, bfloat16)
    else:
        logits, vectors = teacher_outputs(teacher, views, BLOCK, bfloat16)
        records["feature"] = features.compress(vectors)
    probabilities = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    kept = np.argsort(-probabilities, 1, kind="stable")[:, : dtype["index"].shape[0]]
    records["index"] = kept
    records["probability"] = np.round(np.take_along_axis(probabilities, kept, 1) * 65535)
    return records


def _fit(teacher, images: ImageSet, features: dict, bfloat16: bool) -> FeatureCompression:
    """The compression that suits the plain images, or FIT_IMAGES of them."""
    chosen = np.unique(np.linspace(0, len(images) - 1, FIT_IMAGES).astype(int))
    vectors = teacher_outputs(teacher, images.images[chosen], BLOCK, bfloat16)[1]
    try:
        return FeatureCompression.fit(vectors, **features)
    except TypeError:
        raise CodecError(f"knowledge store: features is {features}, expected kind and, for pca, width") from None


def _goes_on(part: Path, header: dict) -> bool:
    """Whether there is an unfinished file of the same build. What was asked for as features stands in its header
    together with what was made of it."""
    try:
        found = _read_header(part)
        dtype = record_dtype(found["kept"], found["classes"], _compression(part, found))
        asked = {key: found["features"].get(key) for key in header["features"]} if "features" in header else None
        same = (found | {"features": asked} if asked else found) == header
        return same and part.stat().st_size == _size(found, dtype)
    except (OSError, CodecError, KeyError):
        return False


def _begin(part: Path, header: dict, compression: FeatureCompression | None) -> None:
    """An unfinished file without records. The other processes find it whole or not at all."""
    empty, tables = part.with_name(part.name + ".empty"), b""
    if compression:
        tables = compression.to_bytes()
        header = header | {"features": compression.describe(tables)}
    size = _size(header, record_dtype(header["kept"], header["classes"], compression))
    with open(empty, "wb") as file:
        file.write(_header_bytes(header))
        file.truncate(size)
        file.seek(size - len(tables))
        file.write(tables)
    os.replace(empty, part)


def _size(header: dict, dtype: np.dtype) -> int:
    """Bytes of the whole file."""
    tables = header["features"]["tables_bytes"] if "features" in header else 0
    return HEADER_BYTES + int(header["views"]) * int(header["samples"]) * dtype.itemsize + tables


def _compression(path: Path, header: dict) -> FeatureCompression | None:
    """How the features were compressed: the tables at the end of the file."""
    if "features" not in header:
        return None
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - header["features"]["tables_bytes"]))
        tables = file.read()
    try:
        return FeatureCompression.from_bytes(header["features"], tables)
    except CodecError as error:
        raise CodecError(f"knowledge store {path}: truncated, extended or altered ({error})") from None


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
