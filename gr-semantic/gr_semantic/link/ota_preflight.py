# SPDX-License-Identifier: GPL-3.0-or-later
"""Before the run: levels, a short sounding of each direction, and what to do about what it says."""

from dataclasses import asdict, dataclass

import numpy as np

from gr_semantic.link.exchange import exchange
from gr_semantic.link.ota_config import OtaConfig
from gr_semantic.link.sounder import Sounder
from gr_semantic.modem import Waveform

_QPSK_FRAMES = 6
_QUIET_SAMPLES = 50_000
_CLIPPING = 1e-4
_FULL_SCALE = 0.98
_CFO_WARN_CARRIERS = 4.0  # the preamble finds 5.6


@dataclass(frozen=True)
class Preflight:
    """Of one direction. Levels in dB relative to full scale (-inf: nothing at all is shown as -200).

    quiet_dbfs: received while nothing was sent here. loud_dbfs: mean power while the sounder was heard.
    clipped: share of received values at full scale. snr_db, cfo_hz, evm_db, ber, delay_spread_s: see Sounding; None if
    the sounder was not found. offset_ppm: crystal of the transmitter against the receiver's. delay_s: wall clock from
    the transmitter's being given the first sample to its reception. advice: lines for the user.
    """

    direction: str
    quiet_dbfs: float
    loud_dbfs: float | None = None
    clipped: float = 0.0
    snr_db: float | None = None
    evm_db: float | None = None
    ber: float | None = None
    cfo_hz: float | None = None
    offset_ppm: float | None = None
    delay_s: float | None = None
    delay_spread_s: float | None = None
    advice: tuple[str, ...] = ()

    def to_json(self) -> dict:
        return asdict(self)


def preflight(config: OtaConfig, radios: dict, direction: str, stop=lambda: False) -> tuple[Preflight, dict]:
    """Sound one direction ("forward" or "feedback"); returns the numbers and what to draw: frequency_hz and response of
    the channel, spectrum_hz and spectrum_db of what was received (quiet_db: before).

    Raises:
        UserError: a radio is lost, or gives no samples.
    """
    carrier = getattr(config, direction)
    sender, receiver = radios[carrier.transmitter], radios[carrier.receiver]
    wf = Waveform.load(config.waveform)
    sounder = Sounder(wf, config.link_id, _QPSK_FRAMES, config.sample_rate_hz, carrier.lo_hz)
    quiet = exchange(None, receiver, np.zeros(_QUIET_SAMPLES), stop).samples
    heard = exchange(sender, receiver, sounder.samples, stop)
    sounding = sounder.evaluate(heard.samples)
    found = {"quiet_dbfs": level_dbfs(quiet), "clipped": _clipped(heard.samples)}
    drawing = {"spectrum_hz": None}
    if sounding is not None:
        first = max(sounding.start_sample, 0)
        loud = heard.samples[first : first + len(sounder.samples)]
        found |= {
            "loud_dbfs": level_dbfs(loud),
            "snr_db": sounding.snr_db,
            "evm_db": sounding.evm_db,
            "ber": sounding.ber,
            "cfo_hz": sounding.cfo_hz,
            "offset_ppm": 1e6 * sounding.cfo_hz / carrier.lo_hz,
            "delay_s": heard.arrival_s(first) - heard.sent_s,
            "delay_spread_s": sounding.delay_spread_s,
        }
        spectrum_hz, spectrum_db = spectrum(loud, config.sample_rate_hz)
        drawing = {
            "frequency_hz": sounding.frequency_hz,
            "response": sounding.response,
            "spectrum_hz": spectrum_hz,
            "spectrum_db": spectrum_db,
            "quiet_db": spectrum(quiet, config.sample_rate_hz)[1],
        }
    spacing_hz = config.sample_rate_hz / wf.fft_len
    return Preflight(direction, **found, advice=tuple(_advice(found, carrier, spacing_hz))), drawing


def level_dbfs(samples: np.ndarray) -> float:
    """Mean power in dB relative to full scale; -200 for silence."""
    power = float(np.mean(samples.real**2 + samples.imag**2)) if len(samples) else 0.0
    return 10 * np.log10(max(power, 1e-20))


def spectrum(samples: np.ndarray, sample_rate_hz: float, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Welch's spectrum: frequency in Hz and power of each bin in dB relative to full scale, from low to high."""
    count = max(1, len(samples) // size)
    blocks = np.zeros((count, size), complex)
    blocks.reshape(-1)[: min(len(samples), count * size)] = samples[: count * size]
    window = np.hanning(size)
    power = np.mean(np.abs(np.fft.fft(blocks * window, axis=1)) ** 2, axis=0) / (np.sum(window) ** 2)
    frequency_hz = np.fft.fftfreq(size, 1 / sample_rate_hz)
    return np.fft.fftshift(frequency_hz), 10 * np.log10(np.fft.fftshift(power) + 1e-20)


def _clipped(samples):
    values = np.abs(samples.view(np.float32))
    return float(np.mean(values >= _FULL_SCALE)) if len(values) else 0.0


def _advice(found, carrier, spacing_hz):
    if found["clipped"] > _CLIPPING:
        yield f"the receiver clips: lower rx_gain_db of radio {carrier.receiver}, or raise the attenuation"
    if "snr_db" not in found:
        yield (
            f"nothing is heard: check cable or antennas, that {carrier.transmitter} is the one that sends on "
            f"{carrier.lo_hz / 1e6:g} MHz, then raise rx_gain_db of radio {carrier.receiver}"
        )
        return
    if found["snr_db"] < 0:
        yield f"the SNR is low: raise rx_gain_db of radio {carrier.receiver}, then lower the transmitter's attenuation"
    if abs(found["cfo_hz"]) > _CFO_WARN_CARRIERS * spacing_hz:
        yield "the carriers are far apart: measure with `gr-semantic calibrate-xo` and set xo_ppm"
