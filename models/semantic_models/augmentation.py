# SPDX-License-Identifier: GPL-3.0-or-later
"""Random crop, mirror image and erased rectangle as a pure function of (image, 32-bit seed).

Teacher and student see the very same input because the seed, not the pixels, is what the knowledge store keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """pad: largest shift in pixels. mirror: whether half of the views are flipped left to right.
    erase: share of the views in which one rectangle (sides erase_min..erase_max) is painted in one grey."""

    pad: int = 2
    mirror: bool = True
    erase: float = 0.5
    erase_min: int = 3
    erase_max: int = 10

    def apply(self, images: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """images: uint8, N x C x H x W; seeds: uint32, N. Returns uint8 of the images' shape.

        Each view depends on its own image and seed only. Seed 0 is the image itself.
        """
        count, _, height, width = images.shape
        seeds = np.asarray(seeds, np.uint32)
        draw = _Draws(seeds)
        shift_row, shift_column = draw.integer(0, 2 * self.pad), draw.integer(0, 2 * self.pad)
        mirrored = draw.uniform() < (0.5 if self.mirror else 0.0)
        erased = draw.uniform() < self.erase
        tall, wide = (draw.integer(self.erase_min, self.erase_max) for _ in range(2))
        top, left = np.floor(draw.uniform() * (height - tall + 1)), np.floor(draw.uniform() * (width - wide + 1))
        grey = draw.integer(0, 255).astype(np.uint8)

        plain = seeds == 0
        shift_row[plain] = shift_column[plain] = self.pad
        mirrored[plain] = erased[plain] = False

        row = np.arange(height)[None] + shift_row[:, None]
        column = np.arange(width)[None]
        column = np.where(mirrored[:, None], width - 1 - column, column) + shift_column[:, None]
        padded = np.pad(images, ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)))
        index = np.arange(count)[:, None, None]
        views = padded.transpose(0, 2, 3, 1)[index, row[:, :, None], column[:, None, :]]  # N x H x W x C
        y, x = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
        tall_part = (y >= top[:, None, None]) & (y < (top + tall)[:, None, None])
        wide_part = (x >= left[:, None, None]) & (x < (left + wide)[:, None, None])
        inside = tall_part & wide_part & erased[:, None, None]
        views = np.where(inside[..., None], grey[:, None, None, None], views)
        return np.ascontiguousarray(views.transpose(0, 3, 1, 2))


def view_seeds(seed: int, view: int, indices: np.ndarray) -> np.ndarray:
    """uint32 augmentation seeds, never 0, for these sample indices of a view (an epoch, say)."""
    mixed = _mix(np.asarray(indices, np.uint64) ^ _mix(np.array([(seed << 32) + view], np.uint64)))
    return np.maximum((mixed >> np.uint64(32)).astype(np.uint32), 1)


class _Draws:
    """Independent uniform numbers for every seed, one set a call."""

    def __init__(self, seeds: np.ndarray):
        self._state = _mix(seeds.astype(np.uint64))

    def uniform(self) -> np.ndarray:
        self._state = _mix(self._state)
        return (self._state >> np.uint64(11)).astype(np.float64) / 2.0**53

    def integer(self, low: int, high: int) -> np.ndarray:
        return (low + np.floor(self.uniform() * (high - low + 1))).astype(np.int64)


def _mix(state: np.ndarray) -> np.ndarray:
    """The SplitMix64 step and finaliser on uint64 arrays (wrapping)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
