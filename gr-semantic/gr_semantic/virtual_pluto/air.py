# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated air: moves samples from all transmit buffers to all receive buffers, step by step."""

import logging
from dataclasses import dataclass

import numpy as np

from gr_semantic.errors import UserError
from gr_semantic.virtual_pluto.buffers import RxBuffer, TxBuffer
from gr_semantic.virtual_pluto.config import PathConfig, SetNoiseFigure, SetPath, SetPpm, VirtualPlutosConfig
from gr_semantic.virtual_pluto.front_ends import Receiver, Transmitter
from gr_semantic.virtual_pluto.on_air_recording import OnAirRecording
from gr_semantic.virtual_pluto.path import Path, Tuning
from gr_semantic.virtual_pluto.pluto import Pluto
from gr_semantic.virtual_pluto.transceiver import synthesised_hz

_log = logging.getLogger(__name__)
_NOISE, _PATH, _INTERFERER = range(3)  # kinds of seeds
_LEAST_TICK_S = 1e-3
_DIGITAL_LOOPBACK = 1


@dataclass(frozen=True)
class _Settings:
    """What the air needs of a transceiver's state; true rates and frequencies."""

    tx: Tuning
    rx: Tuning
    transmitting: bool
    receiving: bool
    tx_gain_db: float
    loopback: bool


class _Station:
    """A radio as the air sees it; pluto is None while it is unplugged."""

    def __init__(self, config, seed):
        self.config = config
        self.ppm, self.noise_figure_db = config.ppm, config.noise_figure_db
        self.seed = seed
        self.pluto: Pluto | None = None
        self.plug(None)

    def plug(self, pluto):
        self.pluto = pluto
        self.transmitter, self.receiver = Transmitter(self.config), Receiver(self.config, self.seed)
        self.tx_position = self.rx_position = 0.0
        self.settings_of = None

    def settings(self) -> _Settings:
        """Of this moment; rebuilt only after a change."""
        state = self.pluto.transceiver
        key = state.version, self.ppm
        if key != self.settings_of:
            with self.pluto.lock:
                ratio = state.clock_ratio(self.ppm)
                self.settings_of = state.version, self.ppm
                self._settings = _Settings(
                    Tuning(
                        state.tx_rate_hz,
                        state.tx_rate_hz * ratio,
                        synthesised_hz(state.tx_lo_hz) * ratio,
                        state.tx_bandwidth_hz * ratio,
                    ),
                    Tuning(
                        state.rx_rate_hz,
                        state.rx_rate_hz * ratio,
                        synthesised_hz(state.rx_lo_hz) * ratio,
                        state.rx_bandwidth_hz * ratio,
                    ),
                    state.transmitting,
                    state.receiving,
                    state.tx_gain_db,
                    state.loopback == _DIGITAL_LOOPBACK,
                )
        return self._settings


