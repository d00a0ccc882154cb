# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a codec: weights.safetensors and codec.toml, written together, checked together."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from .deepjscc import DeepJSCC
from .errors import CodecError
from .student import Student

FORMAT = 1
NETWORKS = {"student": Student, "deepjscc": DeepJSCC}


@dataclass(frozen=True)
class CodecConfig:
    """What codec.toml says.

    model: the network's kind (one of NETWORKS; none: student) and its arguments (image_shape, classes and symbols are
    filled in from the other fields).
    snr_db and accuracy: the measured table on AWGN; accuracy[budget][k] belongs to snr_db[k]; shares of 1.
    margin: how much accuracy the rate policy gives up for fewer symbols. origin: hashes and figures for people.
    """

    name: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    budgets: tuple[int, ...]
    snr_range_db: tuple[float, float]
    model: dict
    margin: float
    images: int
    clean_accuracy: float
    snr_db: tuple[float, ...]
    accuracy: dict[int, tuple[float, ...]]
    origin: dict = field(default_factory=dict)

    def build(self) -> Student | DeepJSCC:
        """A network of this shape with fresh weights; model.kind says which (none: a student)."""
        model = dict(self.model)
        kind = model.pop("kind", "student")
        if kind not in NETWORKS:
            raise ValueError(f"model.kind is {kind!r}, known are {', '.join(NETWORKS)}")
        return NETWORKS[kind](self.image_shape, len(self.classes), max(self.budgets), **model)


def save_codec(folder: Path, config: CodecConfig, model: Student) -> None:
    """Write the folder: weights in half precision, then codec.toml with their hash."""
    import tomli_w  # only needed to write

    weights = save_safetensors({key: _half(value) for key, value in model.state_dict().items()})
    document = {
        "format": FORMAT,
        "name": config.name,
        "image_shape": list(config.image_shape),
        "classes": list(config.classes),
        "budgets": list(config.budgets),
        "snr_range_db": list(config.snr_range_db),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "model": config.model,
        "rate_policy": {"margin": config.margin},
        "accuracy": {
            "channel": "awgn",
            "images": config.images,
            "clean": config.clean_accuracy,
            "snr_db": list(config.snr_db),
            "budget": {str(budget): list(row) for budget, row in config.accuracy.items()},
        },
        "origin": config.origin,
    }
    write_bytes(Path(folder) / "weights.safetensors", weights)
    write_bytes(Path(folder) / "codec.toml", tomli_w.dumps(document).encode())


def read_codec(folder: Path) -> tuple[CodecConfig, dict[str, torch.Tensor], str]:
    """Read a codec folder: its configuration, float32 weights and model id (hex). CodecError if anything is off."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CodecError(f"codec {folder}: no such folder; give a folder with codec.toml and weights.safetensors")
    path = folder / "codec.toml"
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError:
        raise CodecError(f"codec {folder}: codec.toml is missing or unreadable; this is no codec folder") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"codec file {path}: not valid TOML ({error})") from None
    if document.get("format") != FORMAT:
        raise CodecError(f"codec file {path}: field format is {document.get('format')!r}, this version reads {FORMAT}")
    config = _config(path, document)
    weights_path = folder / "weights.safetensors"
    try:
        weights = weights_path.read_bytes()
    except OSError:
        raise CodecError(f"codec {folder}: weights.safetensors is missing or unreadable") from None
    if hashlib.sha256(weights).hexdigest() != document.get("weights_sha256"):
        raise CodecError(f"codec file {weights_path}: corrupt, or not described by this codec.toml (sha256 differs)")
    try:
        tensors = load_safetensors(weights)
    except SafetensorError as error:
        raise CodecError(f"codec file {weights_path}: not a safetensors file ({error})") from None
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    return config, tensors, _model_id(weights, config)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def _half(value: torch.Tensor) -> torch.Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if value.is_floating_point() else value


def _model_id(weights: bytes, config: CodecConfig) -> str:
    shape = [list(config.image_shape), list(config.classes), list(config.budgets), config.model]
    return hashlib.sha256(hashlib.sha256(weights).digest() + json.dumps(shape, sort_keys=True).encode()).hexdigest()


def _config(path: Path, document: dict) -> CodecConfig:
    try:
        table = document["accuracy"]
        config = CodecConfig(
            name=str(document["name"]),
            image_shape=tuple(int(size) for size in document["image_shape"]),
            classes=tuple(str(name) for name in document["classes"]),
            budgets=tuple(int(budget) for budget in document["budgets"]),
            snr_range_db=tuple(float(limit) for limit in document["snr_range_db"]),
            model=dict(document["model"]),
            margin=float(document["rate_policy"]["margin"]),
            images=int(table["images"]),
            clean_accuracy=float(table["clean"]),
            snr_db=tuple(float(snr) for snr in table["snr_db"]),
            accuracy={int(key): tuple(float(share) for share in row) for key, row in table["budget"].items()},
            origin=dict(document.get("origin", {})),
        )
    except KeyError as error:
        raise CodecError(f"codec file {path}: field {error.args[0]} is missing") from None
    except (TypeError, ValueError) as error:
        raise CodecError(f"codec file {path}: a field has a wrong type ({error})") from None
    shares = np.array([share for row in config.accuracy.values() for share in row] + [config.clean_accuracy])
    rules = {
        "image_shape": len(config.image_shape) == 3 and min(config.image_shape) > 0,
        "classes": len(config.classes) > 1,
        "budgets": len(config.budgets) > 0
        and min(config.budgets) > 0
        and list(config.budgets) == sorted(set(config.budgets)),
        "snr_range_db": len(config.snr_range_db) == 2 and config.snr_range_db[0] <= config.snr_range_db[1],
        "accuracy.snr_db": len(config.snr_db) > 1 and bool(np.all(np.diff(config.snr_db) > 0)),
        "accuracy.budget": set(config.accuracy) == set(config.budgets)
        and all(len(row) == len(config.snr_db) for row in config.accuracy.values())
        and bool(np.all((shares >= 0) & (shares <= 1))),
        "rate_policy.margin": 0 <= config.margin <= 1,
    }
    for name, holds in rules.items():
        if not holds:
            raise CodecError(f"codec file {path}: field {name} is out of range")
    return config
