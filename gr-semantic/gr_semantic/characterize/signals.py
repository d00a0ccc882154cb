# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames with known content in batches, noise, and which of them were found."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..modem import Frame, Header, Waveform, frame_len, modulate

_BATCH_SAMPLES = 1 << 19
_PROFILE = np.exp(-np.arange(6) / 2)  # mean powers of the taps of over_rayleigh_taps
MAX_CFO_CARRIERS = 5.0


@dataclass(frozen=True)
class Burst:
    """Frames on a line of samples (complex64). starts: int; cfo: cycles per sample; symbols: as sent, one array a frame
    (images x budget).
    """

    samples: np.ndarray
    starts: list[int]
    headers: list[Header]
    cfo: list[float]
    symbols: list[np.ndarray]

    def __len__(self):
        return len(self.headers)


def gaussian(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Complex Gaussian numbers of unit variance (complex64)."""
    return rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0] * np.float32(np.sqrt(0.5))


def add_noise(rng: np.random.Generator, samples: np.ndarray, snr_db: float) -> np.ndarray:
    """Samples with noise that makes `snr_db` on a data carrier of unit power (complex64)."""
    return samples + gaussian(rng, len(samples)) * np.float32(10 ** (-snr_db / 20))


def shifted(samples: np.ndarray, cfo: float) -> np.ndarray:
    """Samples turned by `cfo` cycles a sample from the first on (complex64)."""
    return (samples * np.exp(2j * np.pi * cfo * np.arange(len(samples)))).astype(np.complex64)


def payload_header(wf: Waveform, payload_symbols: int, sequence: int = 0) -> Header:
    """A data header whose payload fills this many OFDM symbols."""
    budget = min(wf.data_count, 256)
    images = payload_symbols * wf.data_count // budget
    return Header("data", sequence=sequence, budget=budget, image_count=images)


def bursts(
    wf: Waveform,
    rng: np.random.Generator,
    frames: int,
    payload_symbols: int = 10,
    gap: tuple[int, int] = (200, 1500),
    cfo_carriers: float = MAX_CFO_CARRIERS,
    draw=gaussian,
) -> Iterator[Burst]:
    """`frames` frames in bursts of about half a million samples.

    gap: zeros before each frame, at least and less than (equal: always as many). Each frame has a carrier offset of its
    own, uniform within +-cfo_carriers. draw(rng, images, budget): its symbols.
    """
    length = frame_len(wf, payload_header(wf, payload_symbols))
    batch = max(1, _BATCH_SAMPLES // (length + sum(gap) // 2))
    for first in range(0, frames, batch):
        parts, starts, headers, offsets, symbols, position = [], [], [], [], [], 0
        for number in range(first, min(first + batch, frames)):
            header = payload_header(wf, payload_symbols, number % 65536)
            silence = gap[0] if gap[0] == gap[1] else int(rng.integers(*gap))
            offset = float(rng.uniform(-cfo_carriers, cfo_carriers)) / wf.fft_len
            values = draw(rng, header.image_count, header.budget)
            samples = modulate(wf, header, values)
            parts += [np.zeros(silence, np.complex64), shifted(samples, offset) if offset else samples]
            starts.append(position + silence)
            headers.append(header)
            offsets.append(offset)
            symbols.append(values)
            position += silence + length
        parts.append(np.zeros(max(gap[1], 2 * wf.symbol_len), np.complex64))
        yield Burst(np.concatenate(parts), starts, headers, offsets, symbols)


def over_rayleigh_taps(wf: Waveform, rng: np.random.Generator, burst: Burst) -> tuple[np.ndarray, np.ndarray]:
    """A burst's samples through six Rayleigh taps with an exponential profile, drawn anew for each frame.

    Each draw is scaled to unit mean power over the data carriers, so that the SNR by definition is that of the noise
    added. Returns the samples and the power of each data carrier (frames x data carriers).
    """
    taps = gaussian(rng, len(burst), len(_PROFILE)) * np.sqrt(_PROFILE)
    # A frame that is c carriers off meets the channel's response c carriers off.
    offset = np.array(burst.cfo)[:, None] * np.arange(len(_PROFILE))
    response = np.fft.fft(taps * np.exp(-2j * np.pi * offset), wf.fft_len, axis=1)
    power = np.abs(response[:, wf.bins[wf.data_index]]) ** 2
    taps = taps / np.sqrt(power.mean(axis=1, keepdims=True))
    samples = np.zeros_like(burst.samples)
    for header, start, draw in zip(burst.headers, burst.starts, taps, strict=True):
        echoes = np.convolve(burst.samples[start : start + frame_len(wf, header)], draw)
        samples[start : start + len(echoes)] += echoes.astype(np.complex64)
    return samples, power / power.mean(axis=1, keepdims=True)


def found(wf: Waveform, burst: Burst, frames: list[Frame], delay: float = 0.0) -> tuple[dict[int, Frame], int]:
    """Received frames by their place in the burst, and the number of those that were not sent.

    A frame is right if its header is the one sent and it starts within a symbol of where it should, delayed by `delay`.
    """
    places = {header.sequence: i for i, header in enumerate(burst.headers)}
    right, false = {}, 0
    for frame in frames:
        place = places.get(frame.header.sequence)
        is_right = (
            place is not None
            and place not in right
            and frame.header == burst.headers[place]
            and abs(frame.start_sample - burst.starts[place] - delay) <= wf.symbol_len
        )
        if is_right:
            right[place] = frame
        else:
            false += 1
    return right, false


def need_frames(wf: Waveform, count: int, settings: dict) -> None:
    """Raises UserError where no frame was found and there is nothing to measure."""
    if not count:
        raise UserError(f"no frame of {wf.name} was found at {settings['snr_db']:g} dB: nothing to measure there")


def decibels(power_lin: float) -> float:
    return float(10 * np.log10(power_lin))
