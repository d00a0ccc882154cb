# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded sample of received feature symbols, by SNR, for the constellation plot."""

import numpy as np

from gr_semantic.link.summary import snr_bin


class SymbolSample:
    """Keeps the first ``per_bin`` symbols of each 2 dB wide bin of the measured SNR."""

    def __init__(self, per_bin: int = 2000):
        self.per_bin = per_bin
        self._bins = {}

    def add(self, snr_db: float, symbols: np.ndarray) -> None:
        """Take the equalised symbols of a frame: complex, any shape."""
        kept = self._bins.setdefault(snr_bin(snr_db), np.empty(0, np.complex64))
        if len(kept) < self.per_bin:
            more = np.asarray(symbols, np.complex64).ravel()[: self.per_bin - len(kept)]
            self._bins[snr_bin(snr_db)] = np.concatenate([kept, more])

    def spread(self, count: int) -> list[tuple[float, np.ndarray]]:
        """Up to ``count`` bins from the lowest to the highest SNR: (centre in dB, symbols)."""
        bins = sorted(self._bins.items())
        places = np.unique(np.linspace(0, len(bins) - 1, count).round().astype(int)) if bins else []
        return [bins[place] for place in places]
