# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rebuilt embedding is good for: likeness to the teacher's, retrieval, and tasks that nobody trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from .codec import SemanticCodec
from .data import ImageSet
from .embedding_reference import EmbeddingReference
from .errors import CodecError
from .evaluate import TABLE_SNR_DB, features_of, points_table, received_at, wilson_interval
from .linear_probe import fit_linear_probe
from .retrieval import NEIGHBOURS, label_precision, nearest, shares_found
from .student import Student
from .training import progress


def evaluate_embedding(
    codec: SemanticCodec,
    images: ImageSet,
    reference: EmbeddingReference,
    snr_db: Sequence[float] = TABLE_SNR_DB,
    channels: Sequence[str] = ("awgn",),
    seed: int = 1,
    budgets: Sequence[int] | None = None,
) -> dict:
    """Send every image once at every SNR and budget, rebuild the embeddings, and look for neighbours with them.

    images: the test images that the reference belongs to. Each of the reference's queries is looked up in a gallery of
    the teacher's embeddings of all test images but its own.

    Returns a JSON-able dict: codec, model_id, images, gallery, queries, embedding (numbers in it), perfect (the
    teacher's compressed embedding itself as query), points: a list of {channel, snr_db, budget, images, accuracy, ci95,
    cosine, recall_at_10, recall_ci95, label_precision_at_10, from_label}.
      cosine: to the teacher's compressed embedding, mean over all images.
      recall_at_10: share of a query's 10 true neighbours (the teacher's whole feature vectors) among the 10 found.
      label_precision_at_10: share of the 10 found that have the query's label.
      from_label: cosine, recall_at_10, label_precision_at_10 if the receiver takes the mean embedding of the class that
      it decided for, from the same symbols: what a label alone is worth.
    Raises CodecError if the codec rebuilds no embedding or a budget is unknown.
    """
    if not codec.embedding:
        raise CodecError(f"codec {codec.name} rebuilds no embedding: it was trained without")
    for budget in budgets or ():
        codec.reference_accuracy(0.0, budget)  # refuses an unknown one
    teacher, queries, student = reference.embeddings, len(reference.neighbours), codec.model
    features = features_of(student, images.images)

    def judge(vectors: np.ndarray) -> tuple[dict, np.ndarray]:
        found = nearest(vectors[:queries], teacher)
        shares = shares_found(found, reference.neighbours)
        cosine = F.cosine_similarity(torch.from_numpy(vectors), torch.from_numpy(teacher), 1).mean()
        precision = label_precision(found, images.labels)
        return {
            "cosine": float(cosine),
            "recall_at_10": float(shares.mean()),
            "label_precision_at_10": precision,
        }, shares

    points = [
        (channel, level, budget) for channel in channels for budget in budgets or codec.budgets for level in snr_db
    ]
    rows = []
    for channel, level, budget in progress(points, "embedding"):
        levels = torch.full((len(features),), float(level), device=features.device)
        received = received_at(student, features, levels, budget, codec.snr_range_db, seed, channel)
        decided = _logits(student, received).argmax(1)
        right = float((decided == images.labels).mean())
        judged, shares = judge(_rebuilt(student, received))
        margin = 1.96 * shares.std() / np.sqrt(queries)
        rows.append(
            {
                "channel": channel,
                "snr_db": float(level),
                "budget": budget,
                "images": len(images),
                "accuracy": right,
                "ci95": wilson_interval(right, len(images)),
                **judged,
                "recall_ci95": [judged["recall_at_10"] - margin, judged["recall_at_10"] + margin],
                "from_label": judge(reference.class_means[decided])[0],
            }
        )
    return {
        "codec": codec.name,
        "model_id": codec.model_id,
        "images": images.name,
        "gallery": len(images),
        "queries": queries,
        "neighbours": NEIGHBOURS,
        "embedding": codec.embedding,
        "perfect": judge(teacher)[0],
        "points": rows,
    }


