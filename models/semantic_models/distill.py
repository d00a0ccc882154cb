# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment from its file to a codec: teacher, knowledge store, student, evaluation. Every stage resumes."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch

from .augmentation import Augmentation
from .codec_folder import read_codec, write_bytes
from .data import ImageSet, load_images
from .device import choose_device
from .embedding_reference import FILE, embedding_reference
from .errors import CodecError
from .experiment_file import ONLINE, load_experiment, load_start
from .foundation import PREFIXES, fit_head
from .knowledge_store import KnowledgeStore, build_store, teacher_hash
from .processes import first_process_first, own_device, process_group, process_rank
from .publish import publish
from .student import Student
from .student_training import train_student
from .teacher import teacher_logits
from .teacher_rounds import train_in_rounds
from .teachers import open_teacher
from .training import Log


def make_writable(folder: Path) -> None:
    """Make a folder with its parents. CodecError if that fails, or nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CodecError(f"folder {folder}: cannot be written ({error.strerror})") from None


def distill(
    experiment_path: Path, out: Path, work: Path, device: str = "auto", knowledge: Path | None = None
) -> dict | None:
    """Run an experiment, or what is left of it, and write the codec folder `out`. Returns the evaluation.

    work: folder for checkpoints, store and logs. knowledge: folder of teacher and store, where several experiments
    share them (None: work). Started by torchrun, all processes train together; process 0 publishes, the others return
    None. Raises CodecError for a bad file, missing data or a diverging loss.
    """
    experiment = load_experiment(experiment_path)
    for folder in (Path(work), Path(out)):  # before hours of training
        make_writable(folder)
    device, work, log = own_device(choose_device(device)), Path(work), Log(Path(work))
    data = {part: load_images(spec) for part, spec in experiment["data"].items()}
    origin = {"train_data": data["train"].name, "train_sha256": data["train"].content_hash}
    store = teacher = None
    with _fields_of(experiment_path), process_group(device):
        settings, shape, classes = experiment["student"], data["train"].images.shape[1:], data["train"].classes
        start = codec_start(experiment_path, experiment, classes)
        first = load_start(experiment_path, experiment)  # one that does not fit is refused before hours of training
        if "teacher" in experiment:
            store, teacher = _knowledge(experiment, data, Path(knowledge or work), device, log)
        if first is not None:
            start = _trained_start(first, data, work / "start", device)
        student = make_student(settings, data, work / "student", store, device, teacher, start)
        if process_rank()[0]:
            return None
        if teacher is not None:
            origin |= _teacher_facts(teacher, data["test"])
        if store is not None:
            origin |= _store_facts(store)
        origin["student_epochs"] = settings["training"]["epochs"]
        if start is not None:
            origin["start"] = experiment.get("start") or Path(experiment["start_codec"]).name
        reference = None
        if student.embedding:
            reference = embedding_reference(store, teacher, data["train"], data["test"]).to_bytes()
            origin["embedding_sha256"] = hashlib.sha256(reference).hexdigest()
        result = publish(out, experiment["name"], classes, shape, settings, student.cpu(), data["test"], origin)
        if reference is not None:
            write_bytes(Path(out) / FILE, reference)
    log(stage="published", folder=str(out), clean_accuracy=result["clean_accuracy"])
    return result


def make_student(
    settings: dict, data: dict, folder: Path, store, device: torch.device, teacher, start: Student | None = None
) -> Student:
    """A fresh student, or one with the weights of `start`, trained as an experiment's section student says; resumes
    from `folder`. See train_student."""
    torch.manual_seed(settings["training"]["seed"])
    train, budgets = data["train"], tuple(settings["budgets"])
    student = Student(train.images.shape[1:], len(train.classes), max(budgets), **settings["model"])
    training, range_db = settings["training"], tuple(settings["snr_range_db"])
    if start is not None:
        student.load_state_dict(start.state_dict())
        training = training | {"start_sha256": teacher_hash(start)}  # a checkpoint from another start is not resumed
    return train_student(
        training, student, budgets, range_db, train, data["validation"], folder, store, device, teacher
    )


def _trained_start(first: dict, data: dict, work: Path, device: torch.device) -> Student:
    """The student of the experiment that another starts from, with its own teacher and store; resumes in `work`."""
    store = teacher = None
    if "teacher" in first:
        store, teacher = _knowledge(first, data, work, device, Log(work))
    return make_student(first["student"], data, work / "student", store, device, teacher)


def codec_start(path: Path, experiment: dict, classes: tuple[str, ...]) -> Student | None:
    """The student of the codec folder that this experiment starts from (`start_codec: FOLDER`, seen from the file's own
    folder), or None.

    Raises CodecError if it is no codec, or of other classes, another model or longest budget.
    """
    if "start_codec" not in experiment:
        return None
    config, tensors, _ = read_codec(Path(path).parent / experiment["start_codec"])
    settings = experiment["student"]
    if config.classes != tuple(classes):
        raise CodecError(f"experiment {path}: start_codec {config.name} has other classes than the training images")
    student = Student(config.image_shape, len(classes), max(settings["budgets"]), **settings["model"])
    try:
        student.load_state_dict(tensors)
    except RuntimeError:
        what = "another student.model or longest budget"
        raise CodecError(f"experiment {path}: start_codec {config.name} has {what}") from None
    return student


def train_experiment_teacher(experiment_path: Path, work: Path, device: str = "auto") -> Path:
    """Only the teacher of an experiment that trains its own, or what is left to do of it. Returns its file."""
    experiment = load_experiment(experiment_path)
    if "training" not in experiment.get("teacher", {}):
        raise CodecError(
            f"experiment {experiment_path}: its section teacher has no training, so there is none to train"
        )
    make_writable(Path(work))
    with _fields_of(experiment_path):
        train, validation = (load_images(experiment["data"][part]) for part in ("train", "validation"))
        chosen, folder = own_device(choose_device(device)), Path(work) / "teacher"
        with process_group(chosen):
            return train_in_rounds(experiment["teacher"]["training"], train, validation, folder, chosen)


def open_knowledge(experiment: dict, data: dict, work: Path, device: torch.device):
    """(store, teacher) of an experiment, made in `work` if they are not there; the store is None if it is online."""
    return _knowledge(experiment, data, Path(work), device, Log(Path(work)))


def build_knowledge(experiment_path: Path, work: Path, device: str = "auto") -> Path:
    """The first half of distill: teacher and store, or what is left to do of them. Returns the store's path."""
    experiment = load_experiment(experiment_path)
    if experiment.get("store", ONLINE) == ONLINE:
        raise CodecError(f"experiment {experiment_path}: no sections teacher and store, so there is no store to build")
    make_writable(Path(work))
    parts = ("train", "validation") if "training" in experiment["teacher"] else ("train",)
    with _fields_of(experiment_path):
        data = {part: load_images(experiment["data"][part]) for part in parts}
        chosen = own_device(choose_device(device))
        with process_group(chosen):
            return _knowledge(experiment, data, Path(work), chosen, Log(Path(work)))[0].path


