# SPDX-License-Identifier: GPL-3.0-or-later
"""One direction of the air: what a receiver hears of one transmitter."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from gr_semantic.channel import CarrierOffset, Gain, Multipath
from gr_semantic.channel.channel import Channel
from gr_semantic.virtual_pluto.config import PathConfig
from gr_semantic.virtual_pluto.path_filter import PathFilter
from gr_semantic.virtual_pluto.rate_conversion import RateConversion

_MARGIN_SAMPLES = 8
_IMPULSE_SAMPLES = 1024  # more than a Multipath has taps


@dataclass(frozen=True)
class Tuning:
    """One end of a path. nominal_rate_hz: what was asked for; the others are true values, in true Hz."""

    nominal_rate_hz: float
    rate_hz: float
    lo_hz: float
    bandwidth_hz: float


class Path:
    """A stream of a transmitter's samples, as it arrives at a receiver, at the receiver's rate.

    A frequency f of the transmitter's baseband becomes f + (difference of the LOs). What does not fall into the
    receiver's band is filtered out before it could fold back.

    Args:
        config: PathConfig.
        seed: of fading and phase noise.
    """

    def __init__(self, config: PathConfig, seed: np.random.SeedSequence):
        self._config, self._seed = config, seed
        self._built_for = self._tuned_for = None
        self._ready: deque[np.ndarray] = deque()
        self._ready_count = 0

    def tune(self, tx: Tuning, rx: Tuning) -> bool:
        """Adapt to the ends' settings. False: the bands do not overlap, nothing is heard."""
        same_rate = tx.nominal_rate_hz == rx.nominal_rate_hz
        shape = tx.nominal_rate_hz if same_rate else (tx.rate_hz, rx.rate_hz)
        if shape != self._built_for:
            self._build(tx, rx, same_rate)
            self._built_for, self._tuned_for = shape, None
        if (tx, rx) != self._tuned_for:
            self._retune(tx, rx)
            self._tuned_for = tx, rx
        return self._overlaps

    def set_gain_db(self, gain_db: float) -> None:
        """Of everything between full scale at the transmitter and square root of milliwatt at the receiver."""
        gain = self._before.find(Gain)
        if gain.gain_db != gain_db:
            gain.set_gain_db(gain_db)

    def push(self, samples: np.ndarray) -> None:
        """The transmitter's next samples, complex64."""
        out = self._before.process(samples)
        if self._after is not None:
            out = self._after.process(out)
        self._ready.append(out)
        self._ready_count += len(out)

    def take(self, count: int) -> np.ndarray:
        """The receiver's next samples, complex64. Both ends' clocks being followed, they are there."""
        while self._ready_count < count:
            self._prepend(count - self._ready_count)
        stream = np.concatenate(self._ready) if len(self._ready) > 1 else self._ready[0]
        rest = stream[count:][-self._most_waiting :]
        self._ready = deque([rest])
        self._ready_count = len(rest)
        return stream[:count]

    def _prepend(self, count):
        self._ready.appendleft(np.zeros(count, np.complex64))
        self._ready_count += count

    def _build(self, tx, rx, same_rate):
        delay_samples = self._config.delay_s * tx.rate_hz
        air = self._config.channel(delay_samples=int(delay_samples)).build(tx.rate_hz, self._seed)
        parts, echoes = air.impairments, None
        multipath = air.find(Multipath)
        if multipath is not None and self._config.fading == "static":  # then it is part of the filter
            parts = [part for part in parts if part is not multipath]
            echoes = _impulse_response(Channel([multipath], tx.rate_hz))
        self._filter = PathFilter(echoes, delay_samples=delay_samples % 1)
        self._before = Channel([self._filter, *parts], rx.rate_hz if same_rate else tx.rate_hz)
        self._after = None
        if not same_rate:
            conversion = Channel([RateConversion(tx.rate_hz, rx.rate_hz)], tx.rate_hz)
            self._after = _Cascade(conversion, Channel([CarrierOffset(0.0)], rx.rate_hz))
        margin = _MARGIN_SAMPLES + int(np.ceil(2 * rx.rate_hz / tx.rate_hz))
        self._most_waiting = 4 * margin
        self._ready.clear()
        self._ready_count = 0
        self._prepend(margin)

    def _retune(self, tx, rx):
        shift_hz = tx.lo_hz - rx.lo_hz
        half = rx.rate_hz / 2
        low = max(-tx.bandwidth_hz / 2, -tx.rate_hz / 2, -half - shift_hz)
        high = min(tx.bandwidth_hz / 2, tx.rate_hz / 2, half - shift_hz)
        self._overlaps = high > low
        if not self._overlaps:
            return
        self._filter.set_band_hz(low, high)
        if self._after is None:
            self._filter.set_ratio(rx.rate_hz / tx.rate_hz)
        # Turned on the side with the higher rate, where the shifted band fits.
        at_tx = self._after is None or tx.rate_hz >= rx.rate_hz
        self._before.find(CarrierOffset).set_cfo_hz(_folded(shift_hz, self._before.sample_rate_hz) if at_tx else 0.0)
        if self._after is not None:
            last = self._after.last
            last.find(CarrierOffset).set_cfo_hz(0.0 if at_tx else _folded(shift_hz, last.sample_rate_hz))


class _Cascade:
    def __init__(self, first, last):
        self.first, self.last = first, last

    def process(self, samples):
        return self.last.process(self.first.process(samples))


def _impulse_response(channel):
    impulse = np.zeros(_IMPULSE_SAMPLES, np.complex64)
    impulse[0] = 1
    response = channel.process(impulse)
    return response[: np.flatnonzero(response)[-1] + 1]


def _folded(frequency_hz, rate_hz):
    """The same frequency of sampled signals within +- half the rate."""
    return float(frequency_hz - rate_hz * np.round(frequency_hz / rate_hz))
