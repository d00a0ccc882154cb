# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread behind a queue, for work that is too slow for a scheduler thread (neural inference)."""

import threading
from collections import deque

import torch

from gr_semantic.short_slice import take_normal_slices

_JOIN_TIMEOUT_S = 1.5


class InferenceWorker:
    """Runs ``process(items)`` in one daemon thread, in the order of ``put``, with torch held to one core.

    Args:
        process: called with a list of 1 to ``batch_limit`` items that were waiting, oldest first; must not raise.
        batch_limit: the most items handed over at once.
        capacity: items that may wait; a full queue drops its oldest item. None: nothing is ever dropped.
        warm_up: called once in the thread before the first item.
    """

    def __init__(self, process, batch_limit: int = 1, capacity: int | None = None, warm_up=None):
        self._process = process
        self._batch_limit = batch_limit
        self._capacity = capacity
        self._warm_up = warm_up
        self._waiting = deque()
        self._changed = threading.Condition()
        self._thread = None
        self._stopping = False
        self.dropped = 0

    def start(self) -> None:
        """Start the thread; items put before are processed then. A second call does nothing."""
        with self._changed:
            if self._thread is not None:
                return
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Drop what waits and end the thread; harmless in any state. Returns within 1.5 s even in a long inference."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._waiting.clear()
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_TIMEOUT_S)

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called: a result that is ready now is no longer wanted."""
        return self._stopping

    def put(self, item) -> bool:
        """Queue an item; never blocks. Returns False if the oldest waiting item was dropped for it."""
        with self._changed:
            full = self._capacity is not None and len(self._waiting) >= self._capacity
            if full:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(item)
            self._changed.notify_all()
            return not full

    def _run(self):
        thread = threading.current_thread()
        take_normal_slices()  # whoever started this thread
        torch.set_num_threads(1)  # for this thread; a second one waits for whoever has the other cores
        if self._warm_up is not None:
            self._warm_up()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._thread is not thread)
                if self._thread is not thread:
                    return
                count = min(self._batch_limit, len(self._waiting))
                items = [self._waiting.popleft() for _ in range(count)]
            self._process(items)