@contextmanager
def _fields_of(experiment_path: Path):
    """A field that is missing in an experiment file is named."""
    try:
        yield
    except KeyError as error:
        raise CodecError(f"experiment {experiment_path}: field {error.args[0]} is missing") from None


def _knowledge(experiment: dict, data: dict, work: Path, device: torch.device, log: Log):
    """Store (None if the teacher is asked in the loop) and teacher, made if they are not there yet."""
    settings, path = experiment["store"], work / "teacher.store"
    name = experiment["teacher"].get("name")
    if name is None:
        training, folder = experiment["teacher"]["training"], work / "teacher"
        name = str(train_in_rounds(training, data["train"], data["validation"], folder, device))
    elif name.startswith(PREFIXES):
        head = work / "teacher" / "head.safetensors"
        if not head.is_file() and process_rank()[0] == 0:
            fit_head(name, data["train"], head, device)
        first_process_first()
        name = str(head)
    teacher = open_teacher(name, device)
    if settings == ONLINE:
        return None, teacher
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
            features=settings.get("features"),
        )
    store = KnowledgeStore(path)
    store.was_built_by(teacher)
    return store, teacher


def _teacher_facts(teacher, test: ImageSet) -> dict:
    return {
        "teacher_sha256": teacher_hash(teacher),
        "teacher_accuracy": float((teacher_logits(teacher, test.images).argmax(1) == test.labels).mean()),
    }


def _store_facts(store: KnowledgeStore) -> dict:
    return {
        "store_sha256": store.header["records_sha256"],
        "store_bytes": store.path.stat().st_size,
        "store_views": store.views,
        "store_kept": store.kept,
    }
