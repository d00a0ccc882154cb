# SPDX-License-Identifier: GPL-3.0-or-later
"""CIFAR-10 and CIFAR-100 in the layout of their own binary versions.

cifar-10-batches-bin/{data_batch_1..5,test_batch}.bin with batches.meta.txt: records of <label><3072 pixel bytes>.
cifar-100-binary/{train,test}.bin with fine_label_names.txt: records of <coarse label><fine label><3072 pixel bytes>.
Pixels are red, green and blue planes, 32 x 32, row by row.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .errors import CodecError

SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class _Layout:
    folder: str
    files: dict[str, tuple[str, ...]]
    records: dict[str, int]  # in each file
    label_bytes: int
    label: int  # which of them counts
    names: str
    classes: int


_LAYOUTS = {
    "cifar10": _Layout(
        "cifar-10-batches-bin",
        {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)},
        {"train": 10_000, "test": 10_000},
        1,
        0,
        "batches.meta.txt",
        10,
    ),
    "cifar100": _Layout(
        "cifar-100-binary",
        {"train": ("train.bin",), "test": ("test.bin",)},
        {"train": 50_000, "test": 10_000},
        2,
        1,
        "fine_label_names.txt",
        100,
    ),
}
_LAYOUTS["cifar100-coarse"] = replace(_LAYOUTS["cifar100"], label=0, names="coarse_label_names.txt", classes=20)


def load_cifar(name: str, part: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """name: "cifar10", "cifar100" or "cifar100-coarse"; part: "train" or "test"; read from GR_SEMANTIC_DATA's folder.

    Returns images (uint8, N x 3 x 32 x 32), labels (int64, N) and class names (for CIFAR-100
    the 100 fine ones, for cifar100-coarse the 20 others).
    Raises CodecError if a file is missing, has a wrong size, or holds a label out of range.
    """
    layout = _LAYOUTS[name]
    root = os.environ.get("GR_SEMANTIC_DATA")
    folder = Path(root or "") / layout.folder
    if not root or not folder.is_dir():
        where = f"in {root}" if root else "because GR_SEMANTIC_DATA is not set"
        raise CodecError(
            f"image set {name}: no {layout.folder} {where}; unpack the data set's binary version and set "
            f"GR_SEMANTIC_DATA to the folder that holds {layout.folder}/"
        )
    raw = np.concatenate([_read(folder / file, layout, layout.records[part]) for file in layout.files[part]])
    labels = raw[:, layout.label].astype(np.int64)
    if labels.max() >= layout.classes:
        raise CodecError(f"image set {name}: label {labels.max()} in {folder}; labels lie within 0:{layout.classes}")
    return raw[:, layout.label_bytes :].reshape(-1, *SHAPE), labels, _names(folder / layout.names, layout.classes)


def _read(path: Path, layout: _Layout, records: int) -> np.ndarray:
    width = layout.label_bytes + int(np.prod(SHAPE))
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError:
        raise CodecError(f"data file {path}: missing or unreadable") from None
    if raw.size != records * width:
        raise CodecError(f"data file {path}: truncated or altered ({raw.size} bytes, {records * width} expected)")
    return raw.reshape(records, width)


def _names(path: Path, classes: int) -> tuple[str, ...]:
    try:
        names = tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        raise CodecError(f"data file {path}: missing or unreadable") from None
    if len(names) != classes:
        raise CodecError(f"data file {path}: {len(names)} class names, {classes} expected")
    return names
