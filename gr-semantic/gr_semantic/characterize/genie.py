# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers that know what no receiver can know: the bounds."""

from collections.abc import Iterable

import numpy as np

from ..modem import Header, Waveform
from ..modem.demodulate import read_headers
from ..modem.detect import Acquisition
from ..modem.mapping import gather


def right_headers(
    wf: Waveform, samples: np.ndarray, headers: list[Header], starts: Iterable[int], cfo: Iterable[float]
) -> np.ndarray:
    """Which headers are read right (bool) by a receiver that is told where each frame starts and its carrier offset
    (cycles per sample), and has to find out everything else.
    """
    told = [Acquisition(int(start), offset) for start, offset in zip(starts, cfo, strict=True)]
    got = read_headers(wf, samples, told)
    return np.array([g is not None and g.header == h for g, h in zip(got, headers, strict=True)])


def payload(wf: Waveform, samples: np.ndarray, header: Header, start: int, cfo: float) -> np.ndarray:
    """Symbols (image_count x budget) of a frame whose start, carrier offset (cycles per sample, phase 0 at the start)
    and channel (flat, gain 1) are known.
    """
    first = wf.symbol_len * (wf.preamble_symbols + wf.header_symbols)
    count = wf.payload_symbols(header.value_count)
    place = first + np.arange(count * wf.symbol_len)
    upright = samples[start + place] * np.exp(-2j * np.pi * cfo * place)
    spectrum = np.fft.fft(upright.reshape(count, wf.symbol_len)[:, wf.cp_len :], axis=1, norm="ortho")
    cells = spectrum[:, wf.bins[wf.data_index]] * np.conj(wf.payload_scrambler(count))
    return gather(cells)[: header.value_count].reshape(header.image_count, header.budget)
