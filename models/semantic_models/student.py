# SPDX-License-Identifier: GPL-3.0-or-later
"""The student: a light encoder at the edge and a small decoder that knows how noisy each symbol is."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from .channel_adaptive import ADAPTATIONS, send_prefix
from .code_words import CodeWords, Correlator
from .errors import CodecError
from .trunk import convolutional_trunk, pooled_features


class Encoder(nn.Module):
    """images float32 0..1, N x C x H x W -> features X0 float32, N x 2 symbols.

    widths, blocks: see trunk.py. words, sharpness: see CodeWords; sharpness 0: a linear map of the pooled features.
    mirror: take the mean over the image and its mirror image, for twice the work. shift: and over the image moved by so
    many pixels down and right, and up and left, for twice the work again (0: only as it is): to convolutions that halve
    the resolution these are different images.
    """

    def __init__(
        self,
        channels: int,
        widths,
        blocks,
        symbols: int,
        words: int,
        sharpness: float,
        mirror: bool = False,
        shift: int = 0,
    ):
        super().__init__()
        self.mirror, self.shift = mirror, shift
        self.trunk = convolutional_trunk(channels, widths, blocks)
        self.pooled_width = 2 * widths[-1]
        sizes = self.pooled_width, 2 * symbols
        self.project = CodeWords(*sizes, words, sharpness) if sharpness else nn.Linear(*sizes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.code(self.pooled(images))

    def pooled(self, images: torch.Tensor, shifted: bool = True) -> torch.Tensor:
        """All of the convolutions' work: images -> maximum and mean of each channel, float32, N x pooled_width.

        shifted: False leaves out the shifted images: training's own are shifted at random."""
        views = self._shifted(images) if shifted else [images]
        if self.mirror:
            views = [copy for view in views for copy in (view, view.flip(3))]
        return sum(pooled_features(self.trunk, view).float() for view in views) / len(views)

    def _shifted(self, images: torch.Tensor) -> list[torch.Tensor]:
        if not self.shift:
            return [images]
        height, width = images.shape[2:]
        padded = nn.functional.pad(images, (self.shift,) * 4)  # with black, as in training (augmentation.py)
        moved = [padded[:, :, k : k + height, k : k + width] for k in (0, 2 * self.shift)]
        return [view.contiguous(memory_format=torch.channels_last) for view in moved]

    def code(self, pooled: torch.Tensor) -> torch.Tensor:
        """The rest: what pooled gives -> features X0."""
        with torch.autocast(pooled.device.type, enabled=False):  # the code itself is never rounded to bfloat16
            return self.project(pooled)


