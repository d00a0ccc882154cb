# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding preambles: a lag correlation that scans every sample, and a matched filter that checks what it finds.

The scan correlates the signal with itself one preamble symbol later and adds the products up under the cover's signs:
no knowledge of channel or carrier offset is needed, and a steady tone, which correlates with itself as well, adds up
to (nearly) nothing. After T. Schmidl, D. Cox, "Robust frequency and timing synchronization for OFDM", IEEE Trans.
Commun. 45(12), 1997, with the cover of H. Minn, V. Bhargava, K. Letaief, "A robust timing and frequency
synchronization for OFDM systems", IEEE Trans. Wireless 2(4), 2003.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import fft, ifft, next_fast_len

from .waveform import Waveform

STEP = 8  # samples between two positions of the scan
MAX_CFO_CARRIERS = 5.6  # carrier offsets that the matched filter looks for, in carrier spacings
# Least squared correlation with the known preamble, 0..1. Independent of the scan's threshold; noise that passes
# costs a header decoding, and the CRC ends it.
_MATCH_THRESHOLD = 0.15


@dataclass(frozen=True)
class Acquisition:
    """A preamble: index of its first sample and carrier frequency offset in cycles per sample."""

    start: int
    cfo: float


def _moving_sum(x: np.ndarray, width: int) -> np.ndarray:
    """Sums of `width` neighbours; each output is made of the same additions wherever the array was cut."""
    total, power, done = None, x, 0
    for bit in range(width.bit_length()):
        if width >> bit & 1:
            part = power[done:]
            done += 1 << bit
            total = part if total is None else total[: len(part)] + part
        if width >> (bit + 1):
            power = power[: len(power) - (1 << bit)] + power[1 << bit :]
    return total[: len(x) - width + 1]


def scan_len(wf: Waveform) -> int:
    """Samples that the scan needs from a position on."""
    return wf.preamble_symbols * wf.symbol_len


def scan(wf: Waveform, samples: np.ndarray) -> np.ndarray:
    """Squared normalised lag correlation (float32, 0..1) at positions 0, STEP, 2 STEP, ... of complex64 samples."""
    lag, repeats = wf.symbol_len, wf.preamble_symbols
    count = len(samples) // STEP * STEP
    blocks = lag // STEP
    positions = count // STEP - repeats * blocks + 1
    if positions <= 0:
        return np.empty(0, np.float32)
    x = samples[:count]
    product = (np.conj(x[:-lag]) * x[lag:]).reshape(-1, STEP).sum(axis=1)
    energy = (x.real**2 + x.imag**2).reshape(-1, STEP).sum(axis=1)
    product, energy = _moving_sum(product, blocks), _moving_sum(energy, blocks)
    signs = np.multiply(wf.preamble.cover[1:], wf.preamble.cover[:-1])
    correlation = sum(sign * product[r * blocks : r * blocks + positions] for r, sign in enumerate(signs))
    inner = sum(energy[r * blocks : r * blocks + positions] for r in range(1, repeats - 1))
    first, last = energy[:positions], energy[(repeats - 1) * blocks :][:positions]
    tiny = np.float32(1e-30)
    return (correlation.real**2 + correlation.imag**2) / ((inner + first) * (inner + last) + tiny)


@lru_cache(maxsize=8)
def _matched_filter(wf: Waveform, size: int) -> np.ndarray:
    return np.conj(fft(wf.preamble_symbol.astype(np.complex64), size))


def match(wf: Waveform, samples: np.ndarray, position: int) -> Acquisition | None:
    """Exact start and carrier offset of the preamble near `position` of the array, or None if there is none.

    Looks half a symbol to either side. The symbols of the preamble are added up first, freed of their signs and of
    the offset's fraction; the sum is then correlated with the known symbol for every whole ambiguity of the offset.
    """
    lag, repeats = wf.symbol_len, wf.preamble_symbols
    reach = lag // 2 + STEP
    begin = max(position - reach, 0)
    window = position + reach - begin + lag
    if begin + (repeats - 1) * lag + window > len(samples):
        window = len(samples) - begin - (repeats - 1) * lag
    if window < lag:
        return None
    cover = np.asarray(wf.preamble.cover, dtype=np.float32)
    x = samples[position : position + repeats * lag].reshape(repeats, lag) * cover[:, None]
    fraction = np.angle(np.vdot(x[:-1], x[1:])) / (2 * np.pi * lag)
    rows = np.stack([samples[begin + r * lag : begin + r * lag + window] for r in range(repeats)])
    turns = np.exp(-2j * np.pi * fraction * lag * np.arange(repeats)) * cover
    folded = (turns.astype(np.complex64)[:, None] * rows).sum(axis=0)
    highest = int(np.ceil(MAX_CFO_CARRIERS * lag / wf.fft_len)) + 1
    cfos = fraction + np.arange(-highest, highest + 1) / lag
    cfos = cfos[np.abs(cfos) <= MAX_CFO_CARRIERS / wf.fft_len]
    size = next_fast_len(window + lag)
    turned = folded * np.exp(-2j * np.pi * cfos[:, None] * np.arange(window)).astype(np.complex64)
    correlation = ifft(fft(turned, size, axis=1) * _matched_filter(wf, size), axis=1)[:, : window - lag + 1]
    power = np.cumsum(np.concatenate([[0.0], np.abs(folded) ** 2]))
    energy = power[lag:] - power[:-lag]
    reference = float(np.sum(np.abs(wf.preamble_symbol) ** 2))
    metric = np.abs(correlation) ** 2 / (energy * reference + 1e-30)
    best, offset = np.unravel_index(metric.argmax(), metric.shape)
    if metric[best, offset] < _MATCH_THRESHOLD:
        return None
    return Acquisition(start=int(begin + offset), cfo=float(cfos[best]))
