# SPDX-License-Identifier: GPL-3.0-or-later
"""The one definition of SNR (docs/architecture.md)."""

import numpy as np

MIN_DB, MAX_DB = -30.0, 60.0  # what is worth reporting: beyond, arithmetic noise is measured


def snr_db(channel: np.ndarray, error_var: float, noise_var: float) -> float:
    """SNR in dB over the data subcarriers, clipped to MIN_DB..MAX_DB.

    channel: unsmoothed estimate for each data subcarrier for unit symbols (complex; smoothing would take power away);
    error_var: its error variance, which would count as signal and is taken off; noise_var: complex noise variance of a
    subcarrier.
    """
    signal = float(np.mean(np.abs(channel) ** 2)) - error_var
    return min(max(10 * np.log10(max(signal, 1e-30) / max(noise_var, 1e-30)), MIN_DB), MAX_DB)