def evaluate_probe(
    codec: SemanticCodec,
    train: ImageSet,
    test: ImageSet,
    snr_db: Sequence[float] = TABLE_SNR_DB,
    channels: Sequence[str] = ("awgn",),
    seed: int = 1,
    budgets: Sequence[int] | None = None,
) -> dict:
    """Can a linear classifier at the receiver solve a task that the codec was never trained for?

    train, test: images with the labels of that task, of the codec's image shape. Every training image is sent once over
    AWGN with a random SNR out of the trained range and a random budget; one probe is fitted to what arrived, and used
    for every point. Probes: "embedding" (the rebuilt one; only a codec that has it), "logits" (log-probabilities of
    the codec's own classes), "symbols" (as received, shrunk by 1 / (1 + noise_var), zeros where nothing was sent).

    Returns a JSON-able dict: codec, model_id, train, test, classes, points: a list of {probe, channel, snr_db, budget,
    accuracy, ci95, images}.
    """
    student, budgets = codec.model, tuple(budgets or codec.budgets)
    for budget in budgets:
        codec.reference_accuracy(0.0, budget)
    if train.labels is None or test.labels is None or train.classes != test.classes:
        raise CodecError(f"probe: {train.name} and {test.name} must have labels of the same classes")
    features = features_of(student, train.images)
    low, high = codec.snr_range_db
    draw = torch.Generator().manual_seed(seed)
    levels = (low + (high - low) * torch.rand(len(train), generator=draw)).to(features.device)
    which = torch.randint(len(budgets), (len(train),), generator=draw)
    columns: dict[str, list[torch.Tensor]] = {}
    labels = []
    for number, budget in enumerate(budgets):
        rows = (which == number).nonzero()[:, 0]
        arrived = rows.to(features.device)
        received = received_at(
            student, features[arrived], levels[arrived], budget, codec.snr_range_db, seed + number + 1
        )
        for probe, values in _inputs(student, received).items():
            columns.setdefault(probe, []).append(values)
        labels.append(torch.from_numpy(train.labels)[rows])
    truth = torch.cat(labels).to(features.device)
    probes = {probe: fit_linear_probe(torch.cat(parts), truth, len(train.classes)) for probe, parts in columns.items()}
    features = features_of(student, test.images)
    points = [(channel, level, budget) for channel in channels for budget in budgets for level in snr_db]
    result = []
    for channel, level, budget in progress(points, "probe"):
        told = torch.full((len(features),), float(level), device=features.device)
        received = received_at(student, features, told, budget, codec.snr_range_db, seed, channel)
        for probe, values in _inputs(student, received).items():
            accuracy = float((probes[probe](values).argmax(1).cpu().numpy() == test.labels).mean())
            result.append(
                {
                    "probe": probe,
                    "channel": channel,
                    "snr_db": float(level),
                    "budget": budget,
                    "accuracy": accuracy,
                    "ci95": wilson_interval(accuracy, len(test)),
                    "images": len(test),
                }
            )
    return {
        "codec": codec.name,
        "model_id": codec.model_id,
        "train": train.name,
        "test": test.name,
        "classes": list(train.classes),
        "points": result,
    }


@torch.inference_mode()
def _logits(student: Student, received) -> np.ndarray:
    return student.decode(*received).cpu().numpy()


@torch.inference_mode()
def _rebuilt(student: Student, received) -> np.ndarray:
    return student.rebuild(*received).cpu().numpy()


@torch.no_grad()
def _inputs(student: Student, received) -> dict[str, torch.Tensor]:
    """What the probes take of received images, each N x its width."""
    symbols, noise_var = received
    shrunk = torch.view_as_real(symbols / (1 + noise_var)).flatten(1)
    inputs = {"embedding": student.rebuild(*received)} if student.embedding else {}
    inputs["logits"] = F.log_softmax(student.decode(*received), 1)
    inputs["symbols"] = F.pad(shrunk, (0, 2 * student.symbols - shrunk.shape[1]))
    return {probe: values.clone() for probe, values in inputs.items()}


def embedding_table(result: dict) -> str:
    """The points as a Markdown table: recall@10 in per cent (after "label" that of the label alone), and cosine."""
    return points_table(result, _cell)


def _cell(point: dict) -> str:
    recall, label = 100 * point["recall_at_10"], 100 * point["from_label"]["recall_at_10"]
    return f"{recall:.1f} (label {label:.1f}), cosine {point['cosine']:.3f}"


def probe_table(result: dict) -> str:
    """The points as a Markdown table: accuracy in per cent by the probes' names, separated by slashes."""
    budgets = sorted({point["budget"] for point in result["points"]})
    probes = list(dict.fromkeys(point["probe"] for point in result["points"]))
    lines = []
    for channel in dict.fromkeys(point["channel"] for point in result["points"]):
        found = {(p["snr_db"], p["budget"], p["probe"]): p for p in result["points"] if p["channel"] == channel}
        lines += [""] if lines else []
        head = " | ".join(f"{budget} symbols" for budget in budgets)
        lines += [f"| {channel}, SNR dB: {' / '.join(probes)} | {head} |", "|" + " --- |" * (len(budgets) + 1)]
        for snr_db in sorted({key[0] for key in found}):
            cells = (
                " / ".join(f"{100 * found[snr_db, budget, probe]['accuracy']:.1f}" for probe in probes)
                for budget in budgets
            )
            lines += [f"| {snr_db:g} | " + " | ".join(cells) + " |"]
    return "\n".join(lines)
