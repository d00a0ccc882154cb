# SPDX-License-Identifier: GPL-3.0-or-later
"""Large pretrained image encoders (timm, open_clip) as teachers: frozen, with a linear head that is fitted here."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .checkpoint import read_tensors, write_tensors
from .data import ImageSet
from .errors import CodecError
from .linear_probe import fit_linear_probe
from .teacher import to_unit
from .training import progress

PREFIXES = ("timm:", "open_clip:")
BATCH = 100  # images that the encoder sees together


class Foundation(nn.Module):
    """images float32 0..1, N x C x H x W -> logits, N x classes.

    The images are resized to the encoder's size (grey ones become colour), the features standardised, then weighted.
    """

    def __init__(self, encoder: nn.Module, size: tuple[int, int], mean, deviation, classes: int):
        super().__init__()
        with torch.no_grad():
            features = encoder.eval()(torch.zeros(1, 3, *size)).shape[1]
        self.encoder, self.size = encoder, size
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1), persistent=False)
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.head = nn.Linear(features, classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images as for forward -> the encoder's features, N x features."""
        parts = []
        for part in images.expand(-1, 3, -1, -1).split(BATCH):
            part = F.interpolate(part, self.size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
            parts.append(self.encoder((part - self.mean) / self.deviation))
        return torch.cat(parts)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """What features gives -> logits."""
        return self.head((features.float() - self.centre) / self.spread)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(images))


def open_encoder(name: str, classes: int, pretrained: bool = True) -> Foundation:
    """name: "timm:MODEL" or "open_clip:MODEL/WEIGHTS", with that library's names; weights come from its hub.

    pretrained: False gives random weights. Raises CodecError if the library is not installed or has no such model.
    """
    library, _, model = name.partition(":")
    try:
        opened = _timm(model, pretrained) if library == "timm" else _open_clip(model, pretrained)
    except ImportError as error:
        package = "timm" if library == "timm" else "open_clip_torch"
        raise CodecError(
            f"teacher {name!r}: needs {package} and torchvision; pip install {package} ({error})"
        ) from None
    except Exception as error:  # an unknown model or weights, no network: each library has its own errors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CodecError(f"teacher {name!r}: cannot be opened ({reason[:200]})") from None
    return Foundation(*opened, classes).eval().requires_grad_(False)


def fit_head(name: str, train: ImageSet, path: Path, device="cpu") -> None:
    """Fit the linear head on the plain training images (logistic regression, L-BFGS) and write it to `path`."""
    model = open_encoder(name, len(train.classes)).to(device)
    starts = progress(list(range(0, len(train), BATCH)), "teacher's features")
    with torch.no_grad():
        parts = [model.features(to_unit(train.images[k : k + BATCH], device)).float() for k in starts]
    probe = fit_linear_probe(torch.cat(parts), torch.from_numpy(train.labels).to(device), len(train.classes))
    tensors = {"centre": probe.centre, "spread": probe.spread, "weight": probe.head.weight, "bias": probe.head.bias}
    write_tensors(path, tensors, {"encoder": name, "classes": len(train.classes)})


def load_foundation(path: Path) -> Foundation:
    """The encoder with the head that fit_head wrote. CodecError if the file is not one."""
    tensors, metadata = read_tensors(path)
    try:
        model = open_encoder(metadata["encoder"], metadata["classes"])
        model.centre.copy_(tensors["centre"])
        model.spread.copy_(tensors["spread"])
        model.head.weight.copy_(tensors["weight"])
        model.head.bias.copy_(tensors["bias"])
    except (KeyError, RuntimeError):
        raise CodecError(f"teacher {path}: not the head of this encoder") from None
    return model


def _timm(model: str, pretrained: bool):
    import timm
    from timm.data import resolve_model_data_config

    encoder = timm.create_model(model, pretrained=pretrained, num_classes=0)
    settings = resolve_model_data_config(encoder)
    return encoder, settings["input_size"][1:], settings["mean"], settings["std"]


def _open_clip(model: str, pretrained: bool):
    import open_clip

    architecture, _, weights = model.partition("/")
    visual = open_clip.create_model(architecture, pretrained=weights if pretrained else None).visual
    size = visual.image_size if isinstance(visual.image_size, tuple) else (visual.image_size,) * 2
    return visual, size, visual.image_mean, visual.image_std
