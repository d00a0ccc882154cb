# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples on disk: complex64 to the bytes of a SigMF data type and back."""

import math
import re

import numpy as np
from sigmf.sigmffile import dtype_info

from ..errors import UserError

WRITABLE = ("cf32_le", "ci16_le")
_INT16_MAX = 32767
_COMPLEX = re.compile(r"c(f32|f64|[iu](8|16|32))(_le|_be)?")


class SampleFormat:
    """A complex SigMF data type and what its full scale stands for.

    Integers are scaled so that their largest magnitude is `full_scale`; floats are taken as they are. With a power of
    two as full scale, integers go to complex64 and back without a change of any bit.

    Args:
        datatype: SigMF's name, e.g. "cf32_le", "ci16_be", "cu8".
        full_scale: amplitude that an integer's largest magnitude stands for, above 0.

    Raises:
        UserError: the type is unknown or real, or a full scale that is not above 0.
    """

    def __init__(self, datatype: str, full_scale: float = 1.0):
        if str(datatype).startswith("r"):
            raise UserError(f"datatype is {datatype}: real samples; complex ones (cf32_le, ci16_le, ...) are needed")
        if not _COMPLEX.fullmatch(str(datatype)):
            raise UserError(f"datatype is {datatype}, expected a complex type of SigMF: cf32_le, ci16_le, cu8, ...")
        info = dtype_info(datatype)
        if not (isinstance(full_scale, (int, float)) and 0 < full_scale < math.inf):
            raise UserError(f"full_scale is {full_scale!r}, expected a number above 0")
        self.datatype, self.full_scale = datatype, full_scale
        self.sample_bytes = info["sample_size"]
        self.component = np.dtype(info["component_dtype"])
        self._integer, self._unsigned = info["is_fixedpoint"], info["is_unsigned"]
        self._half = np.float32(2 ** (8 * info["component_size"] - 1))

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Real and imaginary parts in turn (dtype `component`, 2 n) to complex64 (n)."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float32)
        if self._integer:
            values = (values - self._half if self._unsigned else values) * np.float32(self.full_scale / self._half)
        return values.view(np.complex64)

    def encode(self, samples: np.ndarray) -> tuple[bytes, int]:
        """complex64 (n) to bytes, and how many samples were clipped. Only the types of WRITABLE.

        NaN becomes 0 where the type has none.
        """
        if not self._integer:
            return np.ascontiguousarray(samples, "<c8").tobytes(), 0
        values = np.ascontiguousarray(samples, np.complex64).view(np.float32) * np.float32(self._half / self.full_scale)
        values = np.rint(np.nan_to_num(values, nan=0.0, posinf=2 * _INT16_MAX, neginf=-2 * _INT16_MAX))
        outside = (values > _INT16_MAX) | (values < -_INT16_MAX - 1)
        clipped = int(outside.reshape(-1, 2).any(axis=1).sum()) if outside.any() else 0
        return np.clip(values, -_INT16_MAX - 1, _INT16_MAX).astype("<i2").tobytes(), clipped


def writable_format(datatype: str, full_scale: float = 1.0) -> SampleFormat:
    """The format of a recording that is to be written. Raises UserError for types that are only read."""
    if datatype not in WRITABLE:
        raise UserError(f"datatype is {datatype}, expected one of: {', '.join(WRITABLE)}")
    return SampleFormat(datatype, full_scale)
