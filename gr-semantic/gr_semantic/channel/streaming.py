# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes an impairment stream: the base class, and arithmetic that does not depend on how the stream is cut.

numpy rounds the real operations + - * / sqrt correctly wherever a number lies in an array. Complex products, matrix
products and transcendental functions come in several kernels (vector, tail, fused) whose last bits may differ, and the
length of an array picks the kernel. So samples are combined by real operations only, and everything else is computed
in a BlockTable: on whole blocks at fixed positions of the stream.
"""

import numpy as np


class Impairment:
    """One effect on a stream of samples.

    ``latency_samples``: delay that the implementation adds, in samples (the filters are causal).
    """

    latency_samples = 0

    def start(self, sample_rate_hz: float) -> None:
        """Go to sample 0, with the random numbers of the seed from their beginning."""

    def process(self, samples: np.ndarray) -> np.ndarray:
        """The next samples of the stream: 1-D contiguous complex64 in and out; the input is not changed."""
        raise NotImplementedError

    def input_limit(self, room: int) -> int:
        """How many input samples surely give no more than ``room`` output samples."""
        return room


class BlockTable:
    """Values of a sequence by absolute index, computed a whole block at a time.

    Args:
        block_len: values in a block.
        compute: function of the block's index that returns its ``block_len`` values (first axis). It is called once for
            each block, in rising order, if the values are asked for in rising order; so it may carry a state along.
    """

    def __init__(self, block_len: int, compute):
        self._block_len = block_len
        self._compute = compute
        self._index = None
        self._block = None

    def values(self, start: int, count: int) -> np.ndarray:
        """``count`` >= 1 values from index ``start`` on, which lies in the last asked block or after it."""
        pieces = []
        end = start + count
        while start < end:
            index, offset = divmod(start, self._block_len)
            if index != self._index:
                self._block, self._index = self._compute(index), index
            pieces.append(self._block[offset : offset + end - start])
            start += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def generator(seed: int | np.random.SeedSequence) -> np.random.Generator:
    """A random generator of its own for one impairment."""
    return np.random.Generator(np.random.SFC64(seed))


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of two complex64 arrays by real operations."""
    product = np.empty(len(a), np.complex64)
    np.subtract(a.real * b.real, a.imag * b.imag, out=product.real)
    np.add(a.real * b.imag, a.imag * b.real, out=product.imag)
    return product


def scale(samples: np.ndarray, amplitude_lin: np.ndarray | np.float32) -> np.ndarray:
    """complex64 samples times a float32 number or array."""
    return (samples.view(np.float32).reshape(-1, 2) * np.reshape(amplitude_lin, (-1, 1))).view(np.complex64).ravel()
