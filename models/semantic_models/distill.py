# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment from its file to a codec: teacher, knowledge store, student, evaluation. Every stage resumes."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from .augmentation import Augmentation
from .data import load_images
from .device import choose_device
from .errors import CodecError
from .knowledge_store import KnowledgeStore, build_store, teacher_hash
from .publish import publish
from .student import Student
from .student_training import train_student
from .teacher import load_teacher, teacher_logits, train_teacher
from .training import Log

SECTIONS = ("name", "data", "student")


def load_experiment(path: Path) -> dict:
    """Read an experiment file (YAML). CodecError names the file and the field that is wrong."""
    try:
        experiment = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError:
        raise CodecError(f"experiment {path}: not found or unreadable") from None
    except yaml.YAMLError as error:
        raise CodecError(f"experiment {path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(experiment, dict):
        raise CodecError(f"experiment {path}: must be a mapping with {', '.join(SECTIONS)}")
    missing = [section for section in SECTIONS if section not in experiment]
    if missing:
        raise CodecError(f"experiment {path}: section {missing[0]} is missing")
    if ("teacher" in experiment) != ("store" in experiment):
        raise CodecError(f"experiment {path}: sections teacher and store go together (or neither: labels only)")
    return experiment


def distill(experiment_path: Path, out: Path, work: Path, device: str = "auto") -> dict:
    """Run an experiment, or what is left of it, and write the codec folder `out`. Returns the evaluation.

    work: folder for checkpoints, store and logs. Raises CodecError for a bad file, missing data or a diverging loss.
    """
    experiment = load_experiment(experiment_path)
    device = choose_device(device)
    work, log = Path(work), Log(Path(work))
    data = {part: load_images(spec) for part, spec in experiment["data"].items()}
    origin = {"train_data": data["train"].name, "train_sha256": data["train"].content_hash}
    store = None
    try:
        if "teacher" in experiment:
            store, facts = _knowledge(experiment, data, work, device, log)
            origin |= facts
        settings = experiment["student"]
        torch.manual_seed(settings["training"]["seed"])
        shape, classes, budgets = data["train"].images.shape[1:], data["train"].classes, tuple(settings["budgets"])
        student = Student(shape, len(classes), max(budgets), **settings["model"])
        student = train_student(
            settings["training"],
            student,
            budgets,
            tuple(settings["snr_range_db"]),
            data["train"],
            data["validation"],
            work / "student",
            store,
            device,
        )
        origin["student_epochs"] = settings["training"]["epochs"]
        result = publish(out, experiment["name"], classes, shape, settings, student.cpu(), data["test"], origin)
    except KeyError as error:
        raise CodecError(f"experiment {experiment_path}: field {error.args[0]} is missing") from None
    log(stage="published", folder=str(out), clean_accuracy=result["clean_accuracy"])
    return result


def _knowledge(experiment: dict, data: dict, work: Path, device: torch.device, log: Log) -> tuple[KnowledgeStore, dict]:
    """Teacher and store, made if they are not there yet."""
    training, settings = experiment["teacher"]["training"], experiment["store"]
    train_teacher(training, data["train"], data["validation"], work / "teacher", device)
    teacher = load_teacher(work / "teacher" / "teacher.safetensors", device)
    path = work / "teacher.store"
    if not path.is_file():
        build_store(
            path,
            teacher,
            data["train"],
            settings["views"],
            settings["kept"],
            Augmentation(**settings["augmentation"]),
            settings["seed"],
            bfloat16=settings["bfloat16"],
            report=lambda view, views: log(stage="store", view=view, views=views),
        )
    store = KnowledgeStore(path)
    accuracy = float((teacher_logits(teacher, data["test"].images).argmax(1) == data["test"].labels).mean())
    facts = {
        "teacher_sha256": teacher_hash(teacher),
        "teacher_accuracy": accuracy,
        "store_sha256": store.header["records_sha256"],
        "store_bytes": path.stat().st_size,
        "store_views": store.views,
        "store_kept": store.kept,
    }
    if store.header["teacher_sha256"] != facts["teacher_sha256"]:
        raise CodecError(f"knowledge store {path}: built by another teacher; remove it to build it again")
    return store, facts
