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
def _modes(wf: Waveform) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues (modes, float32) and eigenvectors of the prior covariance, as occupied x modes and as its adjoint.

    Both matrices are complex64 and contiguous.
    """
    delays = np.arange(-wf.window_backoff, wf.cp_len - wf.window_backoff)  # of the paths, relative to the start found
    steering = np.exp(-2j * np.pi * np.outer(wf.occupied, delays) / wf.fft_len)
    values, vectors = np.linalg.eigh(steering @ steering.conj().T / len(delays))
    keep = values > _NEGLIGIBLE * values[-1]
    vectors = np.ascontiguousarray(vectors[:, keep], np.complex64)
    return values[keep].astype(np.float32), vectors, np.ascontiguousarray(vectors.conj().T)


def smooth(wf: Waveform, raw: np.ndarray, noise_var: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares channels with their noise variance -> smoothed channels and their error variance.

    raw: frames x occupied, complex64, relative to the start that was found (a path at that start has no phase slope);
    noise_var: frames. Returns complex64 and float32, frames x occupied.
    """
    values, vectors, adjoint = _modes(wf)
    power = np.maximum(np.mean(raw.real**2 + raw.imag**2, axis=1) - noise_var, 1e-3 * noise_var) + 1e-30
    share = (noise_var / power).astype(np.float32)[:, None]
    amplitudes = _rows_times(raw, adjoint) * (values / (values + share))
    smoothed = _rows_times(amplitudes, vectors)
    error = _rows_times(values * share / (values + share), vectors.real**2 + vectors.imag**2)
    return smoothed, error * power.astype(np.float32)[:, None]


def _rows_times(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows @ matrix.T, without BLAS: its sums depend on the batch, and its threads spin beside the flowgraph's."""
    return np.einsum("fk,mk->fm", rows, matrix)
