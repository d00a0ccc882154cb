# SPDX-License-Identifier: GPL-3.0-or-later
"""Bits to BPSK, QPSK, 16-QAM and 64-QAM of unit mean power, and back to soft values."""

from functools import lru_cache

import numpy as np

NAMES = {1: "bpsk", 2: "qpsk", 4: "16-qam", 6: "64-qam"}


@lru_cache(maxsize=8)
def _axis(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Gray-coded amplitudes of one axis: labels (2^bits x bits, uint8) and their values (2^bits), equally spaced."""
    index = np.arange(1 << bits)
    gray = index ^ index >> 1
    labels = (gray[:, None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8)
    return labels, (1 << bits) - 1 - 2.0 * index


def _axes(bits_per_symbol: int) -> tuple[int, float]:
    """Bits of one axis, and the factor that makes the mean power of a symbol 1."""
    bits = max(bits_per_symbol // 2, 1)
    axes = 2 if bits_per_symbol > 1 else 1
    return bits, float(1 / np.sqrt(axes * (4.0**bits - 1) / 3))


def map_bits(bits: np.ndarray, bits_per_symbol: int) -> np.ndarray:
    """Symbols (complex64, ... x ceil(n / bits_per_symbol)) of words of bits (uint8, ... x n); the last one is filled
    with zeros. The first half of a symbol's bits is the real part's.
    """
    missing = -bits.shape[-1] % bits_per_symbol
    bits = np.concatenate([bits, np.zeros((*bits.shape[:-1], missing), np.uint8)], axis=-1)
    per_axis, scale = _axes(bits_per_symbol)
    labels, values = _axis(per_axis)
    place = np.empty(len(values), np.float32)
    weights = 1 << np.arange(per_axis - 1, -1, -1)
    place[labels @ weights] = values
    groups = bits.reshape(*bits.shape[:-1], -1, bits_per_symbol // per_axis, per_axis)
    amplitudes = place[groups @ weights] * np.float32(scale)
    if bits_per_symbol == 1:
        return amplitudes[..., 0].astype(np.complex64)
    return (amplitudes[..., 0] + 1j * amplitudes[..., 1]).astype(np.complex64)


def soft_bits(symbols: np.ndarray, noise_var: np.ndarray, bits_per_symbol: int, count: int) -> np.ndarray:
    """Log-likelihood ratios log P(0) / P(1) (float32, ... x count) of received symbols (complex64, ... x s).

    noise_var: of each complex symbol, as the equaliser gives it. Exact, not the maximum's approximation.
    """
    per_axis, scale = _axes(bits_per_symbol)
    labels, values = _axis(per_axis)
    parts = [symbols.real] if bits_per_symbol == 1 else [symbols.real, symbols.imag]
    received = np.stack(parts, axis=-1)[..., None]
    exponent = -((received - scale * values) ** 2) / np.maximum(noise_var, 1e-9)[..., None, None]
    exponent -= exponent.max(axis=-1, keepdims=True)
    likelihood = np.exp(exponent)
    zeros, ones = likelihood @ (labels == 0), likelihood @ (labels == 1)
    ratios = np.log(np.maximum(zeros, 1e-30)) - np.log(np.maximum(ones, 1e-30))
    return ratios.reshape(*symbols.shape[:-1], -1)[..., :count].astype(np.float32)
