# SPDX-License-Identifier: GPL-3.0-or-later
"""Teachers by name: networks that take images (float32 0..1, N x C x H x W) and give logits."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from torch import nn

from .checkpoint import read_tensors
from .errors import CodecError
from .foundation import PREFIXES, load_foundation
from .resnet import Ensemble, ResNet
from .teacher import load_teacher

_RESTRICTED = re.compile(r"(?P<name>[^{}]+)\{(?P<classes>\d+(?:,\d+)*)\}")
RESNET_DEPTHS = (20, 32, 44, 56)
ENSEMBLE = "cifar10-resnet-ensemble"
NAMES = (ENSEMBLE, *(f"cifar10-resnet{depth}" for depth in RESNET_DEPTHS))


class Restricted(nn.Module):
    """A teacher that is asked about some of its classes only: given that it is one of them, which one?"""

    def __init__(self, teacher: nn.Module, classes: list[int]):
        super().__init__()
        self.teacher = teacher
        self.register_buffer("classes", torch.tensor(classes))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The teacher's own."""
        return self.teacher.features(images)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """What features gives -> logits of these classes."""
        return self.teacher.classify(features)[:, self.classes]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.teacher(images)[:, self.classes]


def open_teacher(name: str, device="cpu") -> nn.Module:
    """A teacher ready to be asked.

    name: one of NAMES (weights from GR_SEMANTIC_DATA/weights), or the path of a file that train_teacher or
    foundation.fit_head wrote; class numbers in braces after it, as in an image set's name, leave only these classes.
    Raises CodecError if there is no such teacher, or its weights are missing or of
    another kind.
    """
    restricted = _RESTRICTED.fullmatch(name)
    if restricted:
        teacher = open_teacher(restricted["name"], device)
        return Restricted(teacher, [int(number) for number in restricted["classes"].split(",")]).to(device)
    if name.endswith(".safetensors"):
        if "encoder" in read_tensors(Path(name))[1]:
            return load_foundation(Path(name)).to(device)
        return load_teacher(Path(name), device)
    if name not in NAMES:
        raise CodecError(
            f"teacher {name!r}: unknown; give one of {', '.join(NAMES)}, a .safetensors file, or in an experiment "
            f"{' or '.join(prefix + 'MODEL' for prefix in PREFIXES)}"
        )
    depths = RESNET_DEPTHS if name == ENSEMBLE else (int(name.removeprefix("cifar10-resnet")),)
    members = [_resnet(name, depth) for depth in depths]
    model = Ensemble(members) if name == ENSEMBLE else members[0]
    return model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def _resnet(name: str, depth: int) -> ResNet:
    root = os.environ.get("GR_SEMANTIC_DATA")
    folder = Path(root) / "weights" if root else None
    paths = sorted(folder.glob(f"resnet{depth}-*.th")) if folder else []
    if not paths:
        where = f"in {folder}" if folder else "because GR_SEMANTIC_DATA is not set"
        raise CodecError(
            f"teacher {name!r}: no resnet{depth}-*.th {where}; set GR_SEMANTIC_DATA to the folder that holds weights/"
        )
    model = ResNet(depth)
    try:
        state = torch.load(paths[0], map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    except Exception as error:  # a damaged file makes torch's reader fail in many ways
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CodecError(f"teacher file {paths[0]}: not the weights of a ResNet-{depth} ({reason})") from None
    return model
