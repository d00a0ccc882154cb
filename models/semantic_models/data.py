# SPDX-License-Identifier: GPL-3.0-or-later
"""Image sets by name: Fashion-MNIST, CIFAR-10, CIFAR-100, a folder of images, or a synthetic set."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .cifar import load_cifar
from .errors import CodecError

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
_IDX_FILES = {"train": "train", "test": "t10k"}
_SPEC = re.compile(
    r"(?P<name>fashion-mnist|cifar10|cifar100|cifar100-coarse|synthetic):(?P<part>\w+)"
    r"(?:\[(?P<start>\d*):(?P<stop>\d*)\])?(?:\{(?P<labels>\d+(?:,\d+)*)\})?"
)

_FOLDER_SPEC = re.compile(r"(?P<folder>.+?)(?:@(?P<shape>\d+x\d+x\d+))?(?::(?P<part>train|validation|test))?")


@dataclass(frozen=True)
class ImageSet:
    """Images with their truth.

    images: uint8, N x C x H x W. labels: int64, N, or None where the truth is unknown.
    classes: class names in label order. name: what the set was asked for by.
    """

    images: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def content_hash(self) -> str:
        """sha256 (hex) over shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        if self.labels is not None:
            digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()


def load_images(spec, like=None) -> ImageSet:
    """Load an image set.

    spec: "fashion-mnist:train", "cifar10:test[0:256]" (also cifar100, cifar100-coarse), "synthetic:64" or the path of a
    folder. Label numbers in braces, as in "cifar10:train[0:48000]{3,5}", leave only these classes, which become labels
    0, 1, ... in the order given.
    A folder to train on has a sub-folder for each class, and after its path the images' shape: "photos@3x32x32". Then,
    or for any folder, ":train", ":validation" or ":test" may follow: some 80, 10 and 10 % of its images. Which part an
    image is in depends on its path within the folder alone.
    like: anything with `image_shape` (C, H, W) and `classes`, such as a SemanticCodec: folder images are resized and
    converted to that shape, and sub-folders named like its classes give labels; named sets must have that shape.
    Raises CodecError if there is no such set, or it is empty or unreadable.
    """
    text = str(spec)
    match = _SPEC.fullmatch(text)
    if match:
        images, labels, classes = _load_named(text, match["name"], match["part"])
        start, stop = int(match["start"] or 0), int(match["stop"] or len(images))
        if not 0 <= start < stop <= len(images):
            raise CodecError(f"image set {text!r}: the range must lie within 0:{len(images)} and not be empty")
        found = _chosen_classes(ImageSet(images[start:stop], labels[start:stop], classes, text), match["labels"])
    elif text and Path(text).is_dir():
        found = _load_folder(text, Path(text), None, None, like)
    elif (match := _FOLDER_SPEC.fullmatch(text)) and Path(match["folder"]).is_dir():
        found = _load_folder(text, Path(match["folder"]), match["shape"], match["part"], like)
    else:
        raise CodecError(
            f"image set {text!r}: no such folder or set; give a folder of images, or fashion-mnist, "
            "cifar10, cifar100 or cifar100-coarse with :train or :test and an optional range such as [0:256]"
        )
    if like is not None and found.images.shape[1:] != tuple(like.image_shape):
        wanted = tuple(like.image_shape)
        raise CodecError(f"image set {text!r}: images are {found.images.shape[1:]}, needed are {wanted}")
    return found


def _chosen_classes(images: ImageSet, labels: str | None) -> ImageSet:
    if labels is None:
        return images
    numbers = [int(number) for number in labels.split(",")]
    if len(set(numbers)) < len(numbers) or max(numbers) >= len(images.classes):
        raise CodecError(
            f"image set {images.name!r}: labels in braces must differ and lie within 0:{len(images.classes)}"
        )
    rows = np.isin(images.labels, numbers)
    if not rows.any():
        raise CodecError(f"image set {images.name!r}: no images of these classes")
    renumbered = np.array([numbers.index(label) for label in images.labels[rows]])
    classes = tuple(images.classes[number] for number in numbers)
    return ImageSet(images.images[rows], renumbered, classes, images.name)


def _load_named(text: str, name: str, part: str):
    if name == "synthetic":
        if not part.isdigit() or int(part) < 1:
            raise CodecError(f"image set {text!r}: give a number of images, such as synthetic:64")
        return _synthetic(int(part))
    if part not in _IDX_FILES:
        raise CodecError(f"image set {text!r}: unknown part {part!r}; use train or test")
    if name != "fashion-mnist":
        return load_cifar(name, part)
    folder = _fashion_mnist_folder(text)
    stem = _IDX_FILES[part]
    images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz")
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or labels.max(initial=0) > 9:
        raise CodecError(f"image set {text!r}: images and labels in {folder} do not belong together")
    return images[:, None], labels.astype(np.int64), FASHION_MNIST_CLASSES


