# SPDX-License-Identifier: GPL-3.0-or-later
"""Which value goes to which cell: values of one image, or copies of one coded bit, are spread over carriers and
symbols.
"""

from functools import lru_cache
from math import gcd

import numpy as np


@lru_cache(maxsize=512)
def cell_order(symbols: int, carriers: int) -> np.ndarray:
    """Position of value i in a grid of symbols x carriers, flattened row by row (intp, symbols * carriers).

    Cells are counted carrier by carrier (all symbols of the first data carrier, then of the second, ...); value i takes
    cell i * q mod S with q the smallest integer >= 0.618 S that shares no factor with S = symbols * carriers. A
    golden-ratio step puts any run of consecutive values at nearly even distances over the band, so that a fade hits
    every image a little.
    """
    size = symbols * carriers
    step = max(1, -(-618 * size // 1000))
    while gcd(step, size) != 1:
        step += 1
    cell = np.arange(size) * step % size
    carrier, symbol = np.divmod(cell, symbols)
    return symbol * carriers + carrier


def spread(values: np.ndarray, symbols: int, carriers: int) -> np.ndarray:
    """Values (... x symbols * carriers) into grids (... x symbols x carriers)."""
    grids = np.empty_like(values)
    grids[..., cell_order(symbols, carriers)] = values
    return grids.reshape(*values.shape[:-1], symbols, carriers)


def gather(grids: np.ndarray) -> np.ndarray:
    """The inverse of `spread`, on grids (... x symbols x carriers): values (... x symbols * carriers)."""
    *batch, symbols, carriers = grids.shape
    return np.take(
        grids.reshape(*batch, symbols * carriers),
        cell_order(symbols, carriers),
        axis=-1,
    )
