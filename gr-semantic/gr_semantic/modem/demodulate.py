# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of detected frames to headers, equalised symbols and measurements; a batch of frames a call.

Two passes. The preamble gives a first channel estimate, good enough for the header. The decoded header is then known,
symbol by symbol, and becomes training: channel, noise, phase and clock are estimated again from everything that is
known. Arrays are frames x symbols x carriers. What comes out of a frame does not depend on what else is in its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import fft

from . import channel_estimate, fading, tracking
from .detect import Acquisition
from .header import Header, decode_headers
from .interference import bridged, usable_carriers
from .mapping import gather
from .modulate import header_grids
from .rotation import rotation
from .snr import snr_db
from .waveform import CODED_HEADER_BITS, Waveform

_FIRST_REACH = 12  # payload symbols over which the first estimate of the clock offset looks
_FINE_CFO_BINS = 8  # zero padding of the spectrum whose peak is the fine carrier offset


@dataclass(frozen=True)
class Frame:
    """A received frame.

    start_sample: index of its first preamble sample; symbols, noise_var: image_count x budget, complex64 / float32,
    equalised without bias and the noise variance of each relative to unit symbol power (empty 0 x 0 for a feedback
    frame); snr_db as in docs/architecture.md; cfo_hz: carrier offset of the received signal; sro_ppm: how much slower
    than the receiver's the transmitter's sample clock runs; evm_db: error power of the equalised header cells
    relative to their power; carrier_error_lin: the same for each data carrier, linear (float32, wf.data_count).
    """

    header: Header
    start_sample: int
    symbols: np.ndarray
    noise_var: np.ndarray
    snr_db: float
    cfo_hz: float
    sro_ppm: float
    evm_db: float
    carrier_error_lin: np.ndarray


@dataclass(frozen=True)
class Training:
    """What the first pass leaves for the second, for one frame. Grids are symbols x carriers, relative to the start."""

    acquisition: Acquisition
    header: Header
    word: np.ndarray  # the header's bits
    turn: float  # fine carrier offset beyond the acquisition's, cycles per symbol
    dc: complex
    received: np.ndarray  # preamble and header, fine offset removed
    channel: np.ndarray
    usable: np.ndarray  # 1 or 0 for each carrier
    noise_var: float


def _power(x: np.ndarray) -> np.ndarray:
    return x.real**2 + x.imag**2


