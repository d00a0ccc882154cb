# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy against SNR and budget with confidence intervals; parameters and multiplications of both ends."""

from __future__ import annotations

import json
import math
import sys

import click
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from .channels import KINDS, transmit
from .codec import SemanticCodec
from .data import ImageSet, load_images
from .errors import CodecError
from .student import Student
from .teacher import to_unit
from .training import progress

TABLE_SNR_DB = tuple(float(snr_db) for snr_db in range(-10, 25, 2))
BATCH = 500


def evaluate_codec(
    codec: SemanticCodec, images: ImageSet, snr_db=TABLE_SNR_DB, channels=("awgn",), seed: int = 1
) -> dict:
    """Send every image once at every SNR and budget and count the right decisions.

    Returns a JSON-able dict: codec, model_id, images (name), clean_accuracy, parameters and macs (per end and image),
    points: a list of {channel, snr_db, budget, accuracy, ci95, images}. Raises CodecError if labels are missing.
    """
    if images.labels is None:
        raise CodecError(f"evaluation: image set {images.name} has no labels")
    features = features_of(codec.model, images.images)
    points = [(channel, level, budget) for channel in channels for budget in codec.budgets for level in snr_db]
    rows = []
    for channel, level, budget in progress(points, "evaluate"):
        accuracy = accuracy_at(codec.model, features, images.labels, level, budget, codec.snr_range_db, seed, channel)
        rows.append(
            {
                "channel": channel,
                "snr_db": float(level),
                "budget": budget,
                "accuracy": accuracy,
                "ci95": wilson_interval(accuracy, len(images)),
                "images": len(images),
            }
        )
    return {
        "codec": codec.name,
        "model_id": codec.model_id,
        "images": images.name,
        "clean_accuracy": clean_accuracy(codec.model, features, images.labels, codec.snr_range_db),
        "parameters": count_parameters(codec.model),
        "macs": count_macs(codec.model, codec.image_shape),
        "points": rows,
    }


@torch.inference_mode()
def features_of(student: Student, images: np.ndarray) -> torch.Tensor:
    """uint8 images, N x C x H x W -> features X0, N x 2 symbols, the part that no SNR or budget changes."""
    student.eval()
    device = next(student.parameters()).device
    return torch.cat([student.encoder(to_unit(images[k : k + BATCH], device)) for k in range(0, len(images), BATCH)])


@torch.inference_mode()
def accuracy_at(
    student: Student, features, labels: np.ndarray, snr_db: float, budget: int, snr_range_db, seed: int, channel="awgn"
) -> float:
    """Share of right decisions when every image is sent once at this (true and reported) SNR with this noise seed."""
    low, high = snr_range_db
    level = torch.full((len(features),), float(snr_db), device=features.device)
    symbols = student.send(features, level.clamp(low, high), budget)
    draw = torch.Generator(features.device).manual_seed(seed)
    return _share_right(student.decode(*transmit(symbols, level, channel, draw)), labels)


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
    receiver = sum(value.numel() for value in student.decoder.parameters())
    return {"edge": edge, "receiver": receiver, "total": edge + receiver}


@torch.inference_mode()
def count_macs(student: Student, image_shape) -> dict[str, int]:
    """Multiply-accumulates of one image's convolutions and matrix products at each end."""
    device = next(student.parameters()).device
    counts = {}
    with FlopCounterMode(display=False) as counter:
        symbols = student.encode(
            torch.zeros(1, *image_shape, device=device), torch.zeros(1, device=device), student.symbols
        )
    counts["edge"] = counter.get_total_flops() // 2
    with FlopCounterMode(display=False) as counter:
        student.decode(symbols, torch.ones_like(symbols.real))
    return counts | {"receiver": counter.get_total_flops() // 2}


def _share_right(logits: torch.Tensor, labels: np.ndarray) -> float:
    return float((logits.argmax(1).cpu().numpy() == labels).mean())


@click.command()
@click.argument("codec")
@click.option("--images", default="fashion-mnist:test", show_default=True, help="Labelled image set.")
@click.option("--channel", "channels", multiple=True, default=["awgn"], type=click.Choice(KINDS), show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", default=1, show_default=True, help="Seed of the noise.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(codec: str, images: str, channels, device: str, seed: int, as_json: bool) -> None:
    """Measure the accuracy of the codec in folder CODEC over SNR and budget."""
    try:
        loaded = SemanticCodec.load(codec, device)
        result = evaluate_codec(loaded, load_images(images, like=loaded), channels=channels, seed=seed)
    except CodecError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    print(json.dumps(result) if as_json else table(result))


def table(result: dict) -> str:
    """The points as a Markdown table, one row an SNR, accuracies in per cent."""
    budgets = sorted({point["budget"] for point in result["points"]})
    lines = []
    for channel in dict.fromkeys(point["channel"] for point in result["points"]):
        found = {(p["snr_db"], p["budget"]): p["accuracy"] for p in result["points"] if p["channel"] == channel}
        lines += [f"| {channel}, SNR dB | " + " | ".join(f"{budget} symbols" for budget in budgets) + " |"]
        lines += ["|" + " --- |" * (len(budgets) + 1)]
        for snr_db in sorted({key[0] for key in found}):
            cells = (f"{100 * found[snr_db, budget]:.2f}" for budget in budgets)
            lines += [f"| {snr_db:g} | " + " | ".join(cells) + " |"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
