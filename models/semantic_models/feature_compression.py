# SPDX-License-Identifier: GPL-3.0-or-later
"""A teacher's feature vectors made small: half precision, 8 bits, or principal components in 8 bits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .errors import CodecError

KINDS = ("fp16", "int8", "pca")
FIT_IMAGES = 5000  # plain images that centre, components and scales are taken from


@dataclass(frozen=True)
class FeatureCompression:
    """The embedding is what compress and restore leave of (features - centre): cosines between such vectors mean
    something, which those between positive features, all in one corner, do not.

    kind: "fp16" and "int8" keep every feature, "pca" the first `width` principal components in 8 bits.
    centre: float32, F. basis: float32, width x F, orthonormal rows ("pca" alone, else None).
    scale: float32, width, one unit of each 8-bit number ("fp16": None).
    """

    kind: str
    centre: np.ndarray
    basis: np.ndarray | None = None
    scale: np.ndarray | None = None

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return len(self.centre if self.basis is None else self.basis)

    @property
    def field(self) -> tuple[str, str, int]:
        """The field of a store's record."""
        return ("feature", "<f2" if self.kind == "fp16" else "i1", self.width)

    @classmethod
    def fit(cls, features: np.ndarray, kind: str, width: int | None = None) -> FeatureCompression:
        """features: float32, N x F, of plain images. width: how many components ("pca" alone).

        Values beyond those of the fitted images are clipped by the 8-bit kinds. CodecError for an unknown kind or a
        width that is not within 1:F.
        """
        if kind not in KINDS:
            raise CodecError(f"features: kind is {kind!r}, expected one of {', '.join(KINDS)}")
        if (kind == "pca") != (width is not None):
            raise CodecError(f"features: kind {kind} {'needs a width' if kind == 'pca' else 'takes no width'}")
        features = np.asarray(features, np.float64)
        centre = features.mean(0)
        if kind == "fp16":
            return cls(kind, centre.astype(np.float32))
        basis = None
        if kind == "pca":
            if not 1 <= width <= features.shape[1]:
                raise CodecError(f"features: width is {width}, it must lie within 1:{features.shape[1]}")
            basis = np.linalg.eigh(np.cov(features.T).reshape(len(centre), -1))[1][:, ::-1][:, :width].T
        values = features - centre if basis is None else (features - centre) @ basis.T
        scale = np.maximum(np.abs(values).max(0), 1e-12) / 127
        tables = (None if table is None else table.astype(np.float32) for table in (centre, basis, scale))
        return cls(kind, *tables)

    def project(self, features: np.ndarray) -> np.ndarray:
        """Features, N x F -> embeddings without rounding, float32, N x width."""
        values = np.asarray(features, np.float32) - self.centre
        return values if self.basis is None else values @ self.basis.T

    def compress(self, features: np.ndarray) -> np.ndarray:
        """Features, N x F -> what a record holds: int8 or float16, N x width."""
        values = self.project(features)
        if self.scale is None:
            return np.clip(values, -65504, 65504).astype("<f2")
        return np.clip(np.round(values / self.scale), -127, 127).astype(np.int8)

    def restore(self, stored: np.ndarray) -> np.ndarray:
        """What records hold -> embeddings, float32, N x width."""
        values = stored.astype(np.float32)
        return values if self.scale is None else values * self.scale

    def tables(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        named = {"centre": self.centre, "basis": self.basis, "scale": self.scale}
        return {name: np.ascontiguousarray(value) for name, value in named.items() if value is not None}

    def to_bytes(self) -> bytes:
        """The tables as safetensors."""
        return save(self.tables())

    def describe(self, tables: bytes) -> dict:
        """What a store's header says about its features."""
        return {
            "kind": self.kind,
            "width": self.width,
            "source_width": len(self.centre),
            "tables_bytes": len(tables),
            "tables_sha256": hashlib.sha256(tables).hexdigest(),
        }

    @classmethod
    def from_bytes(cls, description: dict, tables: bytes) -> FeatureCompression:
        """What to_bytes wrote. CodecError if the tables are not those of the description."""
        if hashlib.sha256(tables).hexdigest() != description["tables_sha256"]:
            raise CodecError("tables of the features are altered (their checksum differs)")
        try:
            return cls(description["kind"], **load(tables))
        except (SafetensorError, TypeError) as error:
            raise CodecError(f"tables of the features are unreadable ({error})") from None
