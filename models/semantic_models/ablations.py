# SPDX-License-Identifier: GPL-3.0-or-later
"""Ablations and baselines: one experiment file and one row of a table each. What is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from .codec_folder import write_bytes
from .data import ImageSet, load_images
from .device import choose_device
from .distill import make_student, open_knowledge
from .evaluate import accuracy_at, clean_accuracy, count_macs, count_parameters, features_of, wilson_interval
from .experiment_file import load_experiment, merged
from .processes import own_device, process_group
from .student import Student
from .training import Log, config_hash, progress

ROWS = (
    "full",
    "labels-only",
    "online-kd",
    "without-seeds",
    "without-adaptation",
    "fixed-length",
    "without-rate-term",
    "one-snr",
    "vl-vfe-like",
    "rkd-sc-like",
    "teacher-at-edge",
    "label-bits",
    "full-50-percent",
    "full-25-percent",
    "full-10-percent",
    "labels-only-50-percent",
    "labels-only-25-percent",
    "labels-only-10-percent",
)
QUICK_IMAGES, QUICK_EPOCHS = 6_000, 8  # instead of all images and the file's epochs
VALIDATION_IMAGES = 500  # of each epoch's line in the log; no choice depends on them
SNR_DB = (-5.0, 0.0, 5.0, 10.0, 20.0)
CHANNELS = ("awgn", "rayleigh")
WRONG_DB, WRONG_AT_DB, WRONG_BUDGET = (-5.0, 5.0), (0.0, 5.0, 10.0, 20.0), 8

# (decided labels, true labels, budget, SNR in dB, channel, seed) -> share of right labels at the receiver
LabelCode = Callable[[torch.Tensor, torch.Tensor, int, float, str, int], float]


def run_ablations(
    folder: Path,
    out: Path,
    work: Path,
    knowledge: Path,
    label_code: LabelCode,
    quick: bool = False,
    only: tuple[str, ...] = (),
    device: str = "auto",
) -> list[dict]:
    """Train and measure every row that has no result yet; write out/NAME.json, table.md; return the rows so far.

    folder: of the experiment files. work: checkpoints of the rows. knowledge: teacher and store of them all,
    made if missing. label_code: how a label travels in bits (row label-bits). quick: the reduced schedule. only: names.
    Killed, it goes on with the epoch it was in. A row whose file was changed is made again.
    """
    plans, rows = {}, {}
    for name in ROWS:
        experiment = load_experiment(folder / f"{name}.yaml")
        changed = merged(experiment, quick_changes(experiment) if quick else {})
        signature = config_hash(changed)
        rows[name] = _stored(out / f"{name}.json", signature)
        if rows[name] is None and (not only or name in only):
            plans[name] = changed, {"name": name, "title": changed["title"], "quick": quick, "signature": signature}
    for name, (experiment, facts) in plans.items():
        rows[name] = facts | _run(name, experiment, work, knowledge, label_code, device)
        write_bytes(out / f"{name}.json", (json.dumps(rows[name], indent=1) + "\n").encode())
        _write_table(out, rows)
    return _write_table(out, rows)


def _write_table(out: Path, rows: dict[str, dict | None]) -> list[dict]:
    """Write table.md from the rows that there are, and return them."""
    found = [row for row in rows.values() if row]
    write_bytes(out / "table.md", f"# Ablations: the table\n\n{ablation_table(found)}\n".encode())
    return found


def quick_changes(experiment: dict) -> dict:
    """The reduced schedule: counts of images and epochs scaled as QUICK_IMAGES and QUICK_EPOCHS are to the base's.

    The base has all images of its training set, and its epochs; a row with its own share keeps that share.
    """
    training, whole = experiment["student"]["training"], _count(experiment["data"]["train"])
    base_epochs = training["epochs"] + training.get("first_stage", {}).get("epochs", 0)
    share = QUICK_EPOCHS / base_epochs
    changes = {
        "images": round(training.get("images", whole) * QUICK_IMAGES / whole),
        "epochs": round(training["epochs"] * share),
    }
    if "first_stage" in training:
        changes["first_stage"] = {"epochs": round(training["first_stage"]["epochs"] * share)}
    return {"student": {"training": changes}}


@lru_cache
def _count(spec: str) -> int:
    return len(load_images(spec))


def _stored(path: Path, signature: str) -> dict | None:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if row.get("signature") == signature else None


def _run(name: str, experiment: dict, work: Path, knowledge: Path, label_code: LabelCode, device: str) -> dict:
    """Train a row's student and measure it; JSON-able."""
    folder = work / experiment.get("label_of", name)
    Log(folder)(row=name)
    chosen, settings = own_device(choose_device(device)), experiment["student"]
    data = {part: load_images(spec) for part, spec in experiment["data"].items()}
    watched, few = data["validation"], slice(VALIDATION_IMAGES)
    data["validation"] = ImageSet(watched.images[few], watched.labels[few], watched.classes, watched.name)
    with process_group(chosen):
        store, teacher = (
            open_knowledge(experiment, data, knowledge, chosen) if "teacher" in experiment else (None, None)
        )
        student = make_student(settings, data, folder / "student", store, chosen, teacher).to(chosen).eval()
    test, range_db = data["test"], tuple(settings["snr_range_db"])
    sent = _Sent(student, features_of(student, test.images), test, range_db)
    facts = {
        "images": settings["training"].get("images", len(data["train"])),
        "epochs": settings["training"]["epochs"],
        "train_seconds": _train_seconds(folder),
    }
    if "label_of" in experiment:
        return facts | _label_row(sent, settings["budgets"], label_code)
    return facts | {
        "clean_accuracy": clean_accuracy(student, sent.features, test.labels, range_db),
        "parameters": count_parameters(student),
        "macs": count_macs(student, test.images.shape[1:]),
        "points": _points(settings["budgets"], len(test), lambda *place: sent.accuracy(*place)),
        "lost_points_if_told_wrong": sent.loss_if_told_wrong() if WRONG_BUDGET in settings["budgets"] else None,
    }


