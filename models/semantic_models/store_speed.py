# SPDX-License-Identifier: GPL-3.0-or-later
"""What an epoch of the real training costs: labels alone, the teacher stored, in a file a sample, or in the loop."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binom

from .augmentation import Augmentation
from .data import ImageSet, load_images
from .device import choose_device
from .errors import CodecError
from .knowledge_store import KnowledgeStore, build_store
from .student import Student
from .student_training import train_student
from .teacher import build_teacher
from .teachers import open_teacher

MODES = ("labels", "store", "files", "online")
_VALIDATION_IMAGES = 100  # not part of the time


class SampleFiles:
    """The records of one view, each in a file of its own, as other projects keep them; indexed as the store's array."""

    def __init__(self, folder: Path, records: np.ndarray):
        folder.mkdir(parents=True)
        self._folder, self._dtype = folder, records.dtype
        for sample, record in enumerate(records):
            (folder / str(sample)).write_bytes(record.tobytes())

    def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
        content = b"".join((self._folder / str(sample)).read_bytes() for sample in chosen)
        return np.frombuffer(content, self._dtype)


def epoch_costs(experiment: dict, images: int, repeats: int, device: str = "auto") -> dict:
    """Train one epoch of the experiment's student on its first `images` training images in each of MODES, in turns.

    The teacher is the experiment's; where the experiment trains it, one of its shape with fresh weights, which costs as
    much. "files" are the store's records, each in a file of its own, all in the operating system's cache. Returns
    {experiment, device, threads, images, repeats, clock, seconds: {mode: [each repeat]}, store_over_labels,
    files_over_store, online_over_store, ci95: {each of these three: [low, high]}}: medians of each turn's ratio, for a
    machine whose speed wanders has much the same speed within a turn; the intervals are those of the medians, None
    where the repeats are too few; and loader_files_over_store: of what reading one epoch's records alone takes. clock:
    "processor" on a CPU (other programs do not count), "wall" on a GPU. The time is that of the loop over all batches,
    loader included, without validation and checkpoint.
    """
    if "teacher" not in experiment:
        raise CodecError(f"experiment {experiment['name']}: has no teacher, so there is nothing to compare")
    chosen = choose_device(device)
    whole = load_images(experiment["data"]["train"])
    if not experiment["student"]["training"]["batch"] <= images <= len(whole):
        raise CodecError(f"experiment {experiment['name']}: {images} images, give a batch to all {len(whole)}")
    train = ImageSet(whole.images[:images], whole.labels[:images], whole.classes, f"first {images} of {whole.name}")
    few = slice(_VALIDATION_IMAGES)
    validation = ImageSet(whole.images[few], whole.labels[few], whole.classes, "validation")
    settings, shape = experiment["student"], whole.images.shape[1:]
    teacher = _teacher(experiment["teacher"], shape, len(whole.classes), chosen)
    clock = "seconds" if chosen.type == "cuda" else "processor_seconds"
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as scratch:
        path, stored = Path(scratch) / "teacher.store", experiment["store"]
        augmentation = Augmentation(**stored["augmentation"])
        build_store(path, teacher, train, 1, stored["kept"], augmentation, stored["seed"], stored["bfloat16"])
        stores = {"store": KnowledgeStore(path), "files": KnowledgeStore(path)}
        stores["files"].records = [SampleFiles(Path(scratch) / "files", stores["store"].records[0])]
        config = settings["training"] | {"epochs": 1, "augmentation": stored["augmentation"]}
        for turn in range(repeats + 1):  # the first one warms up and does not count
            for mode in MODES[turn % len(MODES) :] + MODES[: turn % len(MODES)]:
                folder = Path(scratch) / f"{mode}-{turn}"
                torch.manual_seed(0)
                student = Student(shape, len(whole.classes), max(settings["budgets"]), **settings["model"])
                train_student(
                    config,
                    student,
                    tuple(settings["budgets"]),
                    tuple(settings["snr_range_db"]),
                    train,
                    validation,
                    folder,
                    stores.get(mode),
                    chosen,
                    teacher if mode == "online" else None,
                )
                if turn:
                    seconds[mode].append(json.loads((folder / "log.jsonl").read_text())[clock])
        order = np.random.default_rng(0).permutation(images)
        reading = {mode: _reading_s(store, order, config["batch"], repeats) for mode, store in stores.items()}
    ratios = {
        f"{mode}_over_{other}": np.divide(seconds[mode], seconds[other])
        for mode, other in (("store", "labels"), ("files", "store"), ("online", "store"))
    }
    return {
        "experiment": experiment["name"],
        "device": str(chosen),
        "threads": torch.get_num_threads(),
        "images": images,
        "repeats": repeats,
        "clock": "wall" if clock == "seconds" else "processor",
        "seconds": seconds,
        **{name: float(np.median(values)) for name, values in ratios.items()},
        "ci95": {name: _median_interval(values) for name, values in ratios.items()},
        "loader_files_over_store": reading["files"] / reading["store"],
    }


def _median_interval(values: np.ndarray) -> list[float] | None:
    """From an order statistic to its mirror image: at least 95 %, whatever the distribution."""
    outer = int(binom.ppf(0.025, len(values), 0.5))
    return [float(np.sort(values)[k]) for k in (outer - 1, len(values) - outer)] if outer else None


def _reading_s(store: KnowledgeStore, order: np.ndarray, batch: int, repeats: int) -> float:
    """Least processor time of reading and rebuilding the answers of one epoch."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        for first in range(0, len(order), batch):
            store.answers(0, order[first : first + batch])
        times.append(time.process_time() - began)
    return min(times)


def _teacher(section: dict, shape, classes: int, device: torch.device):
    if "name" in section:
        return open_teacher(section["name"], device)
    model = build_teacher(image_shape=shape, classes=classes, **section["training"].get("model", {}))
    return model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