class Air:
    """Radios, the paths between them, and interferers. Not locked: one thread calls it.

    time_s: air time; stands at 0 until ``clock_runs``. up_s: the same, counted from the beginning.

    Raises:
        UserError: an interferer's recording cannot be used.
    """

    def __init__(self, config: VirtualPlutosConfig):
        self.config = config
        self.time_s = self.up_s = 0.0
        self.clock_runs = config.time_zero == "start"
        self._stations = [_Station(radio, self._seed(_NOISE, n)) for n, radio in enumerate(config.radios)]
        self._path_gain_db: dict[tuple[int, int], float] = {}
        self._path_configs: dict[tuple[int, int], PathConfig] = {}
        for to in range(len(config.radios)):
            for of in range(len(config.radios)):
                if (path := config.path(of, to)) is not None:
                    self._path_configs[of, to] = path
        self._paths: dict[tuple, Path] = {}
        self._refused: dict[tuple, tuple] = {}
        self._interferers: list[OnAirRecording] = []
        try:
            for interferer in config.interferers:
                self._interferers.append(OnAirRecording(interferer))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the recordings."""
        for interferer in self._interferers:
            interferer.close()

    def plug(self, radio: int, pluto: Pluto | None) -> None:
        """A freshly powered Pluto in a radio's place, or none."""
        self._stations[radio].plug(pluto)
        self._paths = {key: path for key, path in self._paths.items() if key[2] != radio and key[:2] != (_PATH, radio)}

    def apply(self, event: SetPath | SetNoiseFigure | SetPpm) -> None:
        """From the next step on."""
        if isinstance(event, SetPath):
            self._path_gain_db[event.from_radio, event.to_radio] = event.gain_db
        elif isinstance(event, SetNoiseFigure):
            self._stations[event.radio].noise_figure_db = event.noise_figure_db
        else:
            self._stations[event.radio].ppm = event.ppm

    def tick_s(self) -> float:
        """Length of the next step: at most half of the shortest queue of an open buffer."""
        tick_s = self.config.tick_ms * 1e-3
        for station in self._stations:
            pluto = station.pluto
            if pluto is None:
                continue
            settings = station.settings()
            for buffer, tuning in ((pluto.tx, settings.tx), (pluto.rx, settings.rx)):
                if buffer is not None:
                    self.clock_runs = True
                    tick_s = min(tick_s, buffer.depth * buffer.samples / tuning.rate_hz / 2)
        return max(tick_s, _LEAST_TICK_S)

    def late_buffers(self, seconds: float) -> list[TxBuffer | RxBuffer]:
        """Whose clients would lose samples, or send a gap, in a step of this length."""
        late = []
        for station in self._stations:
            if (pluto := station.pluto) is None:
                continue
            settings = station.settings()
            for buffer, tuning in ((pluto.tx, settings.tx), (pluto.rx, settings.rx)):
                count = int(seconds * tuning.rate_hz) + 1
                if buffer is not None:
                    buffer.expect_step(count)
                    if buffer.is_late(count):
                        late.append(buffer)
        return late

    def step(self, seconds: float) -> None:
        """All samples of the next so many seconds of air time."""
        self.up_s += seconds
        if self.clock_runs:
            self.time_s += seconds
        on_air = [self._transmit(station, seconds) for station in self._stations]
        heard = any(station.pluto is not None and station.pluto.rx is not None for station in self._stations)
        interference = [interferer.advance(seconds) for interferer in self._interferers if heard]
        for place, station in enumerate(self._stations):
            if station.pluto is None:
                continue
            settings = station.settings()
            station.rx_position += seconds * settings.rx.rate_hz
            count = int(station.rx_position)
            station.rx_position -= count
            if (buffer := station.pluto.rx) is None:
                continue
            buffer.expect_step(count)
            samples = self._receive(place, station, settings, count, on_air, interference)
            if buffer.push(samples):
                station.pluto.note_overflow()

    def _transmit(self, station, seconds):
        """The next samples of a radio: (complex64 in units of full scale, raw int16), or None if it is off."""
        if station.pluto is None:
            return None
        settings = station.settings()
        station.tx_position += seconds * settings.tx.rate_hz
        count = int(station.tx_position)
        station.tx_position -= count
        buffer = station.pluto.tx
        if buffer is not None:
            buffer.expect_step(count)
            raw, underflow = buffer.take(count)
            if underflow:
                station.pluto.note_underflow()
        else:
            tones = station.pluto.transceiver.tones
            if not any(tone.on and tone.scale_lin > 0 for tone in tones):
                return None
            raw = station.transmitter.tones(tones, count, settings.tx.nominal_rate_hz)
        if not settings.transmitting and not settings.loopback:
            return None
        return station.transmitter.process(raw), raw

    def _receive(self, place, station, settings, count, on_air, interference):
        if settings.loopback:
            return self._looped_back(on_air[place], count)
        total = np.zeros(count, np.complex64)
        if settings.receiving:
            for of, sent in enumerate(on_air):
                config = self._path_configs.get((of, place))
                if sent is None or config is None or not self._stations[of].settings().transmitting:
                    continue
                sender = self._stations[of]
                gain_db = self._path_gain_db.get((of, place), config.gain_at(self.time_s))
                gain_db += sender.config.tx_full_scale_dbm + sender.settings().tx_gain_db
                self._hear(total, (_PATH, of, place), config, sender.settings().tx, settings.rx, gain_db, sent[0])
            for number, samples in enumerate(interference):
                item = self._interferers[number]
                if item.config.radios is None or place in item.config.radios:
                    key = _INTERFERER, number, place
                    self._hear(total, key, item.path, item.tuning, settings.rx, item.config.power_dbm, samples)
        pluto = station.pluto
        state = pluto.transceiver
        station.receiver.tune(settings.rx.rate_hz, settings.rx.bandwidth_hz, station.noise_figure_db)
        samples, clipped, power_dbm = station.receiver.process(total, state.rx_gain_db)
        with pluto.lock:
            pluto.clipped += clipped
            pluto.rssi_db = min(max(round(-4 * power_dbm) / 4, 0.0), 127.75)
            if state.gain_mode != "manual":
                state.rx_gain_db = station.receiver.automatic_gain_db(
                    state.gain_mode, state.rx_gain_db, power_dbm, state.rx_gain_range_db
                )
        return samples

    def _hear(self, total, key, config, tx, rx, gain_db, samples):
        """Adds to ``total`` what arrives of a transmitter's samples."""
        if self._refused.get(key) == (tx, rx):
            return
        if key not in self._paths:
            self._paths[key] = Path(config, self._seed(*key))
        path = self._paths[key]
        try:
            if not path.tune(tx, rx):
                return
        except UserError as error:  # an impairment that does not fit these sample rates
            self._refused[key] = tx, rx
            _log.warning("radio %d does not hear %d: %s", key[2], key[1], error)
            return
        path.set_gain_db(gain_db)
        path.push(samples)
        total += path.take(len(total))

    @staticmethod
    def _looped_back(sent, count):
        """The transmit buffer's upper 12 bits; at rates that differ, no more than there are."""
        out = np.zeros((count, 2), np.int16)
        if sent is not None:
            raw = sent[1][:count]
            out[: len(raw)] = raw >> 4
        return out

    def _seed(self, kind, *places):
        return np.random.SeedSequence(self.config.seed, spawn_key=(kind, *places))
