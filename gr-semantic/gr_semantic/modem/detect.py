# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding preambles: a lag correlation that scans every sample, and a matched filter that checks what it finds.

The scan correlates the signal with itself one preamble symbol later and adds the products up under the cover's signs:
no knowledge of channel or carrier offset is needed, and a steady tone, which correlates with itself as well, adds up
to (nearly) nothing. After T. Schmidl, D. Cox, "Robust frequency and timing synchronization for OFDM", IEEE Trans.
Commun. 45(12), 1997, with the cover of H. Minn, V. Bhargava, K. Letaief, "A robust timing and frequency
synchronization for OFDM systems", IEEE Trans. Wireless 2(4), 2003.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import fft, ifft

from .rotation import rotation
from .waveform import Waveform

STEP = 8  # samples between two positions of the scan
MAX_CFO_CARRIERS = 5.6  # carrier offsets that the matched filter looks for, in carrier spacings
# Least squared correlation with the known preamble, 0..1. Independent of the scan's threshold; noise that passes
# costs a header decoding, and the CRC ends it.
_MATCH_THRESHOLD = 0.15
# The start is the first path of at least this share of the strongest one's power: a stronger echo may come after it.
_FIRST_PATH = 0.15


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


def _step_sum(x: np.ndarray) -> np.ndarray:
    """Sums of STEP samples each."""
    for _ in range(STEP.bit_length() - 1):
        x = x[0::2] + x[1::2]
    return x


def scan(wf: Waveform, samples: np.ndarray) -> np.ndarray:
    """Squared normalised lag correlation (float32, 0..1) at positions 0, STEP, 2 STEP, ... of complex64 samples."""
    lag, repeats = wf.symbol_len, wf.preamble_symbols
    count = len(samples) // STEP * STEP
    blocks = lag // STEP
    positions = count // STEP - repeats * blocks + 1
    if positions <= 0:
        return np.empty(0, np.float32)
    x = samples[:count]
    product = np.conj(x[:-lag])
    product *= x[lag:]
    product = _moving_sum(_step_sum(product), blocks)
    energy = _moving_sum(_step_sum(x.real**2 + x.imag**2), blocks)
    signs = wf.preamble.cover
    correlation = np.zeros(positions, np.complex64)
    inner = np.zeros(positions, np.float32)
    for r in range(repeats - 1):
        part = product[r * blocks :][:positions]
        correlation = correlation + part if signs[r] == signs[r + 1] else correlation - part
        if r:
            inner += energy[r * blocks :][:positions]
    first, last = energy[:positions], energy[(repeats - 1) * blocks :][:positions]
    tiny = np.float32(1e-30)
    return (correlation.real**2 + correlation.imag**2) / ((inner + first) * (inner + last) + tiny)


def match_reach(wf: Waveform) -> int:
    """Samples to either side of a position within which `match` looks for the start."""
    return wf.symbol_len // 2 + STEP


@lru_cache(maxsize=8)
def _matched_filter(wf: Waveform) -> tuple[np.ndarray, np.ndarray]:
    """Ambiguities of the offset (whole turns a symbol), and the conjugate spectrum of the known symbol shifted by each.

    Three symbols long, so that one turn a symbol is a shift of three bins.
    """
    highest = int(MAX_CFO_CARRIERS * wf.symbol_len / wf.fft_len) + 1
    turns = np.arange(-highest, highest + 1)
    spectrum = fft(wf.preamble_symbol, 3 * wf.symbol_len)
    return turns, np.conj(np.stack([np.roll(spectrum, 3 * turn) for turn in turns]))


def match(wf: Waveform, samples: np.ndarray, positions: Sequence[int]) -> list[Acquisition | None]:
    """Exact starts and carrier offsets of the preambles near `positions` of the array, None where there is none.

    Looks `match_reach` to either side; that much must be there before a position, and as much after the preamble. The
    symbols of the preamble are added up first, freed of their signs and of the offset's fraction; the sum is then
    correlated with the known symbol for every whole ambiguity of the offset.
    """
    if len(positions) == 0:
        return []
    lag, repeats, reach = wf.symbol_len, wf.preamble_symbols, match_reach(wf)
    window = 2 * reach + lag
    rows = np.stack([samples[p - reach : p + reach + repeats * lag] for p in positions])
    symbols = rows[:, reach : reach + repeats * lag].reshape(-1, repeats, lag) * wf.cover[:, None]
    fraction = np.angle((np.conj(symbols[:, :-1]) * symbols[:, 1:]).sum(axis=(1, 2))) / (2 * np.pi)  # turns a symbol
    turn = rotation(-fraction[:, None] * np.arange(repeats)) * wf.cover
    folded = sum(turn[:, r, None] * rows[:, r * lag : r * lag + window] for r in range(repeats))
    energy = np.cumsum(
        np.pad(folded.real**2 + folded.imag**2, ((0, 0), (1, 0))),
        axis=1,
        dtype=np.float64,
    )
    energy = energy[:, lag:] - energy[:, :-lag]
    within = rotation(-fraction[:, None] * np.arange(window) / lag)
    turns, known = _matched_filter(wf)
    spectrum = fft(folded * within, 3 * lag, axis=1)
    correlation = ifft(spectrum[:, None, :] * known, axis=2)[:, :, : window - lag + 1]
    reference = np.float32(np.sum(np.abs(wf.preamble_symbol) ** 2))
    metric = (correlation.real**2 + correlation.imag**2) / (energy * reference + 1e-30)[:, None]
    cfo = (fraction[:, None] + turns) / lag
    metric[np.abs(cfo) > MAX_CFO_CARRIERS / wf.fft_len] = 0
    found: list[Acquisition | None] = []
    for i, position in enumerate(positions):
        best, peak = divmod(int(metric[i].argmax()), metric.shape[2])
        good = metric[i, best, peak] >= _MATCH_THRESHOLD
        earliest = max(peak - 3 * wf.cp_len // 4, 0)
        strong = metric[i, best, earliest : peak + 1] >= _FIRST_PATH * metric[i, best, peak]
        offset = earliest + int(strong.argmax())
        found.append(Acquisition(position - reach + offset, float(cfo[i, best])) if good else None)
    return found
