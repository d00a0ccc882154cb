# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel estimate with noise reduction; a batch of frames a call.

A channel whose echoes fit into the cyclic prefix varies smoothly over the carriers. The Wiener filter for a uniform
delay profile over that span uses this without knowing the real profile: the robust choice of Y. Li, L. Cimini,
N. Sollenberger, "Robust channel estimation for OFDM systems with rapid dispersive fading channels", IEEE Trans.
Commun. 46(7), 1998. In the eigenvectors of the prior covariance the filter is one factor each.
"""

from functools import lru_cache

import numpy as np

from .waveform import Waveform

_NEGLIGIBLE = 1e-7  # eigenvalues below this share of the power are left out: -70 dB


@lru_cache(maxsize=8)
def modes(wf: Waveform) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors (occupied x modes, complex64) and eigenvalues (modes, float32) of the prior covariance."""
    delays = np.arange(-wf.window_backoff, wf.cp_len - wf.window_backoff)  # of the paths, relative to the start found
    steering = np.exp(-2j * np.pi * np.outer(wf.occupied, delays) / wf.fft_len)
    values, vectors = np.linalg.eigh(steering @ steering.conj().T / len(delays))
    keep = values > _NEGLIGIBLE * values[-1]
    return np.ascontiguousarray(vectors[:, keep], np.complex64), values[keep].astype(np.float32)


def smooth(wf: Waveform, raw: np.ndarray, noise_var: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares channels with their noise variance -> smoothed channels and their error variance.

    raw: frames x occupied, complex64, relative to the start that was found (a path at that start has no phase slope);
    noise_var: frames. Returns complex64 and float32, frames x occupied.
    """
    vectors, values = modes(wf)
    power = np.maximum(np.mean(raw.real**2 + raw.imag**2, axis=1) - noise_var, 1e-3 * noise_var) + 1e-30
    share = (noise_var / power).astype(np.float32)[:, None]
    amplitudes = _per_frame(raw, vectors.conj()) * (values / (values + share))
    smoothed = _per_frame(amplitudes, vectors.T)
    error = _per_frame(values * share / (values + share), (vectors.real**2 + vectors.imag**2).T)
    return smoothed, error * power.astype(np.float32)[:, None]


def _per_frame(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows @ matrix as one product a row: a batched product would round differently from batch to batch."""
    return np.stack([np.ascontiguousarray(row) @ matrix for row in rows])
