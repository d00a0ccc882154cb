# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment from its file to a codec: teacher, knowledge store, student, evaluation. Every stage resumes."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml

from .augmentation import Augmentation
from .data import ImageSet, load_images
from .device import choose_device
from .errors import CodecError
from .foundation import PREFIXES, fit_head
from .knowledge_store import KnowledgeStore, build_store, teacher_hash
from .publish import publish
from .student import Student
from .student_training import train_student
from .teacher import teacher_logits, train_teacher
from .teachers import open_teacher
from .training import Log

SECTIONS = ("name", "data", "student")
OPTIONAL_SECTIONS = ("teacher", "store")


def load_experiment(path: Path) -> dict:
    """Read an experiment file (YAML). CodecError names the file and the field that is wrong."""
    try:
        experiment = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError:
        raise CodecError(f"experiment {path}: not found or unreadable") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CodecError(f"experiment {path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(experiment, dict):
        raise CodecError(f"experiment {path}: must be a mapping with {', '.join(SECTIONS)}")
    missing = [section for section in SECTIONS if section not in experiment]
    if missing:
        raise CodecError(f"experiment {path}: section {missing[0]} is missing")
    unknown = [str(section) for section in experiment if section not in SECTIONS + OPTIONAL_SECTIONS]
    if unknown:
        known = ", ".join(SECTIONS + OPTIONAL_SECTIONS)
        raise CodecError(f"experiment {path}: unknown section {unknown[0]}; known are {known}")
    if not isinstance(experiment["name"], str):
        raise CodecError(f"experiment {path}: name is {experiment['name']!r}, expected a text")
    if "teacher" in experiment and len({"name", "training"} & set(experiment["teacher"] or {})) != 1:
        raise CodecError(f"experiment {path}: section teacher needs name (see teachers.py) or training, one of them")
    if ("teacher" in experiment) != ("store" in experiment):
        raise CodecError(f"experiment {path}: sections teacher and store go together (or neither: labels only)")
    return experiment


def make_writable(folder: Path) -> None:
    """Make a folder with its parents. CodecError if that fails, or nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CodecError(f"folder {folder}: cannot be written ({error.strerror})") from None


def distill(experiment_path: Path, out: Path, work: Path, device: str = "auto") -> dict:
    """Run an experiment, or what is left of it, and write the codec folder `out`. Returns the evaluation.

    work: folder for checkpoints, store and logs. Raises CodecError for a bad file, missing data or a diverging loss.
    """
    experiment = load_experiment(experiment_path)
    for folder in (Path(work), Path(out)):  # before hours of training
        make_writable(folder)
    device, work, log = choose_device(device), Path(work), Log(Path(work))
    data = {part: load_images(spec) for part, spec in experiment["data"].items()}
    origin = {"train_data": data["train"].name, "train_sha256": data["train"].content_hash}
    store = teacher = None
    with _fields_of(experiment_path):
        if "teacher" in experiment:
            store, teacher = _knowledge(experiment, data, work, device, log)
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
        if store is not None:
            origin |= _store_facts(store, teacher, data["test"])
        origin["student_epochs"] = settings["training"]["epochs"]
        result = publish(out, experiment["name"], classes, shape, settings, student.cpu(), data["test"], origin)
    log(stage="published", folder=str(out), clean_accuracy=result["clean_accuracy"])
    return result


def build_knowledge(experiment_path: Path, work: Path, device: str = "auto") -> Path:
    """The first half of distill: teacher and store, or what is left to do of them. Returns the store's path."""
    experiment = load_experiment(experiment_path)
    if "teacher" not in experiment:
        raise CodecError(f"experiment {experiment_path}: no sections teacher and store, so there is no store to build")
    make_writable(Path(work))
    parts = ("train", "validation") if "training" in experiment["teacher"] else ("train",)
    with _fields_of(experiment_path):
        data = {part: load_images(experiment["data"][part]) for part in parts}
        return _knowledge(experiment, data, Path(work), choose_device(device), Log(Path(work)))[0].path


@contextmanager
def _fields_of(experiment_path: Path):
    """A field that is missing in an experiment file is named."""
    try:
        yield
    except KeyError as error:
        raise CodecError(f"experiment {experiment_path}: field {error.args[0]} is missing") from None


def _knowledge(experiment: dict, data: dict, work: Path, device: torch.device, log: Log):
    """Store and teacher, made if they are not there yet."""
    settings, path = experiment["store"], work / "teacher.store"
    name = experiment["teacher"].get("name")
    if name is None:
        train_teacher(experiment["teacher"]["training"], data["train"], data["validation"], work / "teacher", device)
        name = str(work / "teacher" / "teacher.safetensors")
    elif name.startswith(PREFIXES):
        head = work / "teacher" / "head.safetensors"
        if not head.is_file():
            fit_head(name, data["train"], head, device)
        name = str(head)
    teacher = open_teacher(name, device)
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
            teacher_name=name,
        )
    store = KnowledgeStore(path)
    if store.header["teacher_sha256"] != teacher_hash(teacher):
        raise CodecError(f"knowledge store {path}: built by another teacher; remove it to build it again")
    return store, teacher


def _store_facts(store: KnowledgeStore, teacher, test: ImageSet) -> dict:
    return {
        "teacher_sha256": store.header["teacher_sha256"],
        "teacher_accuracy": float((teacher_logits(teacher, test.images).argmax(1) == test.labels).mean()),
        "store_sha256": store.header["records_sha256"],
        "store_bytes": store.path.stat().st_size,
        "store_views": store.views,
        "store_kept": store.kept,
    }
