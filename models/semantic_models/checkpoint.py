# SPDX-License-Identifier: GPL-3.0-or-later
"""Training state in one safetensors file: weights, averaged weights, optimiser; written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .errors import CodecError


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict) -> None:
    """Write a safetensors file atomically; metadata is any JSON-able dict."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    tensors = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
    save_file(tensors, part, {"json": json.dumps(metadata)})
    os.replace(part, path)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Read what write_tensors wrote. CodecError if the file is missing, truncated or not of this kind."""
    path = Path(path)
    if not path.is_file():
        raise CodecError(f"file {path}: not found")
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {}).get("json", "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, metadata  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise CodecError(f"file {path}: not a readable safetensors file, or corrupt ({error})") from None


def save_training(path: Path, model, average, optimizer, epoch: int, config_hash: str) -> None:
    """Save the state after `epoch` finished epochs."""
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors = {key: value.clone() for key, value in tensors.items()}
    write_tensors(path, tensors, {"epoch": epoch, "config": config_hash})


def resume_training(path: Path, model, average, optimizer, config_hash: str) -> int:
    """Load the state into the objects and return the number of finished epochs (0 if there is no checkpoint).

    Raises CodecError if the checkpoint belongs to another configuration.
    """
    if not Path(path).is_file():
        return 0
    tensors, metadata = read_tensors(path)
    if metadata.get("config") != config_hash:
        raise CodecError(f"checkpoint {path}: belongs to another configuration; remove it or choose another folder")
    parts: dict[str, dict] = {"model": {}, "average": {}, "optimizer": {}}
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    model.load_state_dict(parts["model"])
    average.load_state_dict(parts["average"])
    state: dict[int, dict] = {}
    for key, value in parts["optimizer"].items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(metadata["epoch"])
