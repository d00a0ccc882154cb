# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rebuilt embedding is compared with: the teacher's own embeddings of the test images, kept beside the codec."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .codec_folder import CodecConfig
from .data import ImageSet
from .errors import CodecError
from .knowledge_store import KnowledgeStore
from .retrieval import nearest
from .teacher import teacher_outputs

FILE = "embedding.safetensors"
QUERIES = 2000  # test images (the first ones) whose neighbours are looked for


@dataclass(frozen=True)
class EmbeddingReference:
    """stored: what the store would hold of the N test images, N x D, and scale (float32, D; None for half precision).

    neighbours: int64, Q x 10: of the first Q test images the nearest other ones (largest cosine) by the teacher's whole
    feature vectors, before compression. class_means: float32, classes x D: mean embedding of each class's training
    images, which is all that a label says.
    """

    stored: np.ndarray
    scale: np.ndarray | None
    neighbours: np.ndarray
    class_means: np.ndarray

    @property
    def embeddings(self) -> np.ndarray:
        """The teacher's compressed embeddings of the test images, float32, N x D."""
        values = self.stored.astype(np.float32)
        return values if self.scale is None else values * self.scale

    def to_bytes(self) -> bytes:
        """As safetensors."""
        arrays = {
            "stored": self.stored,
            "neighbours": self.neighbours.astype(np.int32),
            "class_means": self.class_means,
        }
        return save(arrays if self.scale is None else arrays | {"scale": self.scale})


def embedding_reference(store: KnowledgeStore, teacher, train: ImageSet, test: ImageSet) -> EmbeddingReference:
    """Ask the teacher (in full precision) about the test images; class means come from the store's plain view."""
    missing = sorted(set(range(len(train.classes))) - set(train.labels.tolist()))
    if missing:
        raise CodecError(f"embedding: image set {train.name} has no image of class {train.classes[missing[0]]}")
    features = teacher_outputs(teacher, test.images)[1]
    centred = features - store.features.centre
    plain = store.embedding(0, np.arange(len(train)))
    return EmbeddingReference(
        stored=store.features.compress(features),
        scale=store.features.scale,
        neighbours=nearest(centred[:QUERIES], centred),
        class_means=np.stack([plain[train.labels == label].mean(0) for label in range(len(train.classes))]),
    )


def read_reference(folder: Path, config: CodecConfig) -> EmbeddingReference:
    """The reference in a codec folder. CodecError if it is missing, altered, or the codec has none."""
    wanted, path = config.origin.get("embedding_sha256"), Path(folder) / FILE
    if not wanted:
        raise CodecError(f"codec {config.name} rebuilds no embedding: it was trained without")
    try:
        content = path.read_bytes()
    except OSError:
        raise CodecError(f"codec {folder}: {FILE} is missing or unreadable") from None
    if hashlib.sha256(content).hexdigest() != wanted:
        raise CodecError(f"codec file {path}: corrupt, or not described by this codec.toml (sha256 differs)")
    try:
        arrays = load(content)
        return EmbeddingReference(
            arrays["stored"], arrays.get("scale"), arrays["neighbours"].astype(np.int64), arrays["class_means"]
        )
    except (SafetensorError, KeyError) as error:
        raise CodecError(f"codec file {path}: not a reference of embeddings ({error})") from None
