# SPDX-License-Identifier: GPL-3.0-or-later
"""The one definition of SNR (docs/architecture.md)."""

import numpy as np

FLOOR_DB = -30.0


def snr_db(channel: np.ndarray, channel_error_var: np.ndarray, noise_var: float) -> float:
    """SNR in dB over the data subcarriers.

    channel: estimate for each data subcarrier for unit symbols (complex); channel_error_var: its error variance,
    which would count as signal and is taken off; noise_var: complex noise variance of a subcarrier. Not below FLOOR_DB.
    """
    signal = float(np.mean(np.abs(channel) ** 2 - channel_error_var))
    return max(10 * np.log10(max(signal, 1e-30) / max(noise_var, 1e-30)), FLOOR_DB)
