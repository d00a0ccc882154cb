# SPDX-License-Identifier: GPL-3.0-or-later
"""Peak power: iterative clipping and filtering, after J. Armstrong, "Peak-to-average power reduction for OFDM by
repeated clipping and frequency domain filtering", Electronics Letters 38(5), 2002.

What is clipped off becomes noise on the occupied carriers; nothing leaves the band. Analog symbols pay for it with
the error floor that docs/waveform.md states.
"""

import numpy as np
from scipy.fft import fft, ifft

from .waveform import Waveform

_OVERSAMPLING = 4  # peaks between the samples count
_ROUNDS = 4


def limit_peaks(wf: Waveform, grid: np.ndarray, papr_db: float) -> np.ndarray:
    """Grid (symbols x occupied carriers, complex) whose signal stays about `papr_db` above the grid's mean power.

    The grid's mean power is kept.
    """
    size = _OVERSAMPLING * wf.fft_len
    bins = wf.occupied % size
    power = np.mean(np.abs(grid) ** 2)
    ceiling = np.sqrt(power * len(wf.occupied) / size * 10 ** (papr_db / 10))
    limited = np.array(grid, np.complex128)
    for _ in range(_ROUNDS):
        spectrum = np.zeros((len(grid), size), np.complex128)
        spectrum[:, bins] = limited
        signal = ifft(spectrum, axis=1, norm="ortho")
        signal *= np.minimum(1.0, ceiling / np.maximum(np.abs(signal), 1e-12))
        limited = fft(signal, axis=1, norm="ortho")[:, bins]
    return limited * np.sqrt(power / np.mean(np.abs(limited) ** 2))


class PeakMeter:
    """Peak over mean power of all samples added, at the sample rate (peaks between the samples are not seen)."""

    def __init__(self):
        self._peak, self._energy, self._count = 0.0, 0.0, 0

    def add(self, samples: np.ndarray) -> None:
        """Samples of a frame (complex64), without the silence around it."""
        power = samples.real**2 + samples.imag**2
        self._peak = max(self._peak, float(power.max()))
        self._energy += float(power.sum(dtype=np.float64))
        self._count += len(samples)

    @property
    def papr_db(self) -> float | None:
        """Rounded to 0.01 dB; None before the first frame."""
        return round(10 * np.log10(self._peak * self._count / self._energy), 2) if self._count else None
