# SPDX-License-Identifier: GPL-3.0-or-later
"""What the display shows, as numbers: curves over link time and the newest images with their classes."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from gr_semantic.blocks.image_sets import find_images
from gr_semantic.link.frame_log import NAN

_GONE = "lost"


@dataclass(frozen=True)
class Tile:
    """One image: pixels (H x W or H x W x 3 uint8), the class that arrived, and whether it is right (None: truth
    unknown)."""

    pixels: np.ndarray
    text: str
    right: bool | None


class DisplayHistory:
    """Keeps the rows of the last ``span_s`` of link time.

    Args:
        span_s: link time of the curves.
        average_images: accuracy is the share of right classes among so many last images.
    """

    def __init__(self, span_s: float, average_images: int):
        self.span_s = span_s
        self._right = deque(maxlen=average_images)
        self._points = deque()
        self._row = self._images = None

    def add(self, row, images: str, true_snr_db: float) -> None:
        """Take the FrameRow of a slot, of image set ``images``. Images of a lost frame count as wrong."""
        predicted = row.predicted or (None,) * len(row.true)
        self._right.extend(a == b for a, b in zip(predicted, row.true, strict=False))
        accuracy = 100 * sum(self._right) / len(self._right) if self._right else NAN
        point = (row.time_s, true_snr_db, row.snr_measured_db, row.snr_used_db, accuracy, row.budget)
        self._points.append(point)
        while self._points[0][0] < row.time_s - self.span_s:
            self._points.popleft()
        self._row, self._images = row, images

    def curves(self) -> np.ndarray:
        """float64, points x 6: time_s, true, measured and used SNR in dB, accuracy in %, budget. NaN: not known."""
        return np.array(self._points, np.float64).reshape(-1, 6)

    def tiles(self, count: int) -> list[Tile]:
        """The first ``count`` images of the newest frame."""
        if self._row is None:
            return []
        image_set, row = find_images(self._images), self._row
        tiles = []
        for place, index in enumerate(row.images[:count]):
            pixels = image_set.images[index].transpose(1, 2, 0)
            pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            if not row.predicted:
                tiles.append(Tile(pixels, _GONE, False))
                continue
            predicted = row.predicted[place]
            known = predicted < len(image_set.classes)
            text = image_set.classes[predicted] if known else f"class {predicted}"
            tiles.append(Tile(pixels, text, predicted == row.true[place] if row.true else None))
        return tiles

    def summary(self) -> str:
        """One line: accuracy, SNR and budget now."""
        if self._row is None:
            return "waiting for the first frame"
        *_, accuracy, budget = self._points[-1]
        return "    ".join(
            (
                f"{accuracy:.1f} % of the last {len(self._right)} images right",
                f"measured {self._row.snr_measured_db:.1f} dB",
                f"encoded for {self._row.snr_used_db:.1f} dB with {budget:.0f} symbols per image",
            )
        )
