# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy against SNR and budget with confidence intervals; parameters and multiplications of both ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from .channels import transmit
from .codec import SemanticCodec
from .codec_folder import CodecConfig
from .data import ImageSet
from .errors import CodecError
from .inference_form import FLOPS
from .student import Student
from .teacher import to_unit
from .training import progress

TABLE_SNR_DB = tuple(float(snr_db) for snr_db in range(-10, 25, 2))
BATCH = 500
WEAKEST_TAP_LIN = 1e-9  # fades are measured as they are; only a division by zero is kept out


def evaluate_codec(
    codec: SemanticCodec,
    images: ImageSet,
    snr_db: Sequence[float] = TABLE_SNR_DB,
    channels: Sequence[str] = ("awgn",),
    seed: int = 1,
    budgets: Sequence[int] | None = None,
    report_error_db: float = 0.0,
) -> dict:
    """Send every image once at every SNR and budget (None: all of the codec's) and count the right decisions.

    report_error_db: the sender is told an SNR that is wrong by this much; the receiver knows its noise.

    Returns a JSON-able dict: codec, model_id, images (name), clean_accuracy, parameters and macs (per end and image),
    points: a list of {channel, snr_db, budget, accuracy, ci95, images}.
    Raises CodecError if labels are missing or a budget is unknown.
    """
    if images.labels is None:
        raise CodecError(f"evaluation: image set {images.name} has no labels")
    for level in (*snr_db, report_error_db):
        if not math.isfinite(level):
            raise CodecError(f"evaluation: an SNR or its error is {level}, expected a finite number of dB")
    for budget in budgets or ():
        codec.reference_accuracy(0.0, budget)  # refuses an unknown one
    features = features_of(codec.model, images.images)
    points = [
        (channel, level, budget) for channel in channels for budget in budgets or codec.budgets for level in snr_db
    ]
    rows = []
    for channel, level, budget in progress(points, "evaluate"):
        accuracy = accuracy_at(
            codec.model, features, images.labels, level, budget, codec.snr_range_db, seed, channel, report_error_db
        )
        rows.append(_point(channel, level, budget, accuracy, len(images)))
    clean = clean_accuracy(codec.model, features, images.labels, codec.snr_range_db)
    return _result(codec, images.name, clean, rows)


def stored_result(codec: SemanticCodec, config: CodecConfig) -> dict:
    """The same dict from the table in codec.toml, without sending anything."""
    rows = [
        _point("awgn", level, budget, accuracy, config.images)
        for budget in config.budgets
        for level, accuracy in zip(config.snr_db, config.accuracy[budget], strict=True)
    ]
    return _result(codec, config.origin.get("test_data", "unknown images"), config.clean_accuracy, rows)


def _point(channel: str, snr_db: float, budget: int, accuracy: float, images: int) -> dict:
    ci95 = wilson_interval(accuracy, images)
    return {
        "channel": channel,
        "snr_db": float(snr_db),
        "budget": budget,
        "accuracy": accuracy,
        "ci95": ci95,
        "images": images,
    }


def _result(codec: SemanticCodec, images: str, clean: float, points: list[dict]) -> dict:
    return {
        "codec": codec.name,
        "model_id": codec.model_id,
        "images": images,
        "clean_accuracy": clean,
        "parameters": count_parameters(codec.model),
        "macs": count_macs(codec.model, codec.image_shape),
        "points": points,
    }


@torch.inference_mode()
def features_of(student: Student, images: np.ndarray) -> torch.Tensor:
    """uint8 images, N x C x H x W -> features X0, N x 2 symbols, the part that no SNR or budget changes."""
    return _through(student, student.encoder, images)


@torch.inference_mode()
def pooled_of(student: Student, images: np.ndarray, shifted: bool = True) -> torch.Tensor:
    """uint8 images, N x C x H x W -> what its convolutions make of them (Encoder.pooled), N x pooled_width."""
    return _through(student, partial(student.encoder.pooled, shifted=shifted), images)


def _through(student: Student, function, images: np.ndarray) -> torch.Tensor:
    student.eval()
    device = next(student.parameters()).device
    return torch.cat([function(to_unit(images[k : k + BATCH], device)) for k in range(0, len(images), BATCH)])


