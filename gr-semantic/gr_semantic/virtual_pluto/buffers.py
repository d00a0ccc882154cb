# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample buffers of the two data devices: what the kernel's DMA queues do.

Samples are int16, rows of (I, Q). One thread of a client fills or empties a buffer, the air is at its other end.
"""

import errno
import threading
import time
from collections import deque

import numpy as np

from gr_semantic.virtual_pluto.iio_errors import IioError

DEFAULT_BLOCKS = 4
MAX_BLOCKS = 64
MAX_BLOCK_SAMPLES = 1 << 24
_POLL_S = 0.05


class _Buffer:
    """Blocks of ``samples`` samples of the channels in ``mask`` (bit 0: I, bit 1: Q); at most ``depth`` are queued.

    The air moves samples in steps. Where ``depth`` blocks are less than two of its steps, ``least_blocks`` are: a queue
    that is long enough for the device, which moves single samples, shall be long enough here.
    """

    def __init__(self, samples: int, mask: int, depth: int):
        if not 1 <= samples <= MAX_BLOCK_SAMPLES or mask not in (1, 2, 3):
            raise IioError(errno.EINVAL)
        self.samples, self.mask, self.depth = samples, mask, depth
        self.least_blocks = 0
        self.sample_bytes = 4 if mask == 3 else 2
        self._columns = [place for place in (0, 1) if mask >> place & 1]
        self._changed = threading.Condition()
        self._blocks: deque[np.ndarray] = deque()
        self._closed = False
        self._left_alone = False

    def close(self) -> None:
        """Who waits gets EBADF."""
        with self._changed:
            self._closed = True
            self._blocks.clear()
            self._changed.notify_all()

    def expect_step(self, count: int) -> None:
        """The air will move ``count`` samples at once."""
        self.least_blocks = 2 * count // self.samples

    def is_late(self, count: int) -> bool:
        """Whether the client has yet to read, or to write, before ``count`` samples can move without loss."""
        with self._changed:
            return not (self._closed or self._left_alone or self._can_move(count))

    def leave_alone(self) -> None:
        """Nobody waits for this client any more, until it reads or writes again."""
        with self._changed:
            self._left_alone = True

    @property
    def _room(self):
        return max(self.depth, self.least_blocks)

    def _wait(self, ready, timeout_s: float | None, gone) -> None:
        """Until ready(), with the condition held. IioError: EBADF closed, ETIMEDOUT, EPIPE the client has gone."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not ready():
            if self._closed:
                raise IioError(errno.EBADF)
            if end is not None and time.monotonic() >= end:
                raise IioError(errno.ETIMEDOUT)
            if not self._changed.wait(_POLL_S) and gone():
                raise IioError(errno.EPIPE)
        if self._closed:
            raise IioError(errno.EBADF)


class TxBuffer(_Buffer):
    """Client to air. ``cyclic``: the one block is sent again and again."""

    def __init__(self, samples: int, mask: int, depth: int, cyclic: bool):
        super().__init__(samples, mask, depth)
        self.cyclic = cyclic
        self._offset = 0
        self._started = False

    def check_writable(self) -> None:
        """IioError EBUSY: a cyclic buffer is filled only once."""
        if self.cyclic and self._started:
            raise IioError(errno.EBUSY)

    def write(self, data: bytes | bytearray, timeout_s: float | None, gone) -> None:
        """Queue one block (or a part of one), then wait until there is room for the next, as the driver does."""
        block = values = np.frombuffer(data, "<i2").reshape(-1, len(self._columns))
        if self.mask != 3:
            block = np.zeros((len(values), 2), np.int16)
            block[:, self._columns] = values
        with self._changed:
            if self._closed:
                raise IioError(errno.EBADF)
            self._blocks.append(block)
            self._started, self._left_alone = True, False
            if not self.cyclic:
                self._wait(lambda: len(self._blocks) < self._room, timeout_s, gone)

    def _can_move(self, count):
        queued = sum(map(len, self._blocks)) - self._offset
        return not self._started or self.cyclic or queued >= count

    def take(self, count: int) -> tuple[np.ndarray, bool]:
        """The next ``count`` samples (count x 2), zeros where there are none, and whether that was an underflow."""
        out = np.zeros((count, 2), np.int16)
        done = 0
        with self._changed:
            while done < count and self._blocks:
                block = self._blocks[0]
                part = block[self._offset : self._offset + count - done]
                out[done : done + len(part)] = part
                done += len(part)
                self._offset += len(part)
                if self._offset == len(block):
                    self._offset = 0
                    if not self.cyclic:
                        self._blocks.popleft()
                        self._changed.notify_all()
            return out, self._started and done < count


class RxBuffer(_Buffer):
    """Air to client. A block that finds the queue full is dropped whole."""

    def __init__(self, samples: int, mask: int, depth: int):
        super().__init__(samples, mask, depth)
        self._filling = np.empty((samples, 2), np.int16)
        self._filled = 0
        self._dropping = False
        self._left = b""

    def _can_move(self, count):
        begun = -(-(self._filled + count) // self.samples)
        return not self._blocks or len(self._blocks) + begun <= self._room

    def push(self, samples: np.ndarray) -> bool:
        """Samples (n x 2) from the air; whether a block was dropped."""
        overflow = False
        with self._changed:
            while len(samples) and not self._closed:
                if self._filled == 0:
                    self._dropping = len(self._blocks) >= self._room
                    overflow |= self._dropping
                part = samples[: self.samples - self._filled]
                if not self._dropping:
                    self._filling[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
                samples = samples[len(part) :]
                if self._filled == self.samples:
                    self._filled = 0
                    if not self._dropping:
                        self._blocks.append(self._filling)
                        self._filling = np.empty((self.samples, 2), np.int16)
                        self._changed.notify_all()
        return overflow

    def read(self, limit: int, timeout_s: float | None, gone) -> bytes:
        """The next 1..limit bytes, from one block."""
        if not self._left:
            with self._changed:
                self._left_alone = False
                self._wait(lambda: self._closed or self._blocks, timeout_s, gone)
                block = self._blocks.popleft()
            self._left = (block if self.mask == 3 else block[:, self._columns]).tobytes()
        part, self._left = self._left[:limit], self._left[limit:]
        return part

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are ready to be read."""
        with self._changed:
            return len(self._left) + len(self._blocks) * self.samples * self.sample_bytes
