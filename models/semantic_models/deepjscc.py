# SPDX-License-Identifier: GPL-3.0-or-later
"""DeepJSCC with SNR attention: the picture itself as analog symbols, rebuilt at the receiver, judged by a teacher.

A reconstruction baseline after Bourtsoulatze, Kurka, Gunduz, "Deep joint source-channel coding for wireless image
transmission" (arXiv 1809.01733) and the SNR attention of Xu, Ai, Chen, Yang, Sun, Rodrigues (ADJSCC, arXiv 2012.00533).
Ours: smaller, and a projection after the convolutions, so that every prefix of the symbols is a code, as the student's.
"""

from __future__ import annotations

import torch
from torch import nn

from .channel_adaptive import send_prefix
from .errors import CodecError
from .resnet import Ensemble, ResNet
from .teacher import build_teacher
from .trunk import Residual, conv_block

QUARTER = 4  # the maps' reduction in each direction
ROWS = 500  # of pictures in memory at a time


class SnrAttention(nn.Module):
    """Scales every channel by a factor in 0..1 that depends on the map's means and on what is known of the SNR."""

    def __init__(self, channels: int, known: int):
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(channels + known, channels), nn.ReLU(), nn.Linear(channels, channels), nn.Sigmoid()
        )

    def forward(self, features: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """features: N x channels x H x W; known: N x known numbers."""
        return features * self.weigh(torch.cat([features.mean((2, 3)), known], 1))[:, :, None, None]


class Stem(nn.Module):
    """The part of the encoder that knows no SNR: images float32 0..1 -> maps at quarter resolution."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.body = nn.Sequential(conv_block(channels, width, stride=2), conv_block(width, width, stride=2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.code(self.pooled(images))

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """images -> maps, float32, N x width x H / 4 x W / 4."""
        return self.body((images - 0.3) / 0.35).float()

    def code(self, pooled: torch.Tensor) -> torch.Tensor:
        """Nothing is left to do: the rest needs the SNR."""
        return pooled


class SnrEncoder(nn.Module):
    """The rest of the encoder: maps and SNR -> features."""

    def __init__(self, width: int, cells: int, symbols: int):
        super().__init__()
        self.first, self.second = SnrAttention(width, 1), SnrAttention(width, 1)
        self.between = Residual(width)
        self.narrow = nn.Conv2d(width, width // 2, 1)
        self.project = nn.Linear(width // 2 * cells, 2 * symbols)

    def forward(self, features: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """features: what Stem gives; snr_db: N. Returns N x 2 symbols (real parts, then imaginary parts)."""
        known = snr_db[:, None] / 10
        maps = self.second(self.between(self.first(features, known)), known)
        return self.project(self.narrow(maps).flatten(1).float())


class _Refine(nn.Module):
    """x + two convolutions, normed over each sample alone: batches of one budget must not set another's statistics."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norms = nn.ModuleList([nn.GroupNorm(1, width), nn.GroupNorm(1, width)])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.norms[0](self.first(features)))
        return torch.relu(features + self.norms[1](self.second(hidden)))


class Reconstructor(nn.Module):
    """Received symbols and their noise variances -> the picture. A symbol that was not sent: value 0, reliability 0."""

    def __init__(self, image_shape, width: int, symbols: int):
        super().__init__()
        channels, height, breadth = image_shape
        self.symbols, self.map_shape = symbols, (width, height // QUARTER, breadth // QUARTER)
        half = 3 * width // 4
        self.spread = nn.Linear(3 * symbols, width * self.map_shape[1] * self.map_shape[2])
        self.coarse, self.coarse_attention = _Refine(width), SnrAttention(width, 2)
        self.up = nn.Sequential(nn.Conv2d(width, 4 * half, 3, padding=1), nn.PixelShuffle(2), nn.ReLU())
        self.fine, self.fine_attention = _Refine(half), SnrAttention(half, 2)
        self.paint = nn.Sequential(nn.Conv2d(half, 4 * channels, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """received: complex64, N x L; noise_var: float32, N x L, >= 0. Returns float32 0..1, N x C x H x W."""
        reliability = 1 / (1 + noise_var)
        parts = (received.real * reliability, received.imag * reliability, reliability)
        missing = self.symbols - received.shape[1]
        known = torch.stack([reliability.mean(1), reliability.sum(1) / self.symbols], 1)
        maps = self.spread(torch.cat([nn.functional.pad(part, (0, missing)) for part in parts], 1))
        maps = self.coarse_attention(self.coarse(torch.relu(maps.view(-1, *self.map_shape))), known)
        maps = self.fine_attention(self.fine(self.up(maps)), known)
        return torch.sigmoid(self.paint(maps).float())


class JudgedPicture(nn.Module):
    """The receiver: the picture is rebuilt, then a frozen teacher says what it shows."""

    def __init__(self, reconstructor: Reconstructor, teacher: nn.Module):
        super().__init__()
        self.reconstructor, self.teacher = reconstructor, teacher.requires_grad_(False)

    def forward(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """What Reconstructor takes -> logits, N x classes."""
        return self.teacher(self.reconstructor(received, noise_var)).float()

    def train(self, mode: bool = True):
        super().train(mode)
        self.teacher.eval()
        return self


class DeepJSCC(nn.Module):
    """Has the student's interface (see Student), so that everything that takes a codec takes this one.

    image_shape: (C, H, W), H and W divisible by 4. symbols: the largest budget. width: channels of the maps.
    teacher: what teacher_form gives; its weights are the codec's own copy.
    """

    def __init__(self, image_shape, classes: int, symbols: int, width: int = 32, teacher: dict | None = None):
        super().__init__()
        if image_shape[1] % QUARTER or image_shape[2] % QUARTER:
            raise CodecError(f"deepjscc: images of {image_shape[1]} x {image_shape[2]} are not divisible by {QUARTER}")
        if not teacher:
            raise CodecError("deepjscc: no teacher; the experiment needs a section teacher")
        cells = image_shape[1] // QUARTER * (image_shape[2] // QUARTER)
        self.symbols, self.embedding, self.embedder = symbols, 0, None
        self.encoder = Stem(image_shape[0], width)
        self.adapt = SnrEncoder(width, cells, symbols)
        self.decoder = JudgedPicture(Reconstructor(image_shape, width, symbols), build_form(teacher, classes))

    def encode(self, images: torch.Tensor, snr_db: torch.Tensor, budget: int) -> torch.Tensor:
        """images float32 0..1, N x C x H x W; snr_db float32, N. Returns complex64, N x budget, unit power a row."""
        return self.send(self.encoder(images), snr_db, budget)

    def send(self, features: torch.Tensor, snr_db: torch.Tensor, budget: int) -> torch.Tensor:
        """What the encoder gives -> complex64, N x budget, unit power a row."""
        return send_prefix(self.adapt(features, snr_db), budget)

    def decode(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """Received symbols -> the teacher's logits of the rebuilt picture."""
        parts = zip(received.split(ROWS), noise_var.split(ROWS), strict=True)
        return torch.cat([self.decoder(*part) for part in parts])

    def reconstruct(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """Received symbols -> the picture, float32 0..1, N x C x H x W."""
        return self.decoder.reconstructor(received, noise_var)


def teacher_form(teacher: nn.Module) -> dict:
    """What codec.toml says about a teacher, enough for build_form. CodecError for one that cannot be carried along."""
    if isinstance(teacher, Ensemble) and all(isinstance(member, ResNet) for member in teacher.members):
        return {"resnet_blocks": [[len(stage) for stage in _stages(member)] for member in teacher.members]}
    if isinstance(teacher, ResNet):
        return {"resnet_blocks": [[len(stage) for stage in _stages(teacher)]]}
    if hasattr(teacher, "config"):
        return dict(teacher.config)
    raise CodecError(f"deepjscc: a teacher of kind {type(teacher).__name__} cannot be put into a codec")


def build_form(form: dict, classes: int) -> nn.Module:
    """A teacher of this form with fresh weights."""
    if "resnet_blocks" not in form:
        return build_teacher(**form)
    members = [ResNet(6 * stages[0] + 2, classes) for stages in form["resnet_blocks"]]
    return Ensemble(members) if len(members) > 1 else members[0]


def _stages(network: ResNet):
    return network.layer1, network.layer2, network.layer3
