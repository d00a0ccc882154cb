# SPDX-License-Identifier: GPL-3.0-or-later
"""Radios on a simulated medium within this process, in real time, which waits for who is too slow."""

import threading
import time
from collections import deque

import numpy as np

from gr_semantic.channel import ChannelConfig
from gr_semantic.radio import off_switch
from gr_semantic.radio.config import RadioConfig
from gr_semantic.radio.interface import Counters, RadioError, RadioLost

_POLL_S = 0.05
_RECEIVED_LEVEL = np.float32(0.1)  # of unit power on the medium, relative to the receiver's full scale


class SimulatedMedium:
    """The air between radios: one channel from each sender to each receiver that listens on its carrier. Time stands
    still for a sender that is late: no sample is ever lost here.

    Args:
        channels: fields of ChannelConfig for each carrier in Hz; other carriers are clean.
        seed: of the channels' noise and fading.
        speed: seconds of samples in a second of wall-clock time.
    """

    def __init__(self, channels: dict[float, dict] | None = None, seed: int = 0, speed: float = 1.0):
        self.seed, self.speed = seed, speed
        self._channels = {lo_hz: ChannelConfig.from_dict(fields) for lo_hz, fields in (channels or {}).items()}
        self._radios = {}
        self._unplugged = set()
        self._lock = threading.Lock()

    def radio(self, config: RadioConfig) -> "SimulatedRadio":
        """A radio on this medium; its uri is its name."""
        name = config.uri or f"radio {len(self._radios)}"
        if name in self._unplugged:
            raise RadioError(f"{name}: no radio answers: it is unplugged from the simulated medium")
        if config.tx_lo_hz in self._channels:
            self._channels[config.tx_lo_hz].build(config.sample_rate_hz)  # a setting that does not fit fails here
        radio = SimulatedRadio(self, name, config)
        with self._lock:
            self._radios[name] = radio
        return radio

    def unplug(self, name: str) -> None:
        """The radio of that name is lost until ``plug``."""
        self._unplugged.add(name)

    def plug(self, name: str) -> None:
        self._unplugged.discard(name)

    def state(self, name: str) -> dict:
        """Of that radio: transmitting (bool), open (bool)."""
        radio = self._radios[name]
        return {"transmitting": radio.transmitting, "open": not radio.closed}

    def is_unplugged(self, name: str) -> bool:
        return name in self._unplugged

    def listeners(self, sender: "SimulatedRadio") -> list["SimulatedRadio"]:
        """Radios that hear what ``sender`` sends."""
        with self._lock:
            radios = list(self._radios.values())
        carrier = sender.config.tx_lo_hz
        return [radio for radio in radios if not radio.closed and carrier and radio.config.rx_lo_hz == carrier]

    def sends(self, carrier_hz: float) -> bool:
        """Whether a radio is in the midst of sending on this carrier."""
        with self._lock:
            radios = list(self._radios.values())
        return any(radio.in_burst and radio.config.tx_lo_hz == carrier_hz for radio in radios)

    def channel(self, config: RadioConfig):
        """A new channel for what is heard on this radio's receive carrier."""
        fields = self._channels.get(config.rx_lo_hz, ChannelConfig())
        return fields.build(config.sample_rate_hz, np.random.SeedSequence((self.seed, round(config.rx_lo_hz))))


class SimulatedRadio:
    """See Radio. Attenuation and gain do not change the level: the medium's channels do."""

    def __init__(self, medium: SimulatedMedium, name: str, config: RadioConfig):
        self.medium, self.name, self.config = medium, name, config
        self.counters = Counters()
        self.settings = {"uri": name, **config.model_dump(include=_RECORDED)}
        self.closed = self.transmitting = False
        self._channel = medium.channel(config) if config.rx_lo_hz is not None else None
        self._heard = deque()  # samples on their way, before the channel
        self._heard_count = 0
        self._changed = threading.Condition()
        self._due_s = 0.0
        self.in_burst = False
        off_switch.guard(self)

    def transmit(self, samples: np.ndarray) -> None:
        samples = np.array(samples, np.complex64)
        over = np.abs(samples.view(np.float32)) > 1
        self.counters.clipped += int(np.count_nonzero(over))
        if over.any():
            samples = np.clip(samples.view(np.float32), -1, 1).view(np.complex64)
        with self._changed:
            self._check_alive()
            self.transmitting = self.in_burst = True
        scale = np.float32(10 ** (self.config.backoff_db / 20))  # a signal at the back-off has unit power on the medium
        waiting = self.config.tx_buffers * self.config.tx_len
        for listener in self.medium.listeners(self):
            listener.hear(samples * scale, waiting, self)

    def hear(self, samples, waiting, sender):
        with self._changed:
            while self._heard_count > waiting and not self.closed:
                self._changed.wait(_POLL_S)
                sender._check_alive()
            self._heard.append(samples)
            self._heard_count += len(samples)
            self._changed.notify_all()

    def flush(self) -> None:
        self.in_burst = False

    def receive(self, count: int) -> np.ndarray:
        due_s = self._due_s + count / (self.config.sample_rate_hz * self.medium.speed)
        while (wait_s := due_s - time.monotonic()) > 0:
            self._check_alive()
            time.sleep(min(wait_s, _POLL_S))
        with self._changed:
            while self._heard_count < count and self.medium.sends(self.config.rx_lo_hz):
                self._changed.wait(_POLL_S)
                self._check_alive()
            samples = self._take(count)  # under the same lock: who begins to send now is heard whole
        self._check_alive()
        self._due_s = max(due_s, time.monotonic() - _POLL_S)
        return self._channel.process(samples) * _RECEIVED_LEVEL

    def _take(self, count):
        samples = np.zeros(count, np.complex64)
        done = 0
        with self._changed:
            while done < count and self._heard:
                part = self._heard.popleft()
                used = min(len(part), count - done)
                samples[done : done + used] = part[:used]
                if used < len(part):
                    self._heard.appendleft(part[used:])
                done += used
            self._heard_count -= done
            self._changed.notify_all()
        return samples

    def set_tx_attenuation_db(self, attenuation_db: float) -> None:
        self.settings["tx_attenuation_db"] = float(attenuation_db)

    def set_rx_gain_db(self, gain_db: float) -> None:
        self.settings["rx_gain_db"] = float(gain_db)

    def close(self) -> None:
        with self._changed:
            self.closed, self.transmitting, self.in_burst = True, False, False
            self._changed.notify_all()
        off_switch.release(self)

    def _check_alive(self):
        if self.closed:
            raise RadioLost(f"{self.name}: closed")
        if self.medium.is_unplugged(self.name):
            self.transmitting = self.in_burst = False
            raise RadioLost(f"{self.name}: was unplugged from the simulated medium")


_RECORDED = {"kind", "sample_rate_hz", "tx_lo_hz", "rx_lo_hz", "tx_attenuation_db", "rx_gain_db", "rx_gain_mode"}