class Decoder(nn.Module):
    """Received symbols and their noise variances -> logits. A symbol that was not sent counts as infinitely noisy."""

    def __init__(self, symbols: int, hidden, classes: int, told_noise: bool = True):
        super().__init__()
        self.symbols, self.told_noise = symbols, told_noise
        self.body = self._body(hidden, classes)

    def _body(self, hidden, classes: int) -> nn.Sequential:
        return _perceptron((3 * self.symbols, *hidden, classes))

    def forward(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """received: complex64, N x L, unbiased, L <= symbols; noise_var: float32, N x L, >= 0. Logits N x classes."""
        reliability = 1 / (1 + noise_var)  # also the linear MMSE estimate's factor for unit-power symbols
        if not self.told_noise:
            reliability = torch.ones_like(reliability)
        parts = (received.real * reliability, received.imag * reliability, reliability)
        missing = self.symbols - received.shape[1]
        return self.body(torch.cat([nn.functional.pad(part, (0, missing)) for part in parts], 1))


class MapDecoder(Decoder):
    """A decoder that does much of the work: the symbols become a small map, which residual convolutions work on.

    side, width, blocks: the map's side and channels, and the number of residual blocks.
    """

    def _body(self, hidden, classes: int) -> nn.Sequential:
        side, width, blocks = hidden["side"], hidden["width"], hidden["blocks"]
        return nn.Sequential(
            nn.Linear(3 * self.symbols, width * side**2),
            nn.Unflatten(1, (width, side, side)),
            *(_MapResidual(width) for _ in range(blocks)),
            nn.AvgPool2d(side),
            nn.Flatten(),
            nn.Linear(width, classes),
        )


class _MapResidual(nn.Module):
    """Norms over each sample alone: batches of one budget must not set the statistics of another's."""

    def __init__(self, width: int):
        super().__init__()
        half = (nn.GroupNorm(1, width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        other = (nn.GroupNorm(1, width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        self.body = nn.Sequential(*half, *other)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.body(features)


class Student(nn.Module):
    """Encoder, channel-adaptive module and decoder; optionally a second decoder that rebuilds the teacher's embedding.

    image_shape: (C, H, W). symbols: the largest budget. widths, blocks: the encoder's convolutions (see trunk.py).
    phi_hidden, decoder_hidden: sizes of the two small networks.
    code_words: above 0, the code is a mixture of one word for each class with this sharpness (CodeWords); 0: it is
    linear in the pooled features.
    adaptation: one of channel_adaptive.ADAPTATIONS. told_noise: False hides the noise variances from the decoder.
    decoder_hidden: a list for a Decoder, a mapping (side, width, blocks) for a MapDecoder, "words" for a Correlator of
    the code words.
    mirror, shift: the encoder works on the image and its mirror image, and on both where they lie a little off
    (Encoder).
    embedding: numbers in the teacher's (compressed) embedding, 0: it is not rebuilt. embedding_hidden: its decoder's.
    """

    def __init__(
        self,
        image_shape,
        classes: int,
        symbols: int,
        widths=(24, 48, 96),
        phi_hidden: int = 64,
        decoder_hidden=(160, 96),
        blocks=("", "dd", "r"),
        adaptation: str = "phi",
        told_noise: bool = True,
        embedding: int = 0,
        embedding_hidden=(160, 96),
        code_words: float = 0.0,
        mirror: bool = False,
        shift: int = 0,
    ):
        super().__init__()
        self.symbols, self.embedding = symbols, embedding
        self.encoder = Encoder(image_shape[0], widths, blocks, symbols, classes, code_words, mirror, shift)
        if adaptation not in ADAPTATIONS:
            raise CodecError(f"student: adaptation is {adaptation!r}; known are {', '.join(ADAPTATIONS)}")
        self.adapt = ADAPTATIONS[adaptation](symbols, phi_hidden)
        if decoder_hidden == "words":
            if not code_words:
                raise CodecError("student: decoder_hidden: words needs code_words above 0")
            self.decoder = Correlator(self.encoder.project.words.weight)
        else:
            self.decoder = _decoder(symbols, decoder_hidden, classes, told_noise)
        self.embedder = _decoder(symbols, embedding_hidden, embedding, told_noise) if embedding else None

    def encode(self, images: torch.Tensor, snr_db: torch.Tensor, budget: int) -> torch.Tensor:
        """images float32 0..1, N x C x H x W; snr_db float32, N. Returns complex64, N x budget, unit power a row."""
        return self.send(self.encoder(images), snr_db, budget)

    def send(self, features: torch.Tensor, snr_db: torch.Tensor, budget: int) -> torch.Tensor:
        """The second half of encode: features X0, N x 2 symbols -> complex64, N x budget, unit power a row."""
        return send_prefix(self.adapt(features, snr_db), budget)

    def decode(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """See Decoder."""
        return self.decoder(received, noise_var)

    def rebuild(self, received: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """What decode takes -> the teacher's embedding, rebuilt: float32, N x embedding, unit length."""
        return nn.functional.normalize(self.embedder(received, noise_var), dim=1)


def _perceptron(sizes) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def _decoder(symbols: int, hidden, outputs: int, told_noise: bool) -> Decoder:
    return (MapDecoder if isinstance(hidden, dict) else Decoder)(symbols, hidden, outputs, told_noise)
