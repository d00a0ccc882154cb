# SPDX-License-Identifier: GPL-3.0-or-later
"""From the transmit buffer to the antenna and from the antenna to the receive buffer."""

import numpy as np

from gr_semantic.channel import DcOffset, IqImbalance, Noise
from gr_semantic.channel.channel import Channel
from gr_semantic.virtual_pluto.config import RadioConfig
from gr_semantic.virtual_pluto.path_filter import PathFilter
from gr_semantic.virtual_pluto.transceiver import Tone

THERMAL_DBM_PER_HZ = -174.0
FULL_SCALE = 2048  # of the 12-bit converters
_AGC_TARGET_DBFS = -12.0
_AGC_STEP_DB = {"slow_attack": 1.0, "fast_attack": 20.0, "hybrid": 5.0}  # in one step of the air


class Transmitter:
    """int16 samples to complex64 in units of full scale, with the errors of the converter and the modulator."""

    def __init__(self, config: RadioConfig):
        parts = _imperfections(config.tx_iq_gain_db, config.tx_iq_phase_deg, config.tx_dc_offset_dbfs)
        self._channel = Channel(parts, 1.0) if parts else None
        self._cycles = np.zeros(4)

    def process(self, samples: np.ndarray) -> np.ndarray:
        """int16 (n x 2) of 16 bits, of which the converter takes the upper 12."""
        out = np.multiply(samples >> 4, np.float32(1 / FULL_SCALE), dtype=np.float32).view(np.complex64).ravel()
        return out if self._channel is None else self._channel.process(out)

    def tones(self, tones: list[Tone], count: int, rate_hz: float) -> np.ndarray:
        """What the DDS makes of its four tones: two for I, two for Q; int16 (n x 2)."""
        out = np.zeros((count, 2))
        for place, tone in enumerate(tones):
            step = tone.frequency_hz / rate_hz
            if tone.on and tone.scale_lin > 0:
                cycles = self._cycles[place] + step * np.arange(count) + tone.phase_mdeg / 360e3
                out[:, place // 2] += tone.scale_lin * np.sin(2 * np.pi * cycles)
            self._cycles[place] = (self._cycles[place] + step * count) % 1.0
        return np.clip(np.rint(out * 32767), -32768, 32767).astype(np.int16)


class Receiver:
    """What arrives (complex64, in units of the square root of a milliwatt) to int16 samples of 12 bits.

    Args:
        config: RadioConfig.
        seed: of the noise.
    """

    def __init__(self, config: RadioConfig, seed: np.random.SeedSequence):
        self._config = config
        self._noise = Noise(None, seed)
        self._noise.start(1.0)
        self._filter = PathFilter()
        self._tuned_for = None
        parts = _imperfections(config.iq_gain_db, config.iq_phase_deg, config.dc_offset_dbfs)
        self._channel = Channel(parts, 1.0) if parts else None

    def tune(self, rate_hz: float, bandwidth_hz: float, noise_figure_db: float) -> None:
        """Noise and filter for these settings, all in true Hz."""
        wanted = rate_hz, bandwidth_hz, noise_figure_db
        if wanted == self._tuned_for:
            return
        if self._tuned_for is None or self._tuned_for[0] != rate_hz:
            self._filter.start(rate_hz)
        self._filter.set_band_hz(-bandwidth_hz / 2, bandwidth_hz / 2)
        self._filters = bandwidth_hz < rate_hz
        noise_dbm = THERMAL_DBM_PER_HZ + 10 * np.log10(rate_hz) + noise_figure_db
        self._noise.set_snr_db(-noise_dbm)
        self._tuned_for = wanted

    def process(self, samples: np.ndarray, gain_db: float) -> tuple[np.ndarray, int, float]:
        """int16 samples (n x 2), how many of them are clipped, and the mean power in dBm at the antenna."""
        samples = self._noise.process(samples)
        if self._filters:
            samples = self._filter.process(samples)
        values = samples.view(np.float32)
        power_lin = float(np.dot(values, values)) / max(len(samples), 1)
        power_dbm = 10 * np.log10(max(power_lin, 1e-30))
        amplitude = 10 ** ((gain_db - self._config.rx_full_scale_dbm) / 20)
        if self._channel is None:
            values = values * np.float32(amplitude * FULL_SCALE)
        else:
            values = self._channel.process(samples * np.float32(amplitude)).view(np.float32) * np.float32(FULL_SCALE)
        np.rint(values, out=values)
        clipped = 0
        if values.max(initial=0) >= FULL_SCALE or values.min(initial=0) < -FULL_SCALE:
            beyond = (values >= FULL_SCALE) | (values < -FULL_SCALE)
            clipped = int(np.count_nonzero(beyond.reshape(-1, 2).any(axis=1)))
            np.clip(values, -FULL_SCALE, FULL_SCALE - 1, out=values)
        return values.astype(np.int16).reshape(-1, 2), clipped, power_dbm

    def automatic_gain_db(self, mode: str, gain_db: float, power_dbm: float, limits_db: tuple[int, int]) -> float:
        """The gain for the next step of the air: towards a level of -12 dB below full scale."""
        error_db = _AGC_TARGET_DBFS - (power_dbm + gain_db - self._config.rx_full_scale_dbm)
        step_db = _AGC_STEP_DB[mode]
        move_db = min(max(error_db, -step_db), step_db)
        if abs(move_db) < 1:  # whole steps: no hunting
            return gain_db
        return float(min(max(int(gain_db + move_db), limits_db[0]), limits_db[1]))


def _imperfections(iq_gain_db, iq_phase_deg, dc_offset_dbfs):
    parts = []
    if iq_gain_db or iq_phase_deg:
        parts.append(IqImbalance(iq_gain_db, iq_phase_deg))
    if dc_offset_dbfs is not None:
        parts.append(DcOffset(dc_offset_dbfs))
    return parts