@torch.inference_mode()
def accuracy_at(
    student: Student,
    features,
    labels: np.ndarray,
    snr_db: float,
    budget: int,
    snr_range_db,
    seed: int,
    channel="awgn",
    report_error_db: float = 0.0,
) -> float:
    """Share of right decisions when every image is sent once at this SNR with this noise seed.

    The sender is told snr_db + report_error_db.
    """
    level = torch.full((len(features),), float(snr_db), device=features.device)
    received = received_at(student, features, level, budget, snr_range_db, seed, channel, report_error_db)
    return _share_right(student.decode(*received), labels)


@torch.inference_mode()
def received_at(
    student: Student,
    features,
    snr_db: torch.Tensor,
    budget: int,
    snr_range_db,
    seed,
    channel="awgn",
    report_error_db=0.0,
):
    """What the receiver has of each image, sent once at its snr_db (float32, N): symbols and noise_var, N x budget."""
    symbols = student.send(features, (snr_db + report_error_db).clamp(*snr_range_db), budget)
    draw = torch.Generator(features.device).manual_seed(seed)
    return transmit(symbols, snr_db, channel, draw, WEAKEST_TAP_LIN)


@torch.inference_mode()
def clean_accuracy(student: Student, features: torch.Tensor, labels: np.ndarray, snr_range_db) -> float:
    """Share of right decisions without a channel: all symbols, the highest SNR told, no noise."""
    symbols = student.send(
        features, torch.full((len(features),), snr_range_db[1], device=features.device), student.symbols
    )
    return _share_right(student.decode(symbols, torch.zeros_like(symbols.real)), labels)


def wilson_interval(accuracy: float, images: int) -> list[float]:
    """95 % confidence interval [low, high] of a share that was counted over so many images."""
    z = 1.959964
    centre = (accuracy + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * math.sqrt(accuracy * (1 - accuracy) / images + z * z / (4 * images**2))
    return [centre - half, centre + half]


def count_parameters(student: Student) -> dict[str, int]:
    """Trainable numbers at the edge (encoder and channel-adaptive module), at the receiver, and in all."""
    edge = sum(value.numel() for part in (student.encoder, student.adapt) for value in part.parameters())
    receiver = sum(value.numel() for part in (student.decoder, student.embedder) if part for value in part.parameters())
    return {"edge": edge, "receiver": receiver, "total": edge + receiver}


@torch.inference_mode()
def count_macs(student: Student, image_shape) -> dict[str, int]:
    """Multiply-accumulates of one image's convolutions and matrix products at each end, and in all."""
    device = next(student.parameters()).device
    counts = {}
    with FlopCounterMode(display=False, custom_mapping=FLOPS) as counter:
        symbols = student.encode(
            torch.zeros(1, *image_shape, device=device), torch.zeros(1, device=device), student.symbols
        )
    counts["edge"] = counter.get_total_flops() // 2
    with FlopCounterMode(display=False, custom_mapping=FLOPS) as counter:
        student.decode(symbols, torch.ones_like(symbols.real))
        if student.embedder:
            student.rebuild(symbols, torch.ones_like(symbols.real))
    counts["receiver"] = counter.get_total_flops() // 2
    return counts | {"total": counts["edge"] + counts["receiver"]}


def _share_right(logits: torch.Tensor, labels: np.ndarray) -> float:
    return float((logits.argmax(1).cpu().numpy() == labels).mean())


def table(result: dict) -> str:
    """The points as a Markdown table, one row an SNR, accuracies in per cent.

    Points with a limit (limit.add_limits) become "accuracy of limit (points below it)".
    """
    return points_table(result, _cell)


def points_table(result: dict, cell) -> str:
    """The points as a Markdown table, one row an SNR; cell: a point -> what stands in the table."""
    budgets = sorted({point["budget"] for point in result["points"]})
    lines = []
    for channel in dict.fromkeys(point["channel"] for point in result["points"]):
        found = {(p["snr_db"], p["budget"]): p for p in result["points"] if p["channel"] == channel}
        lines += [""] if lines else []
        lines += [f"| {channel}, SNR dB | " + " | ".join(f"{budget} symbols" for budget in budgets) + " |"]
        lines += ["|" + " --- |" * (len(budgets) + 1)]
        for snr_db in sorted({key[0] for key in found}):
            cells = (cell(found[snr_db, budget]) for budget in budgets)
            lines += [f"| {snr_db:g} | " + " | ".join(cells) + " |"]
    return "\n".join(lines)


def _cell(point: dict) -> str:
    cell = f"{100 * point['accuracy']:.2f}"
    if "limit" not in point:
        return cell
    return f"{cell} of {100 * point['limit']:.2f} ({round(point['below_limit_points'], 1) + 0.0:.1f})"
