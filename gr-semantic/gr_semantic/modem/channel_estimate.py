# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel estimate with noise reduction.

A channel whose echoes fit into the cyclic prefix varies smoothly over the carriers. The Wiener filter for a uniform
delay profile over that span uses this without knowing the real profile: the robust choice of Y. Li, L. Cimini, N.
Sollenberger, "Robust channel estimation for OFDM systems with rapid dispersive fading channels", IEEE Trans. Commun.
46(7), 1998.
"""

from functools import lru_cache

import numpy as np

from .waveform import Waveform


@lru_cache(maxsize=256)
def _smoother(wf: Waveform, noise_db: int) -> tuple[np.ndarray, np.ndarray]:
    """Filter (occupied x occupied, complex64) and error variance per carrier for unit channel power and this noise."""
    delays = np.arange(-wf.window_backoff, wf.cp_len - wf.window_backoff)  # of the paths, relative to the start found
    steering = np.exp(-2j * np.pi * np.outer(wf.occupied, delays) / wf.fft_len)
    prior = steering @ steering.conj().T / len(delays)
    smoother = prior @ np.linalg.inv(prior + 10 ** (noise_db / 10) * np.eye(len(prior)))
    error = np.real(np.diag(prior - smoother @ prior))
    return smoother.astype(np.complex64), np.maximum(error, 0).astype(np.float32)


def smooth(wf: Waveform, raw: np.ndarray, noise_var: float) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares channel with its noise variance -> smoothed channel (complex64, occupied) and error variance
    (float32, occupied).

    `raw` is relative to the start that was found (a path at that start has no phase slope).
    """
    power = max(float(np.mean(np.abs(raw) ** 2)) - noise_var, 1e-3 * noise_var, 1e-30)
    noise_db = round(10 * np.log10(max(noise_var / power, 1e-6)))
    smoother, error = _smoother(wf, min(noise_db, 20))
    return smoother @ raw.astype(np.complex64), error * np.float32(power)
