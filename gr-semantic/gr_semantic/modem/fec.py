# SPDX-License-Identifier: GPL-3.0-or-later
"""Tail-biting convolutional code of the header: rate 1/3, constraint length 7, generators 133, 171, 165 (octal).

Decoding is a wrap-around Viterbi algorithm over sections of six bits. Six bits are the encoder's whole memory, so
that a section connects each of the 64 states with each: its branch metrics are one matrix product, its
add-compare-select one maximum over a 64 x 64 array, which keeps the number of Python steps small. Where the channel
is good, an algebraic inverse of the code on hard decisions saves even that; the header's CRC tells whether it was
right.

Source: R. Shao, S. Lin, M. Fossorier, "Two decoding algorithms for tailbiting codes", IEEE Trans. Commun. 51(10), 2003.
"""

from functools import lru_cache

import numpy as np

GENERATORS = (0o133, 0o171, 0o165)
MEMORY = 6
_STATES = 1 << MEMORY


def _taps(generator: int) -> list[int]:
    """Delays at which a generator taps the register; the most significant of its 7 bits is the current bit."""
    return [delay for delay in range(MEMORY + 1) if generator >> (MEMORY - delay) & 1]


def _xor_shifted(target: np.ndarray, bits: np.ndarray, delay: int) -> None:
    """target ^= bits shifted cyclically by `delay` along the last axis."""
    target[..., delay:] ^= bits[..., : bits.shape[-1] - delay]
    target[..., :delay] ^= bits[..., bits.shape[-1] - delay :]


def encode(bits: np.ndarray) -> np.ndarray:
    """Code words of k bits (uint8, ... x k) into 3 k bits: the outputs of the three generators, bit by bit."""
    coded = np.zeros((*bits.shape, len(GENERATORS)), np.uint8)
    for j, generator in enumerate(GENERATORS):
        for delay in _taps(generator):
            _xor_shifted(coded[..., j], bits, delay)
    return coded.reshape(*bits.shape[:-1], -1)


@lru_cache(maxsize=1)
def _section_signs() -> np.ndarray:
    """Signs of the 18 coded bits of a section for every (new six bits, old six bits): float32, 18 x 4096."""
    new, old = np.divmod(np.arange(_STATES * _STATES), _STATES)
    word = (old << MEMORY) | new  # the older bit is the more significant one
    signs = np.empty((MEMORY * len(GENERATORS), len(word)), dtype=np.float32)
    for t in range(MEMORY):
        for j, generator in enumerate(GENERATORS):
            bit = np.zeros_like(word)
            for delay in _taps(generator):
                bit ^= word >> (MEMORY - 1 - t + delay) & 1
            signs[t * len(GENERATORS) + j] = 1 - 2 * bit
    return signs


def viterbi(metrics: np.ndarray, wraps: int = 3) -> np.ndarray:
    """Decode soft values (3 k, positive = bit 0, any common scale) into k bits (uint8); k must be a multiple of 6."""
    sections = len(metrics) // (MEMORY * len(GENERATORS))
    branch = (metrics.reshape(sections, -1).astype(np.float32) @ _section_signs()).reshape(sections, _STATES, _STATES)
    path = np.zeros(_STATES, dtype=np.float32)
    came_from = np.empty((sections, _STATES), dtype=np.intp)
    rows = np.arange(_STATES)
    best, best_metric = None, -np.inf
    for _ in range(wraps):
        begin = path
        for s in range(sections):
            total = branch[s] + path
            came_from[s] = total.argmax(axis=1)
            path = total[rows, came_from[s]]
        start = rows  # trace all 64 survivors back at once
        for s in range(sections - 1, -1, -1):
            start = came_from[s, start]
        closed = np.flatnonzero(start == rows)  # survivors that close on themselves are code words
        if len(closed):
            metric = path[closed] - begin[closed]
            if metric.max() > best_metric:
                best, best_metric = (
                    _trace(came_from, closed[metric.argmax()]),
                    metric.max(),
                )
        end = path.argmax()
        if start[end] == end:  # the best of all survivors closes: nothing better will come
            break
        path = path - path[end]
    return _trace(came_from, end) if best is None else best


def _trace(came_from: np.ndarray, end: int) -> np.ndarray:
    """Bits (uint8) of the survivor that ends in state `end`."""
    states = [end]
    for s in range(len(came_from) - 1, 0, -1):
        states.append(came_from[s, states[-1]])
    word = np.array(states[::-1], dtype=np.uint8)
    return np.unpackbits(word[:, None], axis=1)[:, 8 - MEMORY :].reshape(-1)


@lru_cache(maxsize=1)
def _inverse() -> list[list[int]]:
    """Delays (per generator) of a feed-forward inverse: XOR of these shifts of the three streams returns the bits.

    Solves sum_j a_j(D) g_j(D) = 1 over GF(2) for polynomials of degree <= MEMORY by elimination.
    """
    degree = MEMORY
    unknowns = [(j, delay) for delay in range(degree + 1) for j in range(len(GENERATORS))]
    rows = np.zeros((2 * degree + 1, len(unknowns) + 1), dtype=np.uint8)
    for column, (j, delay) in enumerate(unknowns):
        for tap in _taps(GENERATORS[j]):
            rows[tap + delay, column] ^= 1
    rows[0, -1] = 1
    pivots, row = [], 0
    for column in range(len(unknowns)):
        hit = np.flatnonzero(rows[row:, column])
        if len(hit) == 0:
            continue
        rows[[row, row + hit[0]]] = rows[[row + hit[0], row]]
        for other in range(len(rows)):
            if other != row and rows[other, column]:
                rows[other] ^= rows[row]
        pivots.append(column)
        row += 1
        if row == len(rows):
            break
    delays: list[list[int]] = [[] for _ in GENERATORS]
    for r, column in enumerate(pivots):
        if rows[r, -1]:
            j, delay = unknowns[column]
            delays[j].append(delay)
    return delays


def invert(coded: np.ndarray) -> np.ndarray:
    """Bits (uint8, ... x k) whose code words these hard bits (uint8, ... x 3 k) are; wrong near a wrong coded bit."""
    streams = coded.reshape(*coded.shape[:-1], -1, len(GENERATORS))
    bits = np.zeros(streams.shape[:-1], np.uint8)
    for j, delays in enumerate(_inverse()):
        for delay in delays:
            _xor_shifted(bits, streams[..., j], delay)
    return bits
