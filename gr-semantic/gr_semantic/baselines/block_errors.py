# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a coded word arrives: every mode through modulator, channel and receiver, many words of it."""

import numpy as np

from ..errors import UserError
from ..modem import Waveform
from .air import Air, exchange
from .modes import Mode
from .polar import polar_code

_CERTAIN_LENGTH = 256  # coded bits from which a word far beyond the channel's capacity is not decoded
_CERTAIN_MARGIN = 0.15  # bits of information a coded bit by which it is beyond


def layout(modes: list[Mode], capacity: int) -> list[list[tuple[int, int]]]:
    """One word of every mode in as few frames of `capacity` symbols as first-fit finds: (mode's index, first symbol).

    Raises:
        UserError: a word is longer than a frame.
    """
    frames, used = [], []
    for index in sorted(range(len(modes)), key=lambda i: -modes[i].channel_uses):
        need = modes[index].channel_uses
        if need > capacity:
            raise UserError(
                f"waveform: its longest frame has {capacity} payload cells, {modes[index].name} takes {need}"
            )
        frame = next((k for k, count in enumerate(used) if count + need <= capacity), len(used))
        if frame == len(used):
            frames.append([])
            used.append(0)
        frames[frame].append((index, used[frame]))
        used[frame] += need
    return frames


def frame_shape(wf: Waveform) -> tuple[int, int]:
    """Images and budget of a header whose payload fills the longest frame."""
    return wf.max_payload_symbols, min(wf.data_count, 256)


def word_arrivals(wf: Waveform, air: Air, modes: list[Mode], words: int, seed: int) -> list[int]:
    """Of `words` words of each mode, how many arrived without an error. Words of a frame that was not found did not.

    A mode's words lie in different frames: over a fading channel each one meets its own fade.
    """
    images, budget = frame_shape(wf)
    plan = layout(modes, images * budget)
    rng = np.random.default_rng(seed)
    bits = [rng.integers(0, 2, (words, mode.info_bits), dtype=np.uint8) for mode in modes]
    symbols = [mode.send(word) for mode, word in zip(modes, bits, strict=True)]
    fill = np.exp(0.5j * np.pi * rng.integers(0, 4, (words * len(plan), images * budget))).astype(np.complex64)
    for number, payload in enumerate(fill):
        for index, start in plan[number % len(plan)]:
            word = symbols[index][number // len(plan)]
            payload[start : start + len(word)] = word
    received = [np.zeros_like(word) for word in symbols]
    noise = [np.ones(word.shape, np.float32) for word in symbols]
    there = np.zeros((len(modes), words), bool)
    for number, values, noise_var in exchange(wf, air, fill.reshape(-1, images, budget)):
        for index, start in plan[number % len(plan)]:
            place = slice(start, start + modes[index].channel_uses)
            word = number // len(plan)
            received[index][word], noise[index][word] = values.reshape(-1)[place], noise_var.reshape(-1)[place]
            there[index, word] = True
    return [
        int(_arrived(mode, bits[i][there[i]], received[i][there[i]], noise[i][there[i]]).sum())
        for i, mode in enumerate(modes)
    ]


def _arrived(mode: Mode, bits: np.ndarray, symbols: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
    """Which words (bool) are decoded to the bits that were sent.

    Two kinds of words need no decoder: one whose every soft value has the right sign is always decoded right; a long
    one that carries far less information than its code needs never is.
    """
    if not len(bits):
        return np.zeros(0, bool)
    coded = polar_code(mode.length, mode.info_bits).encode(bits)
    soft = mode.soft(symbols, noise_var) * (1.0 - 2.0 * coded)
    arrived = (soft > 0).all(axis=1)
    open_ = ~arrived
    if mode.length >= _CERTAIN_LENGTH:
        information = 1 - np.logaddexp(0, -soft).mean(axis=1) / np.log(2)
        open_ &= information > mode.info_bits / mode.length - _CERTAIN_MARGIN
    if open_.any():
        arrived[open_] = (mode.receive(symbols[open_], noise_var[open_]) == bits[open_]).all(axis=1)
    return arrived
