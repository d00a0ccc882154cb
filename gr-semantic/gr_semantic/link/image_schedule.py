# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images each forward slot carries: the same at both ends, from the seed alone."""

import numpy as np

from gr_semantic.errors import UserError


class ImageSchedule:
    """Passes through the whole image set, each in an order of its own, cut into frames.

    Args:
        image_count: images in the set (>= 1).
        per_frame: images in a frame (>= 1).
        seed: of the orders.

    Raises:
        UserError: the set is empty.
    """

    def __init__(self, image_count: int, per_frame: int, seed: int):
        if image_count < 1:
            raise UserError("the image set is empty")
        self.image_count, self.per_frame, self.seed = image_count, per_frame, seed
        self._orders = {}

    def indices(self, slot: int) -> np.ndarray:
        """Image indices of forward slot ``slot`` (its full number, not modulo 2**16): int32, shape (per_frame,)."""
        position = slot * self.per_frame + np.arange(self.per_frame)
        passes, places = np.divmod(position, self.image_count)
        return np.array([self._order(number)[place] for number, place in zip(passes, places, strict=True)], np.int32)

    def _order(self, number):
        if number not in self._orders:
            if len(self._orders) > self.per_frame:  # a small set passes several times in one frame
                self._orders.clear()
            self._orders[number] = np.random.default_rng((self.seed, int(number))).permutation(self.image_count)
        return self._orders[number]
