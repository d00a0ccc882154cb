# SPDX-License-Identifier: GPL-3.0-or-later
"""A teacher in one round of training, or in several: a later one learns from what the earlier ones said."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .augmentation import Augmentation
from .data import ImageSet
from .errors import CodecError
from .experiment_file import merged
from .knowledge_store import KnowledgeStore, build_store, teacher_hash
from .teacher import load_teacher, train_teacher

FILE = "teacher.safetensors"


def train_in_rounds(config: dict, train: ImageSet, validation: ImageSet, folder: Path, device="cpu") -> Path:
    """Train a teacher in `folder`, or what is left to do of it. Returns the file of the last round's network.

    config: as for train_teacher. Each entry of a list `rounds` says what a further round changes against the first, and
    how many `views` of each image the network before it is asked about. Its own network begins with that one's weights
    and learns, beside the labels, the mean of what all earlier networks said (`distillation`). Every epoch takes the
    answers of the next view, but shows its own new one: over the epochs the target is the mean of the answers. After
    Furlanello et al., "Born-Again Neural Networks" (arXiv 1805.04770), where weights are fresh; the restart of the
    learning rate is that of Loshchilov and Hutter (arXiv 1608.03983).
    """
    first = {key: value for key, value in config.items() if key != "rounds"}
    last, stores = Path(folder), []
    train_teacher(first, train, validation, last, device)
    for number, changes in enumerate(config.get("rounds", ()), 2):
        settings, network = merged(first, changes), load_teacher(last / FILE, device)
        last = Path(folder) / f"round_{number}"
        stores.append(_answers(settings, network, train, last / "answers.store"))
        settings["start_sha256"] = teacher_hash(network)  # a checkpoint from another start is not resumed
        answers = partial(_mean_answers, tuple(stores))
        train_teacher(settings, train, validation, last, device, start=network, answers=answers)
    return last / FILE


def _mean_answers(stores: tuple[KnowledgeStore, ...], view: int, chosen: np.ndarray) -> np.ndarray:
    return sum(store.answers(view, chosen) for store in stores) / len(stores)


def _answers(settings: dict, network, train: ImageSet, path: Path) -> KnowledgeStore:
    if not path.is_file():
        augmentation = Augmentation(**settings.get("augmentation", {}))
        kept, bfloat16 = min(10, len(train.classes)), settings["bfloat16"]
        build_store(path, network, train, settings["views"], kept, augmentation, settings["seed"], bfloat16=bfloat16)
    store = KnowledgeStore(path)
    store.matches(train)
    store.was_built_by(network)
    if store.views != settings["views"]:
        raise CodecError(f"knowledge store {path}: of another round; remove it to build it again")
    return store
