# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase factors, fast: sines and cosines in single precision, the phase reduced to one turn before."""

import numpy as np


def rotation(cycles: np.ndarray) -> np.ndarray:
    """exp(2 pi j cycles) as complex64, any shape."""
    angle = ((cycles - np.rint(cycles)) * (2 * np.pi)).astype(np.float32)
    turned = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=turned.real)
    np.sin(angle, out=turned.imag)
    return turned
