# SPDX-License-Identifier: GPL-3.0-or-later
"""For tests of the simulated air: two Plutos without sockets, stepped by hand."""

import numpy as np

from gr_semantic.virtual_pluto.air import Air
from gr_semantic.virtual_pluto.config import VirtualPlutosConfig
from gr_semantic.virtual_pluto.data_devices import RX_ID, TX_ID
from gr_semantic.virtual_pluto.pluto import Pluto

RATE_HZ = 1_000_000
LO_HZ = 2_400_000_000
STEP_S = 5e-3


class TwoPlutos:
    """Radio 0 transmits, radio 1 receives; 1 Msps, manual gain of 40 dB, no attenuation, noise figure 0.

    config: fields of VirtualPlutosConfig. settings: other values for fields of both Transceivers.
    """

    def __init__(self, config: dict | None = None, **settings):
        config = {"radios": [{"noise_figure_db": 0}] * 2, **(config or {})}
        self.config = VirtualPlutosConfig(**config)
        self.air = Air(self.config)
        self.plutos = [Pluto(radio, str(place)) for place, radio in enumerate(self.config.radios)]
        for place, pluto in enumerate(self.plutos):
            self.set(
                place,
                **{
                    "rate_hz": RATE_HZ,
                    "rx_lo_hz": LO_HZ,
                    "tx_lo_hz": LO_HZ,
                    "gain_mode": "manual",
                    "rx_gain_db": 40.0,
                    "tx_gain_db": 0.0,
                    **settings,
                },
            )
            self.air.plug(place, pluto)

    def set(self, radio, **fields):
        state = self.plutos[radio].transceiver
        for name, value in fields.items():
            assert hasattr(state, name)
            setattr(state, name, value)
        state.version += 1

    def send(self, samples, radio=0):
        """complex, 1 is full scale; again and again."""
        values = np.round(np.stack([samples.real, samples.imag], axis=1) * 32767).astype("<i2")
        pluto = self.plutos[radio]
        buffer = pluto.open_buffer(pluto.device(TX_ID), len(samples), 3, True)
        buffer.write(values.tobytes(), 0, lambda: False)

    def send_tone(self, frequency_hz, amplitude=0.5, radio=0):
        rate_hz = self.plutos[radio].transceiver.tx_rate_hz
        count = int(rate_hz // 100)  # whole periods of multiples of 100 Hz
        self.send(amplitude * np.exp(2j * np.pi * frequency_hz / rate_hz * np.arange(count)), radio)

    def listen(self, seconds, radio=1, settle_s=0.02):
        """complex, 1 is full scale; what is heard after ``settle_s``."""
        pluto = self.plutos[radio]
        if pluto.rx is None:
            pluto.open_buffer(pluto.device(RX_ID), 256, 3, False)
        pieces = []
        for step in range(round((seconds + settle_s) / STEP_S)):
            self.air.step(STEP_S)
            data = b"".join(pluto.rx.read(1024, 0, lambda: False) for _ in range(pluto.rx.waiting_bytes // 1024))
            if step * STEP_S >= settle_s:
                pieces.append(np.frombuffer(data, "<i2").reshape(-1, 2))
        values = np.concatenate(pieces).astype(np.float64) / 2048
        return values[:, 0] + 1j * values[:, 1]


def power_db(samples):
    return 10 * np.log10(np.mean(np.abs(samples) ** 2))


def tone_power_db(samples, frequency_hz, rate_hz=RATE_HZ):
    """Power of one tone, by correlation under a Hann window."""
    window = np.hanning(len(samples))
    turn = np.exp(-2j * np.pi * frequency_hz / rate_hz * np.arange(len(samples)))
    return 20 * np.log10(abs(np.sum(samples * window * turn)) / window.sum() + 1e-12)


def strongest_hz(samples, rate_hz=RATE_HZ):
    """Frequency of the strongest tone, to a small part of a bin."""
    count = len(samples)
    spectrum = np.abs(np.fft.fft(samples * np.hanning(count), 8 * count))
    return np.fft.fftfreq(8 * count, 1 / rate_hz)[np.argmax(spectrum)]
