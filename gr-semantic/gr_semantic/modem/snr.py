# SPDX-License-Identifier: GPL-3.0-or-later
"""The one definition of SNR (docs/architecture.md)."""

import numpy as np

MIN_DB, MAX_DB = (
    -30.0,
    60.0,
)  # what is worth reporting: beyond, arithmetic noise is measured


def snr_db(channel: np.ndarray, error_var: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
    """SNR in dB over the data subcarriers, clipped to MIN_DB..MAX_DB (frames).

    channel: unsmoothed estimate for each data subcarrier for unit symbols (frames x carriers; smoothing would take
    power away); error_var: its error variance, which would count as signal and is taken off (frames); noise_var:
    complex noise variance of a subcarrier (frames).
    """
    signal = np.mean(channel.real**2 + channel.imag**2, axis=1) - error_var
    return np.clip(
        10 * np.log10(np.maximum(signal, 1e-30) / np.maximum(noise_var, 1e-30)),
        MIN_DB,
        MAX_DB,
    )
