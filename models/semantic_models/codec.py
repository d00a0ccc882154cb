# SPDX-License-Identifier: GPL-3.0-or-later
"""SemanticCodec: images to feature symbols, and received symbols to class scores."""

from __future__ import annotations

import numpy as np
import torch

from .codec_folder import CodecConfig, read_codec
from .device import choose_device
from .errors import CodecError
from .inference_form import for_inference
from .student import Student

CHUNK_SIZES = (1, 4, 8, 16, 64)  # those are used that give the same bits as SAFE_SIZE, see _stable_sizes
SAFE_SIZE = 4


class SemanticCodec:
    """A trained codec, ready for inference. Make one with SemanticCodec.load.

    Arrays in, arrays out: numpy for numpy, torch for torch (on the input's own device). Every image's result is the
    same to the last bit whatever else is in the batch. Nothing global (threads, seeds, devices) is changed.
    """

    def __init__(self, config: CodecConfig, model: Student, model_id: str, device: torch.device):
        self._config = config
        self._device = device
        self.model = for_inference(model, device)
        self.name = config.name
        self.budgets: tuple[int, ...] = config.budgets
        self.classes: tuple[str, ...] = config.classes
        self.image_shape: tuple[int, int, int] = config.image_shape
        self.snr_range_db: tuple[float, float] = config.snr_range_db
        self.clean_accuracy: float = config.clean_accuracy
        self.margin: float = config.margin
        self.embedding: int = model.embedding
        self.model_id: str = model_id
        self.model_id16: int = int(model_id[:4], 16)
        self._image_sizes, self._row_sizes = self._stable_sizes()

    @classmethod
    def load(cls, folder, device: str = "auto") -> SemanticCodec:
        """Open a codec folder. device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1".

        Raises CodecError if the folder or a file is missing, corrupt or of another format, or the device is not there.
        """
        chosen = choose_device(device)
        config, tensors, model_id = read_codec(folder)
        try:
            model = config.build()
            model.load_state_dict(tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CodecError(f"codec {folder}: weights and codec.toml do not fit together ({reason})") from None
        return cls(config, model, model_id, chosen)

    def encode(self, images, snr_db, budget: int | None = None):
        """Images to feature symbols.

        images: uint8, N x C x H x W. snr_db: a number or N of them, the SNR that the receiver reported; values outside
        snr_range_db are taken as its nearest end. budget: one of `budgets`, or None for the rate policy's choice at the
        lowest SNR given. Returns complex64, N x budget, unit mean power in every row.
        Raises CodecError for a wrong shape, type, SNR or budget.
        """
        pixels = self._images(images)
        snr = np.asarray(snr_db.cpu() if isinstance(snr_db, torch.Tensor) else snr_db, np.float64)
        if snr.shape not in ((), (len(pixels),)):
            raise CodecError(f"encode: snr_db must be a number or {len(pixels)} of them, not shape {snr.shape}")
        if not np.isfinite(snr).all():
            raise CodecError("encode: snr_db is NaN or infinite")
        if budget is None:
            budget = self.choose_budget(float(snr.min(initial=self.snr_range_db[1])))
        self._check_budget(budget)
        levels = np.broadcast_to(np.clip(snr, *self.snr_range_db), (len(pixels),)).astype(np.float32)
        levels = torch.from_numpy(levels.copy())
        pooled = self._in_chunks(self._image_sizes, self._pooled, pixels)
        symbols = self._in_chunks(self._row_sizes, lambda p, s: self._send(p, s, budget), pooled, levels)
        return _like(symbols, images)

    def decode(self, symbols, noise_var):
        """Received symbols to logits.

        symbols: complex64, N x L, unbiased, L one of `budgets`. noise_var: float32, N x L, or a number: noise
        variance of each symbol relative to unit symbol power, >= 0. Returns float32 logits, N x classes.
        Raises CodecError for NaN or infinite values, a wrong shape or an unknown L.
        """
        logits = self._in_chunks(self._row_sizes, self.model.decode, *self._received(symbols, noise_var))
        return _like(logits, symbols)

    def rebuild_embedding(self, symbols, noise_var):
        """What decode takes -> the teacher's embedding of the image as the receiver rebuilds it.

        Returns float32, N x embedding, rows of unit length. Raises CodecError as decode does, and if the codec was
        trained without embeddings (`embedding` is 0).
        """
        if not self.embedding:
            raise CodecError(f"codec {self.name} rebuilds no embedding: it was trained without")
        rebuilt = self._in_chunks(self._row_sizes, self.model.rebuild, *self._received(symbols, noise_var))
        return _like(rebuilt, symbols)

    def _received(self, symbols, noise_var) -> tuple[torch.Tensor, torch.Tensor]:
        received = _tensor(symbols)
        if received.ndim != 2 or not received.is_complex():
            raise CodecError(f"decode: symbols must be complex, N x L, not {received.dtype} {tuple(received.shape)}")
        self._check_budget(received.shape[1])
        received = received.to(torch.complex64)
        noise = _tensor(noise_var).to(torch.float32)
        if noise.ndim != 0 and noise.shape != received.shape:
            raise CodecError(f"decode: noise_var has shape {tuple(noise.shape)}, symbols {tuple(received.shape)}")
        noise = noise.expand(received.shape).contiguous()
        if not bool(torch.isfinite(torch.view_as_real(received.resolve_conj())).all()):
            raise CodecError("decode: symbols hold NaN or infinite values")
        if not bool((torch.isfinite(noise) & (noise >= 0)).all()):
            raise CodecError("decode: noise_var holds NaN, infinite or negative values")
        return received, noise

    def choose_budget(self, snr_db: float, margin: float | None = None) -> int:
        """The smallest budget whose measured accuracy at this SNR is within `margin` (a share of 1) of the best."""
        margin = self.margin if margin is None else margin
        if not margin >= 0:
            raise CodecError(f"choose_budget: margin is {margin}, it must be 0 or more")
        accuracies = {budget: self.reference_accuracy(snr_db, budget) for budget in self.budgets}
        best = max(accuracies.values())
        return next(budget for budget, accuracy in accuracies.items() if accuracy >= best - margin)

    def reference_accuracy(self, snr_db: float, budget: int) -> float:
        """Measured AWGN accuracy (0..1), linear between the table's SNRs and constant beyond its ends."""
        self._check_budget(budget)
        if not np.isfinite(snr_db):
            raise CodecError("reference_accuracy: snr_db is NaN or infinite")
        return float(np.interp(snr_db, self._config.snr_db, self._config.accuracy[budget]))

    def _check_budget(self, budget) -> None:
        if budget not in self.budgets:
            raise CodecError(f"unknown budget {budget}: codec {self.name} has {', '.join(map(str, self.budgets))}")

    def _images(self, images) -> torch.Tensor:
        pixels = _tensor(images)
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or tuple(pixels.shape[1:]) != self.image_shape:
            wanted = " x ".join(map(str, self.image_shape))
            raise CodecError(f"encode: images must be uint8, N x {wanted}, not {pixels.dtype} {tuple(pixels.shape)}")
        return pixels

    def _pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encoder.pooled(_unit(pixels))

    def _send(self, pooled: torch.Tensor, snr_db: torch.Tensor, budget: int) -> torch.Tensor:
        return self.model.send(self.model.encoder.code(pooled), snr_db, budget)

    @torch.inference_mode()
    def _in_chunks(self, sizes: tuple[int, ...], function, *inputs: torch.Tensor) -> torch.Tensor:
        """Apply function to chunks of fixed sizes: torch picks its kernels, and with them the rounding, by shape."""
        parts, start, count = [], 0, len(inputs[0])
        if count == 0:  # no rows, but of the right type and width
            return function(*(value.new_zeros(1, *value.shape[1:]).to(self._device) for value in inputs))[:0]
        while start < count:
            left = count - start
            size = max((size for size in sizes if size <= left), default=sizes[0])
            chunk = [value[start : start + size].to(self._device) for value in inputs]
            if size > left:  # a short rest is filled with its last row
                chunk = [torch.cat([value, value[-1:].expand(size - left, *value.shape[1:])]) for value in chunk]
            parts.append(function(*chunk)[:left])
            start += size
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    @torch.inference_mode()
    def _stable_sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The chunk sizes for images (the convolutions) and for rows (what follows them, and the decoder).

        Those out of CHUNK_SIZES that give every row the same bits as every other: checked on this machine with copies
        of random inputs. If even SAFE_SIZE fails, images are taken one by one.
        """
        draw, longest = torch.Generator().manual_seed(0), max(self.budgets)
        images, rows = [], []
        for _ in range(3):
            images.append(torch.randint(0, 256, self.image_shape, generator=draw, dtype=torch.uint8).to(self._device))
            snr_db = (30 * torch.rand((), generator=draw) - 6).to(self._device)
            symbols = torch.randn(longest, generator=draw, dtype=torch.complex64).to(self._device)
            noise_var = torch.rand(longest, generator=draw).to(self._device)
            rows.append((self._pooled(images[-1][None])[0], snr_db, symbols, noise_var))

        def rest(pooled, snr_db, symbols, noise_var):
            sent = [self._send(pooled, snr_db, budget) for budget in self.budgets]
            rebuilt = [self.model.rebuild(symbols, noise_var)] if self.embedding else []
            return [*sent, self.model.decode(symbols, noise_var), *rebuilt]

        def stable(function, trials):
            def run(size):
                copies = [[value.expand(size, *value.shape).contiguous() for value in trial] for trial in trials]
                return [result for inputs in copies for result in function(*inputs)]

            reference = [result[:1] for result in run(SAFE_SIZE)]
            good = tuple(
                size
                for size in CHUNK_SIZES
                if all(torch.equal(a, first.expand_as(a)) for a, first in zip(run(size), reference, strict=True))
            )
            return good if SAFE_SIZE in good else (1,)

        return stable(lambda pixels: [self._pooled(pixels)], [(image,) for image in images]), stable(rest, rows)


def _unit(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float().div_(255).contiguous(memory_format=torch.channels_last)


def _tensor(value) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    try:
        return torch.from_numpy(np.array(value))  # a copy: torch does not take read-only arrays
    except TypeError:
        raise CodecError(f"input is not an array of numbers ({type(value).__name__})") from None


def _like(result: torch.Tensor, given):
    return result.to(given.device) if isinstance(given, torch.Tensor) else result.cpu().numpy()
