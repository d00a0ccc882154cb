# SPDX-License-Identifier: GPL-3.0-or-later
"""A teacher in one round of training, or in two: the second learns from what the first one said."""

from __future__ import annotations

from pathlib import Path

from .augmentation import Augmentation
from .data import ImageSet
from .errors import CodecError
from .experiment_file import merged
from .knowledge_store import KnowledgeStore, build_store, teacher_hash
from .teacher import load_teacher, train_teacher

FILE = "teacher.safetensors"


def train_in_rounds(config: dict, train: ImageSet, validation: ImageSet, folder: Path, device="cpu") -> Path:
    """Train a teacher in `folder`, or what is left to do of it. Returns the file of the last round's network.

    config: as for train_teacher. With a key second_round, which says what changes and how many `views` of each image
    the first network is asked about, a second network begins with the first one's weights and learns, beside the
    labels, what the first said (`distillation`). Every epoch takes the answers of the next view, but shows its own new
    one: over the epochs the target is the mean of the answers. After Furlanello et al., "Born-Again Neural Networks"
    (arXiv 1805.04770), where weights are fresh; the restart of the learning rate is that of Loshchilov and Hutter
    (arXiv 1608.03983).
    """
    folder, first = Path(folder), {key: value for key, value in config.items() if key != "second_round"}
    train_teacher(first, train, validation, folder, device)
    if "second_round" not in config:
        return folder / FILE
    settings, network = merged(first, config["second_round"]), load_teacher(folder / FILE, device)
    folder = folder / "second_round"
    store = _answers(settings, network, train, folder / "first_round.store")
    settings["start_sha256"] = teacher_hash(network)  # a checkpoint from another start is not resumed
    train_teacher(settings, train, validation, folder, device, start=network, answers=store.answers)
    return folder / FILE


def _answers(settings: dict, network, train: ImageSet, path: Path) -> KnowledgeStore:
    if not path.is_file():
        augmentation = Augmentation(**settings.get("augmentation", {}))
        kept, bfloat16 = min(10, len(train.classes)), settings["bfloat16"]
        build_store(path, network, train, settings["views"], kept, augmentation, settings["seed"], bfloat16=bfloat16)
    store = KnowledgeStore(path)
    store.matches(train)
    store.was_built_by(network)
    if store.views != settings["views"]:
        raise CodecError(f"knowledge store {path}: of another first round; remove it to build it again")
    return store
