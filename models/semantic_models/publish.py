# SPDX-License-Identifier: GPL-3.0-or-later
"""From a trained student to a folder of the zoo: weights, measured table, golden vectors, model card."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save as save_arrays

from .codec import SemanticCodec
from .codec_folder import CodecConfig, read_codec, save_codec, write_bytes
from .data import ImageSet
from .evaluate import TABLE_SNR_DB, evaluate_codec, stored_result, table
from .figure import accuracy_figure
from .limit import add_limits
from .student import Student

FIGURE = "accuracy.png"
GOLDEN_IMAGES = 8
GOLDEN_SNR_DB = 10.0
GOLDEN_BUDGET = 16
GOLDEN_NOISE_VAR = 0.1


def publish(
    folder: Path, name: str, classes, image_shape, experiment: dict, student: Student, test: ImageSet, origin: dict
):
    """Write the codec folder. What is measured are the weights as stored (half precision), read back from the folder.

    experiment: the student section of the experiment file. origin: what the codec was made from (hashes, figures).
    Returns the evaluation (see evaluate_codec).
    """
    folder = Path(folder)
    budgets = tuple(experiment["budgets"])
    blank = CodecConfig(
        name=name,
        image_shape=tuple(image_shape),
        classes=tuple(classes),
        budgets=budgets,
        snr_range_db=tuple(float(limit) for limit in experiment["snr_range_db"]),
        model=experiment["model"],
        margin=float(experiment["margin"]),
        images=len(test),
        clean_accuracy=0.0,
        snr_db=TABLE_SNR_DB,
        accuracy={budget: (0.0,) * len(TABLE_SNR_DB) for budget in budgets},
    )
    staging = folder.with_name(folder.name + ".part")
    save_codec(staging, blank, student)
    codec = SemanticCodec.load(staging, "cpu")
    result = evaluate_codec(codec, test)
    accuracy = {
        budget: tuple(round(point["accuracy"], 4) for point in result["points"] if point["budget"] == budget)
        for budget in budgets
    }
    golden = golden_vectors(codec, test)
    origin = origin | {
        "test_data": test.name,
        "test_sha256": test.content_hash,
        "golden_sha256": hashlib.sha256(golden).hexdigest(),
    }
    final = replace(blank, clean_accuracy=round(result["clean_accuracy"], 4), accuracy=accuracy, origin=origin)
    write_bytes(folder / "golden.safetensors", golden)
    save_codec(folder, final, student)
    write_card(folder)
    for path in staging.iterdir():
        path.unlink()
    staging.rmdir()
    return result


def write_card(folder: Path) -> None:
    """Write the model card and its figure from what the codec folder holds."""
    config, codec = read_codec(folder)[0], SemanticCodec.load(folder, "cpu")
    result = stored_result(codec, config)
    write_bytes(Path(folder) / FIGURE, accuracy_figure(result, len(config.classes)))
    write_bytes(Path(folder) / "README.md", model_card(config, result).encode())


def golden_vectors(codec: SemanticCodec, images: ImageSet) -> bytes:
    """A few images, their symbols, and the logits of these symbols under a known disturbance, as safetensors."""
    budget = GOLDEN_BUDGET if GOLDEN_BUDGET in codec.budgets else codec.budgets[-1]
    pixels = images.images[:GOLDEN_IMAGES]
    symbols = codec.encode(pixels, GOLDEN_SNR_DB, budget)
    turn = np.exp(2j * np.pi * np.arange(symbols.size) / 7).reshape(symbols.shape)
    received = (symbols + np.sqrt(GOLDEN_NOISE_VAR) * turn).astype(np.complex64)
    noise_var = np.full(received.shape, GOLDEN_NOISE_VAR, np.float32)
    return save_arrays(
        {
            "images": np.ascontiguousarray(pixels),
            "snr_db": np.array([GOLDEN_SNR_DB], np.float32),
            "symbols": symbols.view(np.float32).reshape(*symbols.shape, 2),
            "received": received.view(np.float32).reshape(*received.shape, 2),
            "noise_var": noise_var,
            "logits": codec.decode(received, noise_var),
        }
    )


def model_card(config: CodecConfig, result: dict) -> str:
    """The README of a zoo entry: every number in it comes from `result` (a stored_result) or `config`."""
    count, macs = result["parameters"], result["macs"]
    width = max(point["ci95"][1] - point["ci95"][0] for point in result["points"]) / 2
    low, high = config.snr_range_db
    below = max(point["below_limit_points"] for point in add_limits(result, len(config.classes))["points"])
    beyond = ""
    if config.model.get("embedding"):
        beyond = (
            f"\n\nThe receiver also rebuilds {config.model['embedding']} numbers of the teacher's embedding from the "
            f"same symbols: `gr-semantic embedding {config.name}`"
        )
    made = "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in config.origin.items())
    return f"""# Codec {config.name}

Images of {" x ".join(map(str, config.image_shape))} in, {len(config.classes)} classes out:
{", ".join(config.classes)}.
One network for budgets of {", ".join(map(str, config.budgets))} complex symbols and SNRs from {low:g} to {high:g} dB;
a shorter code is the beginning of the longer one.

| | edge | receiver | both |
| --- | --- | --- | --- |
| parameters | {count["edge"]:,} | {count["receiver"]:,} | {count["total"]:,} |
| multiply-accumulates an image | {macs["edge"]:,} | {macs["receiver"]:,} | {macs["total"]:,} |

Accuracy without a channel: {100 * result["clean_accuracy"]:.2f} %. Accuracy in per cent over AWGN, every image of
{result["images"]} ({config.images:,}) sent once; 95 % confidence intervals are at most +-{100 * width:.1f} points:

{table(result)}

![Accuracy against SNR, and the limit of any code]({FIGURE})

Dashed is the limit: accuracy without a channel x probability that simplex signals of the same energy are told apart.
The codec stays at most {below:.1f} points below it.

Each point's distance to the limit: `gr-semantic evaluate {config.name} --stored --limit`

The table again: `gr-semantic evaluate {config.name}`{beyond}

Limits: trained and measured on this data set only; other images get one of these classes too. Symbols are analog values
for additive noise of a variance that the receiver knows. The rate policy takes the smallest budget within
{100 * config.margin:g} point(s) of the best one in the table.

## Made from
{made}
- model id: {result["model_id"]}
"""