@dataclass(frozen=True)
class _Sent:
    """The test images as features of a student, ready to be sent again and again."""

    student: Student
    features: torch.Tensor
    test: ImageSet
    range_db: tuple[float, float]

    def accuracy(self, budget: int, snr_db: float, channel: str = "awgn", error_db: float = 0.0) -> float:
        """Share of right decisions; the sender is told an SNR that is wrong by error_db."""
        arguments = self.student, self.features, self.test.labels, snr_db, budget, self.range_db, 1, channel, error_db
        return accuracy_at(*arguments)

    def loss_if_told_wrong(self) -> float:
        """The largest loss (points) over WRONG_AT_DB by an error of WRONG_DB; WRONG_BUDGET symbols, AWGN."""
        right = {snr_db: self.accuracy(WRONG_BUDGET, snr_db) for snr_db in WRONG_AT_DB}
        return max(
            100 * (right[snr_db] - self.accuracy(WRONG_BUDGET, snr_db, error_db=error_db))
            for snr_db in WRONG_AT_DB
            for error_db in WRONG_DB
        )


def _points(budgets, images: int, accuracy: Callable[[int, float, str], float]) -> list[dict]:
    places = [(budget, snr_db, channel) for channel in CHANNELS for budget in budgets for snr_db in SNR_DB]
    shares = [accuracy(*place) for place in progress(places, "evaluate")]
    return [
        {
            "channel": channel,
            "snr_db": snr_db,
            "budget": budget,
            "accuracy": share,
            "ci95": wilson_interval(share, images),
            "images": images,
        }
        for (budget, snr_db, channel), share in zip(places, shares, strict=True)
    ]


def _train_seconds(folder: Path) -> float:
    """Time of all epochs, of both stages where there are two: processor seconds on a CPU, where others may compete."""
    logs = [folder / "student" / "log.jsonl", folder / "student" / "first_stage" / "log.jsonl"]
    lines = [json.loads(line) for log in logs if log.is_file() for line in log.read_text().splitlines()]
    return sum(line["processor_seconds"] for line in lines)


@torch.inference_mode()
def _label_row(sent: _Sent, budgets, label_code: LabelCode) -> dict:
    """The student decides at the edge, without a channel; its label is what travels. Both networks are the edge's."""
    student, labels = sent.student, sent.test.labels
    top_db = torch.full((len(sent.features),), float(sent.range_db[1]), device=sent.features.device)
    symbols = student.send(sent.features, top_db, student.symbols)
    decided = student.decode(symbols, torch.zeros_like(symbols.real)).argmax(1).cpu().numpy()
    count, macs = count_parameters(student)["total"], count_macs(student, sent.test.images.shape[1:])["total"]
    return {
        "clean_accuracy": float((decided == labels).mean()),
        "parameters": {"edge": count, "receiver": 0, "total": count},
        "macs": {"edge": macs, "receiver": 0, "total": macs},
        "points": _points(budgets, len(labels), lambda *place: label_code(decided, labels, *place, 1)),
        "lost_points_if_told_wrong": 0.0,
    }


COLUMNS = (
    ("8 at -5", "awgn", 8, -5.0),
    ("8 at 0", "awgn", 8, 0.0),
    ("8 at 5", "awgn", 8, 5.0),
    ("8 at 10", "awgn", 8, 10.0),
    ("8 at 20", "awgn", 8, 20.0),
    ("4 at 5", "awgn", 4, 5.0),
    ("32 at -5", "awgn", 32, -5.0),
    ("Rayleigh 8 at 10", "rayleigh", 8, 10.0),
)


def ablation_table(rows: list[dict]) -> str:
    """The rows as a Markdown table: accuracies in per cent at "symbols at SNR in dB", costs, and time of training."""
    heads = ["row", "images", *(column[0] for column in COLUMNS), "no channel", "told +-5 dB wrong"]
    heads += ["edge parameters", "edge MACs", "receiver parameters", "training, s"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        found = {(p["channel"], p["budget"], p["snr_db"]): p["accuracy"] for p in row["points"]}
        cells = [row["title"], f"{row['images']:,}"]
        cells += [f"{100 * found[key]:.2f}" if (key := column[1:]) in found else "" for column in COLUMNS]
        wrong = row["lost_points_if_told_wrong"]
        cells += [f"{100 * row['clean_accuracy']:.2f}", "" if wrong is None else f"{-wrong + 0.0:.1f}"]
        cells += [f"{row['parameters']['edge']:,}", f"{row['macs']['edge'] / 1e6:.1f} M"]
        cells += [f"{row['parameters']['receiver']:,}", f"{row['train_seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