def _fashion_mnist_folder(text: str) -> Path:
    roots = [os.environ.get("GR_SEMANTIC_DATA"), "/usr/share/datasets"]
    folders = [Path(root) / "fashion-mnist" for root in roots if root]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise CodecError(
        f"image set {text!r}: Fashion-MNIST not found in {' or '.join(map(str, folders))}; install Debian's package "
        "dataset-fashion-mnist, or set GR_SEMANTIC_DATA to the folder that holds fashion-mnist/"
    )


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzip or plain. Returns uint8 of the file's own shape; CodecError if bad."""
    plain = path.with_suffix("")
    path = path if path.exists() or not plain.exists() else plain
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise CodecError(f"data file {path}: cannot be read ({error})") from None
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise CodecError(f"data file {path}: not an IDX file of unsigned bytes")
    rank = raw[3]
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", raw[4:header]) if len(raw) >= header else ()
    if len(raw) != header + int(np.prod(shape, dtype=np.int64)) or not shape:
        raise CodecError(f"data file {path}: truncated or altered (its length does not fit its header)")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _synthetic(count: int):
    """Ten classes of 28 x 28 gratings, each its own direction and period, with random phase and noise."""
    rng = np.random.default_rng(count)
    labels = np.arange(count) % 10
    angle, period = np.pi * (labels % 5) / 5, np.where(labels < 5, 5.0, 9.0)
    row, column = np.mgrid[0:28, 0:28]
    along = column * np.cos(angle)[:, None, None] + row * np.sin(angle)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    waves = 127 + 90 * np.sin(2 * np.pi * along / period[:, None, None] + phase)
    images = np.clip(waves + rng.normal(0, 12, waves.shape), 0, 255).astype(np.uint8)
    return images[:, None], labels.astype(np.int64), tuple(f"grating {index}" for index in range(10))


def _load_folder(text: str, folder: Path, shape: str | None, part: str | None, like) -> ImageSet:
    from PIL import Image  # only folders of images need Pillow

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise CodecError(f"image folder {folder}: no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    image_shape, classes = _shape_and_classes(folder, paths, shape, like)
    if part is not None:
        paths = [path for path in paths if _part_of(path.relative_to(folder)) == part]
        if not paths:
            raise CodecError(
                f"image set {text!r}: none of the folder's images falls into this part; it needs more images"
            )
    channels, height, width = image_shape
    images = np.empty((len(paths), channels, height, width), np.uint8)
    for index, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                pixels = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.BILINEAR)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise CodecError(f"image file {path}: cannot be read as an image ({error})") from None
        images[index] = np.atleast_3d(np.asarray(pixels)).transpose(2, 0, 1)
    keys = {_class_key(name): index for index, name in enumerate(classes)}
    found = [keys.get(_class_key(path.parent.name)) if path.parent != folder else None for path in paths]
    labels = None if None in found else np.array(found, np.int64)
    return ImageSet(images, labels, classes, text)


def _shape_and_classes(folder: Path, paths: list[Path], shape: str | None, like):
    """Those of `like`; without it the given shape and the names of the sub-folders, in alphabetical order."""
    if like is not None:
        return tuple(like.image_shape), tuple(like.classes)
    if shape is None:
        raise CodecError(
            f"image folder {folder}: a codec is needed to know the image shape (like=codec); to train on it, give the "
            f"shape after its path, as in {folder}@3x32x32"
        )
    image_shape = tuple(map(int, shape.split("x")))
    if image_shape[0] not in (1, 3) or not all(8 <= size <= 256 for size in image_shape[1:]):
        raise CodecError(
            f"image folder {folder}: shape is {shape}, expected 1 (grey) or 3 (colour) x height x width, 8 to 256"
        )
    loose = next((path for path in paths if path.parent == folder), None)
    if loose is not None:
        raise CodecError(
            f"image folder {folder}: {loose.name} stands in no sub-folder; there has to be one for each class"
        )
    classes = sorted({path.parent.name for path in paths})
    if len({_class_key(name) for name in classes}) < len(classes):
        raise CodecError(f"image folder {folder}: two classes have the same name but for case and special characters")
    if len(classes) < 2:
        raise CodecError(f"image folder {folder}: only one class ({classes[0]}); give each class a sub-folder")
    return image_shape, tuple(classes)


def _part_of(path: Path) -> str:
    first = hashlib.sha256(path.as_posix().encode()).digest()[0]
    return "test" if first < 26 else "validation" if first < 52 else "train"


def _class_key(name: str) -> str:
    """Class names as folder names: without case, and with the characters that a folder cannot have left out."""
    return re.sub(r"[\W_]", "", name.casefold())