def _carriers(grids: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Some carriers of grids. take() and not [...]: its memory order, and with it the order of sums, is always
    the same.
    """
    return np.take(grids, index, axis=-1)


def _dc_offset(samples: np.ndarray) -> np.ndarray:
    """Means of the frames' samples where they are more than a signal without DC has by chance (1 in 10^5), else 0."""
    mean = samples.mean(axis=1)
    chance = 11.5 * _power(samples).sum(axis=1) / samples.shape[1] ** 2
    return np.where(_power(mean) > chance, mean, 0).astype(np.complex64)


def _grid(
    wf: Waveform,
    samples: np.ndarray,
    starts: Sequence[int],
    first: int,
    count: int,
    cfo: np.ndarray,
    dc,
) -> np.ndarray:
    """Occupied carriers (complex64) of `count` symbols from symbol `first` on, carrier (cycles/sample) and DC offset
    removed.

    dc None: it is estimated, and returned as the second value.
    """
    lag, back = wf.symbol_len, wf.window_backoff
    x = np.stack([samples[s + first * lag : s + (first + count) * lag] for s in starts])
    if dc is None:
        dc = _dc_offset(x)
    begin = wf.cp_len - back
    x = x.reshape(len(x), count, lag)[:, :, begin : begin + wf.fft_len]
    if dc.any():
        x = x - dc[:, None, None]
    within = rotation(-cfo[:, None] * np.arange(wf.fft_len))
    across = rotation(-cfo[:, None] * (begin + lag * (first + np.arange(count))))
    spectrum = _carriers(fft(x * within[:, None, :], axis=2, norm="ortho"), wf.bins)
    return spectrum * wf.window_phase * across[:, :, None], dc


def _turn_back(grids: np.ndarray, cycles_per_symbol: np.ndarray, first: int) -> np.ndarray:
    """Remove what is left of the carrier offset, symbol by symbol; the frames' symbol `first` comes first."""
    symbol = first + np.arange(grids.shape[1])
    return grids * rotation(-cycles_per_symbol[:, None] * symbol)[:, :, None]


def _phase_observations(received, expected, noise_var):
    """Per symbol: how far known cells are turned (complex, 1 = not at all) and the noise variance of that."""
    power = np.maximum(_power(expected).sum(axis=2), 1e-30)
    return (np.conj(expected) * received).sum(axis=2) / power, noise_var[:, None] / power


def _least_squares(received, known):
    """Channels from known cells of preamble and header, and their noise variance for unit noise."""
    energy = _power(known).sum(axis=-2)
    return (np.conj(known) * received).sum(axis=1) / energy, np.mean(1 / energy, axis=-1)


def _over_usable(residual: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Mean over the carriers that are not covered (frames)."""
    return (residual * usable).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)


def _fine_cfo(preamble: np.ndarray) -> np.ndarray:
    """Cycles per symbol by which the preamble's symbols (signs removed) still turn: the peak of their summed
    spectra.
    """
    repeats = preamble.shape[1]
    size = _FINE_CFO_BINS * repeats
    spectrum = _power(fft(preamble, size, axis=1)).sum(axis=2)
    frame, peak = np.arange(len(spectrum)), spectrum.argmax(axis=1)
    low, top, high = (spectrum[frame, (peak + i) % size] for i in (-1, 0, 1))
    curvature = np.minimum(low - 2 * top + high, -1e-30)
    return (np.where(peak < size / 2, peak, peak - size) + 0.5 * (low - high) / curvature) / size


def read_headers(wf: Waveform, samples: np.ndarray, acquisitions: Sequence[Acquisition]) -> list[Training | None]:
    """First pass: preambles and headers of the frames at `acquisitions`; None where the header's CRC is wrong.

    samples: complex64, at least up to the end of the last header.
    """
    repeats, total = wf.preamble_symbols, wf.preamble_symbols + wf.header_symbols
    starts, cfo = (
        [a.start for a in acquisitions],
        np.array([a.cfo for a in acquisitions]),
    )
    grid, dc = _grid(wf, samples, starts, 0, total, cfo, None)

    sent, usable = wf.preamble_grid, np.ones((len(starts), len(wf.occupied)), np.float32)
    for _ in range(2):
        turn = _fine_cfo(grid[:, :repeats] * wf.cover[:, None] * usable[:, None])
        received = _turn_back(grid, turn, 0)
        raw, gain = _least_squares(received[:, :repeats], sent)
        residual = _power(received[:, :repeats] - raw[:, None] * sent).sum(axis=1) / (repeats - 1)
        usable = usable_carriers(residual, raw)
        if usable.all():  # else again without what is covered
            break
    noise_var = _over_usable(residual, usable) + 1e-30
    channel, _ = channel_estimate.smooth(wf, bridged(raw, usable), noise_var * gain)
    trusted = channel * usable

    pilots, at = wf.pilots(0, wf.header_symbols), wf.pilot_index
    observations = [
        _phase_observations(received[:, :repeats], trusted[:, None] * sent, noise_var),
        _phase_observations(
            _carriers(received[:, repeats:], at),
            _carriers(trusted, at)[:, None] * pilots,
            noise_var,
        ),
    ]
    phase = tracking.common_phase(
        *(np.concatenate(p, axis=1) for p in zip(*observations, strict=True)),
        wf.phase_noise_rad,
    )
    expected = (
        _carriers(trusted, wf.data_index)[:, None]
        * wf.header_scrambler
        * rotation(phase[:, repeats:, None] / (2 * np.pi))
    )
    soft = gather((np.conj(expected) * _carriers(received[:, repeats:], wf.data_index)).real)
    copies = -(-soft.shape[1] // CODED_HEADER_BITS)
    soft = np.pad(soft, ((0, 0), (0, copies * CODED_HEADER_BITS - soft.shape[1])))
    headers, words = decode_headers(soft.reshape(len(soft), copies, CODED_HEADER_BITS).sum(axis=1))
    return [
        Training(
            acquisition,
            header,
            words[i],
            turn[i],
            dc[i],
            received[i],
            channel[i],
            usable[i],
            noise_var[i],
        )
        if header and wf.payload_symbols(header.value_count) <= wf.max_payload_symbols
        else None
        for i, (acquisition, header) in enumerate(zip(acquisitions, headers, strict=True))
    ]


def read_payloads(
    wf: Waveform, samples: np.ndarray, trainings: Sequence[Training], sample_rate_hz: float
) -> list[Frame]:
    """Second pass: everything else of frames whose payloads take the same number of symbols.

    samples: complex64, at least up to the end of the last frame.
    """
    headers, acquisitions = [t.header for t in trainings], [t.acquisition for t in trainings]
    count = wf.payload_symbols(headers[0].value_count)
    starts, cfo = [a.start for a in acquisitions], np.array([a.cfo for a in acquisitions])
    turn = np.array([t.turn for t in trainings])
    received = np.stack([t.received for t in trainings])
    header_cells = header_grids(wf, np.stack([t.word for t in trainings]))
    preambles = np.broadcast_to(wf.preamble_grid, (len(headers), *wf.preamble_grid.shape))
    known = np.concatenate([preambles, header_cells], axis=1)
    trained = known.shape[1]
    payload = np.empty((len(headers), 0, len(wf.occupied)), np.complex64)
    if count:
        dc = np.array([t.dc for t in trainings])
        payload = _turn_back(_grid(wf, samples, starts, trained, count, cfo, dc)[0], turn, trained)
    first = (np.stack(parts) for parts in zip(*((t.channel, t.usable, t.noise_var) for t in trainings), strict=True))
    fit = _fit(wf, received, known, payload, *first)

    on_data = _carriers(fit.channel, wf.data_index)[:, None]
    header_error = _carriers(fit.received[:, wf.preamble_symbols :], wf.data_index) / on_data
    header_error = header_error - _carriers(header_cells, wf.data_index)
    carrier_error_lin = _power(header_error).mean(axis=1)
    evm_db = 10 * np.log10(_power(header_error).mean(axis=(1, 2)) + 1e-30)
    snr = snr_db(_carriers(fit.raw, wf.data_index), fit.noise_var * fit.gain, fit.noise_var)
    own_noise = _carriers(np.where(fit.usable > 0, fit.noise_var[:, None], fit.residual), wf.data_index)
    total = (own_noise + _carriers(fit.error, wf.data_index))[:, None]
    symbols, noise = _equalise(wf, fit.payload, on_data, total)
    for i in np.flatnonzero(_channel_moves(wf, fit)):
        moving, error, noise_var = fading.track(
            wf, received[i], known[i], payload[i], float(fit.noise_var[i]), fit.usable[i] > 0
        )
        moving = _carriers(moving, wf.data_index)[None]
        extra = own_noise[i] - fit.noise_var[i]  # of the covered carriers
        total = noise_var + error[None, :, None] + extra[None, None]
        symbols[i : i + 1], noise[i : i + 1] = _equalise(wf, payload[i : i + 1], moving, total)
        snr[i] = snr_db(moving.reshape(1, -1), np.zeros(1), np.array([noise_var]))[0]
    rate = _phase_rate(fit.phase)
    return [
        Frame(
            header=header,
            start_sample=starts[i],
            symbols=_per_image(header, symbols[i]),
            noise_var=_per_image(header, noise[i]),
            snr_db=float(snr[i]),
            cfo_hz=float(cfo[i] + (turn[i] + rate[i]) / wf.symbol_len) * sample_rate_hz,
            sro_ppm=1e6 * float(fit.sro[i]),
            evm_db=float(evm_db[i]),
            carrier_error_lin=carrier_error_lin[i].astype(np.float32),
        )
        for i, header in enumerate(headers)
    ]


@dataclass
class _Fit:
    """Frames explained by a constant channel, a phase for each symbol and a clock offset. First axis: frames."""

    phase: np.ndarray  # rad, symbols
    sro: np.ndarray  # samples per sample
    received: np.ndarray  # preamble and header, phase and clock removed
    payload: np.ndarray  # likewise
    raw: np.ndarray  # least-squares channel, occupied
    gain: np.ndarray  # its noise variance for unit noise
    channel: np.ndarray  # smoothed
    error: np.ndarray  # its error variance
    usable: np.ndarray  # 1 or 0, occupied
    residual: np.ndarray  # noise and interference power, occupied
    noise_var: np.ndarray  # of the usable carriers


def _fit(wf: Waveform, received, known, payload, channel, usable, noise_var) -> _Fit:
    """Phase, clock, channel and noise from everything that is known, starting from a first channel and noise variance.

    By turns, since each spoils the others' estimates until it is known; over long payloads step by step, so that the
    phases at their far end have unwrapped before they count.
    """
    frames, trained, count = len(known), known.shape[1], payload.shape[1]
    at, pilots = wf.pilot_index, wf.pilots(wf.header_symbols, count)
    ramp = -2 * np.pi * wf.occupied / wf.fft_len
    time = wf.symbol_len * (np.arange(trained + count) - (wf.preamble_symbols - 1) / 2)
    phase, sro = np.zeros((frames, trained + count)), np.zeros(frames)
    reaches = [reach for reach in (_FIRST_REACH, 4 * _FIRST_REACH) if reach < count] + [count]
    for turn, reach in enumerate(reaches if len(reaches) > 1 else 2 * reaches):
        trusted = channel * usable
        if turn == 0 or len(reaches) > 1:
            observations = [
                _phase_observations(received, trusted[:, None] * known, noise_var),
                _phase_observations(_carriers(payload, at), _carriers(trusted, at)[:, None] * pilots, noise_var),
            ]
            observed, variance = (np.concatenate(parts, axis=1) for parts in zip(*observations, strict=True))
            step = tracking.common_phase(observed, variance, wf.phase_noise_rad)
            phase += step
            upright = rotation(-step / (2 * np.pi))[:, :, None]
            received, payload = received * upright[:, :trained], payload * upright[:, trained:]
        precision, evidence = np.zeros(frames), np.zeros(frames)
        for got, expected, carriers, when in (
            (received, trusted[:, None] * known, ramp, time[:trained]),
            (
                _carriers(payload[:, :reach], at),
                _carriers(trusted, at)[:, None] * pilots[:reach],
                ramp[at],
                time[trained : trained + reach],
            ),
        ):
            # the cell over what was expected has the imaginary part im(got conj(expected)) / |expected|^2 and
            # the noise variance noise_var / |expected|^2
            evidence += (when * ((got * np.conj(expected)).imag * carriers).sum(axis=2)).sum(axis=1)
            precision += (when**2 * (_power(expected) * carriers**2).sum(axis=2)).sum(axis=1)
        step = tracking.clock_offset(precision / noise_var, evidence / noise_var)
        sro += step
        straighten = rotation(step[:, None, None] * np.outer(time, wf.occupied / wf.fft_len))
        received, payload = received * straighten[:, :trained], payload * straighten[:, trained:]
        raw, gain = _least_squares(received, known)
        # The phases took half a degree of freedom a symbol, shared by all carriers.
        freedom = trained - 1 - trained / (2 * raw.shape[1])
        residual = _power(received - raw[:, None] * known).sum(axis=1) / freedom
        usable = usable_carriers(residual, raw)
        noise_var = _over_usable(residual, usable) + 1e-30
        channel, error = channel_estimate.smooth(wf, bridged(raw, usable), noise_var * gain)
    raw = bridged(raw, usable)
    return _Fit(phase, sro, received, payload, raw, gain, channel, error, usable, residual, noise_var)


def _channel_moves(wf: Waveform, fit: _Fit) -> np.ndarray:
    """Whether the payload's pilots contradict the constant channel (bool, frames)."""
    count = fit.payload.shape[1]
    if count == 0:
        return np.zeros(len(fit.payload), bool)
    pilots = wf.pilots(wf.header_symbols, count)
    missed = _carriers(fit.payload, wf.pilot_index) - _carriers(fit.channel, wf.pilot_index)[:, None] * pilots
    power = _over_usable(_power(missed).mean(axis=1), _carriers(fit.usable, wf.pilot_index))
    return fading.varies(power, fit.noise_var, pilots.size)


def _equalise(wf: Waveform, payload, channel, noise_var) -> tuple[np.ndarray, np.ndarray]:
    """Payload values and their noise variances (frames x values) from grids of all occupied carriers.

    channel, noise_var (of a cell before equalisation): on the data carriers, broadcast against the payload's symbols.
    """
    count = payload.shape[1]
    power = np.maximum(_power(channel), 1e-30)
    cells = _carriers(payload, wf.data_index) * (np.conj(channel) / power) * np.conj(wf.payload_scrambler(count))
    noise = np.broadcast_to((noise_var / power).astype(np.float32), cells.shape)
    return gather(cells), gather(noise)


def _phase_rate(phase: np.ndarray) -> np.ndarray:
    """Slope of a straight line through each frame's phases, in cycles per symbol."""
    symbol = np.arange(phase.shape[1]) - (phase.shape[1] - 1) / 2
    return (phase * symbol).sum(axis=1) / (symbol**2).sum() / (2 * np.pi)


def _per_image(header: Header, values: np.ndarray) -> np.ndarray:
    if header.kind != "data":
        return np.empty((0, 0), values.dtype)
    return values[: header.value_count].reshape(header.image_count, header.budget).copy()
