# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of one detected frame to header, equalised symbols and measurements.

Two passes. The preamble gives a first channel estimate, good enough for the header. The decoded header is then known,
symbol by symbol, and becomes training: channel, noise, phase and clock are estimated again from everything that is
known.
"""

from dataclasses import dataclass

import numpy as np

from . import channel_estimate, tracking
from .detect import Acquisition
from .header import Header, decode_header
from .mapping import gather
from .modulate import header_grid
from .snr import snr_db
from .waveform import CODED_HEADER_BITS, Waveform

_FINE_CFO_BINS = 16  # zero padding of the spectrum whose peak is the fine carrier offset


@dataclass(frozen=True)
class Frame:
    """A received frame.

    start_sample: index of its first preamble sample; symbols, noise_var: image_count x budget, complex64 / float32,
    equalised without bias and the noise variance of each relative to unit symbol power (empty 0 x 0 for a feedback
    frame); snr_db as in docs/architecture.md; cfo_hz: carrier offset of the received signal; sro_ppm: how much slower
    than the receiver's the transmitter's sample clock runs; evm_db: error power of the equalised header cells
    relative to their power.
    """

    header: Header
    start_sample: int
    symbols: np.ndarray
    noise_var: np.ndarray
    snr_db: float
    cfo_hz: float
    sro_ppm: float
    evm_db: float


@dataclass(frozen=True)
class _Training:
    """What the first pass leaves for the second. Grids are symbols x occupied carriers, relative to the start found."""

    header: Header
    cfo: float  # cycles per sample, fine
    dc: complex
    received: np.ndarray  # preamble and header
    known: np.ndarray  # what was sent in them
    channel: np.ndarray
    noise_var: float


def _dc_offset(samples: np.ndarray) -> complex:
    """Mean of the samples where it is more than a signal without DC could have by chance (1 in 10^5), else 0."""
    mean = samples.mean()
    chance = 11.5 * np.vdot(samples, samples).real / len(samples) ** 2
    return complex(mean) if abs(mean) ** 2 > chance else 0j


def _grid(wf: Waveform, samples: np.ndarray, start: int, first: int, count: int, cfo: float, dc: complex) -> np.ndarray:
    """Occupied carriers (complex64) of `count` symbols from the frame's symbol `first` on, carrier and DC offset
    removed.
    """
    lag, back = wf.symbol_len, wf.window_backoff
    begin = first * lag + wf.cp_len - back
    x = samples[start + first * lag : start + (first + count) * lag].reshape(count, lag) - np.complex64(dc)
    x = x[:, wf.cp_len - back : wf.cp_len - back + wf.fft_len]
    within = np.exp(-2j * np.pi * cfo * np.arange(wf.fft_len))
    across = np.exp(-2j * np.pi * cfo * (begin + lag * np.arange(count)))
    spectrum = np.fft.fft(x * within, axis=1, norm="ortho")[:, wf.bins]
    shift = np.exp(2j * np.pi * wf.occupied * back / wf.fft_len)
    return (spectrum * across[:, None] * shift).astype(np.complex64)


def _phase_observations(received, expected, noise_var):
    """Per symbol: how far known cells are turned (complex, 1 = not at all) and the noise variance of that."""
    power = np.maximum(np.sum(np.abs(expected) ** 2, axis=1), 1e-30)
    return np.sum(np.conj(expected) * received, axis=1) / power, noise_var / power


def _least_squares(received, known):
    """Channel per carrier from known cells (symbols x carriers), and its noise variance for unit noise."""
    energy = np.sum(np.abs(known) ** 2, axis=0)
    return np.sum(np.conj(known) * received, axis=0) / energy, float(np.mean(1 / energy))


def read_header(wf: Waveform, samples: np.ndarray, acquisition: Acquisition) -> _Training | None:
    """First pass: preamble and header of the frame at `acquisition`; None if the header's CRC is wrong.

    samples: complex64, at least up to the end of the header.
    """
    repeats, total = wf.preamble_symbols, wf.preamble_symbols + wf.header_symbols
    dc = _dc_offset(samples[acquisition.start : acquisition.start + total * wf.symbol_len])
    received = _grid(wf, samples, acquisition.start, 0, total, acquisition.cfo, dc)
    preamble = received[:repeats] * np.asarray(wf.preamble.cover, np.float32)[:, None]
    size = _FINE_CFO_BINS * repeats
    spectrum = np.sum(np.abs(np.fft.fft(preamble, size, axis=0)) ** 2, axis=1)
    peak = int(spectrum.argmax())
    low, top, high = spectrum[peak - 1], spectrum[peak], spectrum[(peak + 1) % size]
    curvature = low - 2 * top + high
    peak += 0.5 * (low - high) / curvature if curvature < 0 else 0.0
    turn = (peak if peak < size / 2 else peak - size) / size  # cycles per symbol
    received = received * np.exp(-2j * np.pi * turn * np.arange(total))[:, None].astype(np.complex64)

    cover = np.asarray(wf.preamble.cover, np.float32)[:, None]
    sent = cover * wf.preamble_values.astype(np.complex64)
    raw, gain = _least_squares(received[:repeats], sent)
    noise_var = float(np.sum(np.abs(received[:repeats] - raw * sent) ** 2)) / ((repeats - 1) * raw.size) + 1e-30
    channel, _ = channel_estimate.smooth(wf, raw, noise_var * gain)

    pilots = wf.pilots(0, wf.header_symbols)
    at_preamble = _phase_observations(received[:repeats], channel * sent, noise_var)
    at_pilots = _phase_observations(received[repeats:, wf.pilot_index], channel[wf.pilot_index] * pilots, noise_var)
    observed, variance = (np.concatenate(parts) for parts in zip(at_preamble, at_pilots, strict=True))
    phase = tracking.common_phase(observed, variance, wf.phase_noise_rad)
    cells = received[repeats:, wf.data_index] * np.exp(-1j * phase[repeats:])[:, None]
    soft = gather((np.conj(channel[wf.data_index] * wf.header_scrambler) * cells).real)
    copies = -(-soft.size // CODED_HEADER_BITS)
    metrics = np.pad(soft, (0, copies * CODED_HEADER_BITS - soft.size)).reshape(copies, -1).sum(axis=0)
    header = decode_header(metrics)
    if header is None or wf.payload_symbols(header.value_count) > wf.max_payload_symbols:
        return None
    return _Training(
        header=header,
        cfo=acquisition.cfo + turn / wf.symbol_len,
        dc=dc,
        received=received,
        known=np.concatenate([sent, header_grid(wf, header)]),
        channel=channel,
        noise_var=noise_var,
    )


def read_payload(
    wf: Waveform, samples: np.ndarray, acquisition: Acquisition, training: _Training, sample_rate_hz: float
) -> Frame:
    """Second pass: everything else of the frame. samples: complex64, at least up to the frame's end."""
    header, lag = training.header, wf.symbol_len
    trained = len(training.known)
    count = wf.payload_symbols(header.value_count)
    # The fine offset rotates symbols, as in the first pass; both passes then share one phase reference.
    turn = (training.cfo - acquisition.cfo) * lag
    payload = _grid(wf, samples, acquisition.start, trained, count, acquisition.cfo, training.dc)
    payload = payload * np.exp(-2j * np.pi * turn * (trained + np.arange(count)))[:, None].astype(np.complex64)
    pilots = wf.pilots(wf.header_symbols, count)

    # Phase of all symbols against the first channel estimate, then the channel again with that phase removed.
    expected = training.channel * training.known
    known_part = _phase_observations(training.received, expected, training.noise_var)
    pilot_part = _phase_observations(
        payload[:, wf.pilot_index], training.channel[wf.pilot_index] * pilots, training.noise_var
    )
    observed, variance = (np.concatenate(parts) for parts in zip(known_part, pilot_part, strict=True))
    phase = tracking.common_phase(observed, variance, wf.phase_noise_rad)
    turned = np.exp(-1j * phase)[:, None].astype(np.complex64)
    received, payload = training.received * turned[:trained], payload * turned[trained:]

    # Sampling clock and channel by turns: each spoils the other's estimate until it is known.
    ramp = -2 * np.pi * wf.occupied / wf.fft_len
    time = lag * (np.arange(trained + count) - (wf.preamble_symbols - 1) / 2)
    channel, noise_var, sro = training.channel, training.noise_var, 0.0
    for _ in range(2):
        cells = [
            (received, channel * training.known, ramp * time[:trained, None]),
            (payload[:, wf.pilot_index], channel[wf.pilot_index] * pilots, ramp[wf.pilot_index] * time[trained:, None]),
        ]
        got, expected, lever = (
            np.concatenate([part.reshape(-1) for part in parts]) for parts in zip(*cells, strict=True)
        )
        expected_power = np.maximum(np.abs(expected) ** 2, 1e-30)
        step = tracking.clock_offset(got * np.conj(expected) / expected_power, expected_power / noise_var, lever)
        straighten = np.exp(-1j * step * np.outer(time, ramp)).astype(np.complex64)
        received, payload = received * straighten[:trained], payload * straighten[trained:]
        sro += step
        raw, gain = _least_squares(received, training.known)
        residual = np.sum(np.abs(received - raw * training.known) ** 2)
        noise_var = float(residual) / ((trained - 1) * raw.size - trained / 2) + 1e-30
        channel, error = channel_estimate.smooth(wf, raw, noise_var * gain)

    data = wf.data_index
    power = np.maximum(np.abs(channel) ** 2, 1e-30)
    headers = received[wf.preamble_symbols :, data] / channel[data] - training.known[wf.preamble_symbols :, data]
    symbols = payload[:, data] * np.conj(channel[data]) / power[data] * np.conj(wf.payload_scrambler(count))
    noise = np.broadcast_to((noise_var + error[data]) / power[data], symbols.shape)
    shape = (header.image_count, header.budget) if header.kind == "data" else (0, 0)
    rate = np.polyfit(np.arange(len(phase)), phase, 1)[0]
    return Frame(
        header=header,
        start_sample=acquisition.start,
        symbols=gather(symbols)[: header.value_count].reshape(shape).astype(np.complex64),
        noise_var=gather(noise)[: header.value_count].reshape(shape).astype(np.float32),
        snr_db=snr_db(raw[data], noise_var * gain, noise_var),
        cfo_hz=(training.cfo + rate / (2 * np.pi * lag)) * sample_rate_hz,
        sro_ppm=1e6 * sro,
        evm_db=10 * np.log10(float(np.mean(np.abs(headers) ** 2)) + 1e-30),
    )
