# SPDX-License-Identifier: GPL-3.0-or-later
"""The genie: knows which share of each mode's words arrives and how accurate each content is, and takes the best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .modes import Mode

MOST_WORDS = 16  # of one message, of the longest code; of the others MOST_SHORT_WORDS
MOST_SHORT_WORDS = 7  # many short words: a share of arrivals that was counted as 1 by chance would count many times
CRC_BITS = 16
PROFILE_BITS = 8


@dataclass(frozen=True)
class Options:
    """Every way to send one message: so many words of one mode.

    mode: index; words, bits (of the message), uses (channel uses): int; arrives: probability. Arrays of one length.
    """

    mode: np.ndarray
    words: np.ndarray
    bits: np.ndarray
    uses: np.ndarray
    arrives: np.ndarray

    def accuracy(self, content: Callable[[np.ndarray], np.ndarray], guess: float) -> np.ndarray:
        """Accuracy of each way; content(bits): of a message that arrived; a lost one is a guess."""
        return self.arrives * content(self.bits) + (1 - self.arrives) * guess


def options(modes: Sequence[Mode], arrived: Sequence[float], together: bool, one_word: bool = False) -> Options:
    """arrived: share of each mode's words that arrive. together: the words of a message stand or fall together, as over
    a fade (which favours long messages); else each for itself. one_word: a message is one word.
    """
    longest = max(mode.length for mode in modes)
    most = [1 if one_word else MOST_WORDS if mode.length == longest else MOST_SHORT_WORDS for mode in modes]
    index = np.repeat(np.arange(len(modes)), most)
    words = np.concatenate([np.arange(1, count + 1) for count in most])
    length, info, per_symbol = np.array([(m.length, m.info_bits, m.bits_per_symbol) for m in modes])[index].T
    share = np.asarray(arrived, float)[index]
    # Words follow each other without a gap; the message's last symbol is filled up.
    uses = -(-words * length // per_symbol)
    return Options(index, words, words * info, uses, share if together else share**words)


@dataclass(frozen=True)
class Choice:
    accuracy: float
    mode: str | None = None
    words: int = 0
    uses: int = 0

    @property
    def text(self) -> str | None:
        return f"{self.words} x {self.mode}, {self.uses} uses" if self.mode else None


def best(ways: Options, modes: Sequence[Mode], accuracy: np.ndarray, uses: int, guess: float) -> Choice:
    """The best way within so many channel uses; a guess where none is better."""
    allowed = np.where(ways.uses <= uses, accuracy, -1.0)
    top = int(allowed.argmax())
    if allowed[top] <= guess:
        return Choice(guess)
    return Choice(float(allowed[top]), modes[ways.mode[top]].name, int(ways.words[top]), int(ways.uses[top]))


def uses_needed(ways: Options, accuracy: np.ndarray, target: float) -> int | None:
    """The fewest channel uses for this accuracy; None if nothing reaches it."""
    reached = ways.uses[accuracy >= target]
    return int(reached.min()) if len(reached) else None


def step_content(points: Sequence[tuple[int, float]], guess: float) -> Callable[[np.ndarray], np.ndarray]:
    """Content of which (bits, accuracy) points are known: the best of those that fit."""
    points = sorted(points)
    bits = np.array([point[0] for point in points])
    value = np.maximum.accumulate([guess, *(point[1] for point in points)])
    return lambda room: value[np.searchsorted(bits, room, side="right")]


def picture_content(
    sizes: np.ndarray, right: np.ndarray, errors: np.ndarray, groups: Sequence[Sequence[int]], guess: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Pictures at the best quality that fits.

    sizes (bytes), right (bool), errors (squared): profiles x images. groups: sets of profiles among which an image
    takes the one of least error that fits (none: a guess); for each size of message, the best group counts.
    """
    longest = int(sizes.max())
    value = np.full(longest + 1, guess)
    for group in groups:
        group = list(group)
        order = np.argsort(errors[group], axis=0, kind="stable")
        size = np.take_along_axis(sizes[group], order, axis=0)
        good = np.take_along_axis(right[group], order, axis=0)
        for room in range(longest + 1):
            fits = size <= room
            first = fits.argmax(axis=0)
            chosen = np.take_along_axis(good, first[None], axis=0)[0]
            value[room] = max(value[room], np.where(fits.any(axis=0), chosen, guess).mean())
    value = np.maximum.accumulate(value)

    def content(bits: np.ndarray) -> np.ndarray:
        room = (bits - CRC_BITS - PROFILE_BITS) // 8
        return np.where(room >= 0, value[np.clip(room, 0, longest)], guess)

    return content
