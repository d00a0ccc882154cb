# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a folder of pictures to train on, for those who have none: coloured discs, rings and crosses on noise."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cross", "disc", "ring")
SIZE = 48


def picture(name: str, rng: np.random.Generator) -> Image.Image:
    """A shape of random size, place and colours."""
    row, column = np.mgrid[:SIZE, :SIZE] - rng.uniform(0.35, 0.65, (2, 1, 1)) * SIZE
    size = rng.uniform(0.2, 0.4) * SIZE
    distance = np.hypot(row, column)
    inside = {
        "disc": distance < size,
        "ring": (distance < size) & (distance > 0.6 * size),
        "cross": (np.minimum(abs(row), abs(column)) < 0.25 * size) & (np.maximum(abs(row), abs(column)) < size),
    }[name]
    front, back = rng.uniform(0, 255, (2, 3))
    pixels = np.where(inside[..., None], front, back) + rng.normal(0, 25, (SIZE, SIZE, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=300, help="pictures of each class")
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    for name in CLASSES:
        (arguments.folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(arguments.count):
            picture(name, rng).save(arguments.folder / name / f"{number}.png")


if __name__ == "__main__":
    main()
