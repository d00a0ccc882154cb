# SPDX-License-Identifier: GPL-3.0-or-later
"""Which value goes to which cell: values of one image (or of one coded bit's repetitions) are spread over
carriers and symbols.
"""

from functools import lru_cache
from math import gcd

import numpy as np


@lru_cache(maxsize=256)
def cell_order(symbols: int, carriers: int) -> np.ndarray:
    """Position of value i in a grid of symbols x carriers, flattened row by row (intp, symbols * carriers).

    Cells are counted carrier by carrier (all symbols of the first data carrier, then of the second, ...); value i
    takes cell i * q mod S with q the smallest integer >= 0.618 S that shares no factor with S = symbols * carriers. A
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
    """Values (symbols * carriers) into a grid (symbols x carriers)."""
    grid = np.empty(symbols * carriers, dtype=values.dtype)
    grid[cell_order(symbols, carriers)] = values
    return grid.reshape(symbols, carriers)


def gather(grid: np.ndarray) -> np.ndarray:
    """The inverse of `spread`: a grid (symbols x carriers) into values (symbols * carriers)."""
    return grid.reshape(-1)[cell_order(*grid.shape)]
