# SPDX-License-Identifier: GPL-3.0-or-later
"""What the display shows, as numbers: curves over link time, the newest images, and where the link stands now."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from gr_semantic.blocks.image_sets import find_images
from gr_semantic.link.frame_log import NAN

_EVM_MEMORY = 0.9  # of the average over frames: about ten of them
_MOST_SYMBOLS = 1500  # drawn at once


@dataclass(frozen=True)
class Tile:
    """One image: pixels (H x W or H x W x 3 uint8; None: not known at this end), what was sent ("": not known), what
    was decoded ("": the frame was lost), and whether that is right (None: not known)."""

    pixels: np.ndarray | None
    sent: str
    decoded: str
    right: bool | None


@dataclass(frozen=True)
class Snapshot:
    """Everything that is drawn at one moment. NaN: not known.

    curves: float64, points x 6: time_s, true, measured and used SNR in dB, accuracy in %, budget.
    tiles: the first images of the newest frame. images_judged: how many images the accuracy is taken over.
    feedback_age_s: link time since the newest report that node A took was measured.
    symbols: complex64, newest frame's. carriers (int32) and carrier_evm_db (float32): the data carriers' errors.
    """

    curves: np.ndarray = field(default_factory=lambda: np.empty((0, 6)))
    tiles: tuple[Tile, ...] = ()
    images_judged: int = 0
    feedback_age_s: float = NAN
    frames: int = 0
    lost: int = 0
    symbols: np.ndarray = field(default_factory=lambda: np.empty(0, np.complex64))
    carriers: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    carrier_evm_db: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))


class DisplayHistory:
    """Keeps the rows of the last ``span_s`` of link time.

    Args:
        span_s: link time of the curves.
        average_images: accuracy is the share of right classes among so many last images.
        classes: their names, where no image set tells them.
    """

    def __init__(self, span_s: float, average_images: int, classes: tuple[str, ...] = ()):
        self.span_s, self.classes = span_s, classes
        self._right = deque(maxlen=average_images)
        self._points = deque()
        self._row = self._images = None
        self._frames = self._lost = 0
        self._feedback_age_s = NAN
        self._symbols, self._carriers = np.empty(0, np.complex64), np.empty(0, np.int32)
        self._error_lin = np.empty(0)

    def add(self, row, images: str | None, true_snr_db: float) -> None:
        """Take a FrameRow, of image set ``images`` (None: not known). Images of a lost frame count as wrong."""
        self._frames += 1
        self._lost += not row.received
        predicted = row.predicted or (None,) * len(row.true)
        self._right.extend(a == b for a, b in zip(predicted, row.true, strict=False))
        accuracy = 100 * sum(self._right) / len(self._right) if self._right else NAN
        point = (row.time_s, true_snr_db, row.snr_measured_db, row.snr_used_db, accuracy, row.budget)
        self._points.append(point)
        while self._points[0][0] < row.time_s - self.span_s:
            self._points.popleft()
        self._row, self._images = row, images

    def add_symbols(self, symbols, carriers, carrier_error_lin) -> None:
        """Take a frame's equalised symbols (complex64) and the error power of each data carrier (the signal's is 1)."""
        self._symbols = symbols[:_MOST_SYMBOLS]
        if len(carriers) == len(carrier_error_lin):
            if len(carriers) != len(self._carriers):
                self._error_lin = np.array(carrier_error_lin, np.float64)
            else:
                self._error_lin += (1 - _EVM_MEMORY) * (carrier_error_lin - self._error_lin)
            self._carriers = carriers

    def set_feedback_age(self, age_s: float) -> None:
        """Take the age of the newest report; NaN: there is none."""
        self._feedback_age_s = age_s

    def snapshot(self, tiles: int) -> Snapshot:
        """What is there now, with at most so many images."""
        return Snapshot(
            curves=np.array(self._points, np.float64).reshape(-1, 6),
            tiles=self._tiles(tiles),
            images_judged=len(self._right),
            feedback_age_s=self._feedback_age_s,
            frames=self._frames,
            lost=self._lost,
            symbols=self._symbols,
            carriers=self._carriers,
            carrier_evm_db=(10 * np.log10(self._error_lin + 1e-30)).astype(np.float32),
        )

    def _tiles(self, count):
        row = self._row
        if row is None:
            return ()
        image_set = find_images(self._images) if self._images is not None else None
        classes = image_set.classes if image_set is not None else self.classes
        tiles = []
        for place in range(min(count, max(len(row.images), len(row.predicted)))):
            predicted = row.predicted[place] if place < len(row.predicted) else None
            true = row.true[place] if place < len(row.true) else None
            tiles.append(
                Tile(
                    pixels=_pixels(image_set.images[row.images[place]])
                    if image_set and place < len(row.images)
                    else None,
                    sent=_name(classes, true),
                    decoded=_name(classes, predicted),
                    right=None if true is None else predicted == true,
                )
            )
        return tuple(tiles)


def _name(classes, index):
    if index is None:
        return ""
    return classes[index] if 0 <= index < len(classes) else f"class {index}"


def _pixels(image):
    pixels = image.transpose(1, 2, 0)
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
