# SPDX-License-Identifier: GPL-3.0-or-later
"""Which point a worker does next: points that send the same symbols go to one worker, which encodes them once."""

from collections import deque
from collections.abc import Hashable, Iterable
from itertools import groupby

from .point import Point


class Shares:
    """Points waiting to be measured, in groups of one transmission; each group is one worker's until it is taken apart.

    Args:
        points: those of one transmission side by side.
    """

    def __init__(self, points: Iterable[Point]):
        self._waiting = deque(deque(group) for _, group in groupby(points, key=lambda point: point.transmission))
        self._held: dict[Hashable, deque[Point]] = {}

    def __len__(self):
        return sum(len(group) for group in (*self._waiting, *self._held.values()))

    def next(self, worker: Hashable) -> Point | None:
        """The worker's next point: of its group, else of a new one, else half of what the busiest has; None: all are
        given out.
        """
        if not self._held.get(worker):
            self._held[worker] = self._waiting.popleft() if self._waiting else self._half()
        group = self._held[worker]
        return group.popleft() if group else None

    def put_back(self, point: Point) -> None:
        """A point to be measured again, after the others."""
        self._waiting.append(deque([point]))

    def keep_only(self, workers: Iterable[Hashable]) -> None:
        """What workers held that are gone is for the others."""
        for worker in set(self._held) - set(workers):
            group = self._held.pop(worker)
            if group:
                self._waiting.appendleft(group)

    def _half(self) -> deque[Point]:
        busiest = max(self._held.values(), key=len, default=deque())
        return deque(reversed([busiest.pop() for _ in range((len(busiest) + 1) // 2)]))
