# SPDX-License-Identifier: GPL-3.0-or-later
"""A known signal that tells channel and modem from the codec: QPSK frames and a periodic multitone.

The multitone's phases are Newman's (S. Boyd, "Multitone signals with low crest factor", IEEE Trans. Circuits and
Systems 33(10), 1986).
"""

from dataclasses import dataclass

import numpy as np

from gr_semantic.modem import Frame, Header, Waveform, modulate, receive
from gr_semantic.recording.frame_truth import FrameTruth, qpsk_bits, qpsk_errors, qpsk_symbols

GAP_LEN = 256
_PERIOD, _PERIODS = 1024, 16
_BUDGET, _IMAGES = 16, 48
_SEED = 77
FIRST_SEQUENCE = 0xF000  # the sounder's frames count from here, those of images from 0


@dataclass(frozen=True)
class Sounding:
    """What a received sounder says. All in the definitions of the modem.

    frames: QPSK frames found. snr_db: their mean measured SNR. evm_db: of their symbols. bits, wrong_bits: theirs.
    cfo_hz: carrier of the transmitter minus the receiver's. start_sample: where the sounder begins.
    tone_snr_db: SNR from the multitone, None if it was cut off. response: its channel over frequency_hz (complex).
    delay_spread_s: RMS, of the taps within 20 dB of the strongest; bounded below by one sample.
    """

    frames: int
    snr_db: float
    evm_db: float
    bits: int
    wrong_bits: int
    cfo_hz: float
    start_sample: int
    tone_snr_db: float | None = None
    frequency_hz: np.ndarray | None = None
    response: np.ndarray | None = None
    delay_spread_s: float | None = None

    @property
    def ber(self) -> float:
        """Share of wrong QPSK bits."""
        return self.wrong_bits / self.bits


class Sounder:
    """The signal and its evaluation.

    Args:
        wf: waveform of the frames; the multitone covers its band.
        link_id: of the frames.
        qpsk_frames: how many.
        sample_rate_hz, lo_hz: of the radios.
    """

    def __init__(self, wf: Waveform, link_id: int, qpsk_frames: int, sample_rate_hz: float, lo_hz: float):
        self.waveform, self.link_id, self.qpsk_frames = wf, link_id, qpsk_frames
        self.sample_rate_hz, self.lo_hz = sample_rate_hz, lo_hz
        edge = wf.edge_carrier * _PERIOD // wf.fft_len
        self._tones = np.array([k for k in range(-edge, edge + 1) if k != 0])
        order = np.arange(len(self._tones))
        spectrum = np.zeros(_PERIOD, complex)
        self._sent = np.exp(1j * np.pi * order**2 / len(self._tones))
        spectrum[self._tones] = self._sent
        period = np.fft.ifft(spectrum, norm="ortho") * np.sqrt(_PERIOD / len(self._tones))
        self._sent = self._sent * np.sqrt(_PERIOD / len(self._tones))
        parts, self.truths, place = [], [], 0
        for number in range(qpsk_frames):
            symbols = qpsk_symbols(qpsk_bits([_SEED, number], _IMAGES, _BUDGET))
            header = Header("data", link_id, FIRST_SEQUENCE + number, budget=_BUDGET, image_count=_IMAGES)
            samples = modulate(wf, header, symbols)
            truth = {"sequence": header.sequence, "budget": _BUDGET, "image_count": _IMAGES, "snr_db": header.snr_db}
            self.truths.append(FrameTruth(place, len(samples), qpsk=[_SEED, number], **truth))
            parts += [samples, np.zeros(GAP_LEN)]
            place += len(samples) + GAP_LEN
        self._tones_at = place
        parts += [np.tile(period, _PERIODS + 2), np.zeros(GAP_LEN)]
        self.samples = np.concatenate(parts).astype(np.complex64)

    def evaluate(self, received: np.ndarray, frames: list[Frame] | None = None) -> Sounding | None:
        """What received samples (complex64) say; None if no QPSK frame is found. frames: found in them already."""
        found = self._own(receive(self.waveform, received, self.sample_rate_hz) if frames is None else frames)
        if not found:
            return None
        bits = wrong = 0
        errors, starts = [], []
        for number, frame in found:
            sent = qpsk_bits([_SEED, number], _IMAGES, _BUDGET)
            bits += sent.size
            wrong += qpsk_errors(sent, frame.symbols)
            errors.append(np.mean(np.abs(frame.symbols - qpsk_symbols(sent)) ** 2))
            starts.append(frame.start_sample - self.truths[number].start_sample)
        cfo_hz = float(np.median([frame.cfo_hz for _, frame in found]))
        start = round(float(np.median(starts)))
        return Sounding(
            frames=len(found),
            snr_db=float(np.mean([frame.snr_db for _, frame in found])),
            evm_db=float(10 * np.log10(np.mean(errors))),
            bits=bits,
            wrong_bits=wrong,
            cfo_hz=cfo_hz,
            start_sample=start,
            **self._multitone(received, start, cfo_hz),
        )

    def _own(self, frames):
        """(number, frame) of the sounder's QPSK frames."""
        shape = (_BUDGET, _IMAGES)
        mine = (frame for frame in frames if frame.header.kind == "data" and frame.header.link_id == self.link_id)
        numbered = ((frame.header.sequence - FIRST_SEQUENCE, frame) for frame in mine)
        return [
            (number, frame)
            for number, frame in numbered
            if 0 <= number < self.qpsk_frames and (frame.header.budget, frame.header.image_count) == shape
        ]

    def _multitone(self, received, start, cfo_hz):
        stretch = 1 + cfo_hz / self.lo_hz  # one crystal: the transmitter's samples are shorter by as much
        first = round(start + self._tones_at / stretch) + _PERIOD
        count = _PERIODS * _PERIOD
        if first < 0 or first + count > len(received):
            return {}
        place = np.arange(first, first + count)
        signal = received[first : first + count] * np.exp(-2j * np.pi * cfo_hz / self.sample_rate_hz * place)
        periods = np.fft.fft(signal.reshape(_PERIODS, _PERIOD), axis=1, norm="ortho")[:, self._tones]
        drift = np.arange(_PERIODS)[:, None] * _PERIOD * (stretch - 1)  # samples by which each period comes early
        periods = periods * np.exp(-2j * np.pi * self._tones * drift / _PERIOD)
        periods = periods * np.exp(-1j * np.angle(np.sum(periods * periods[0].conj(), axis=1, keepdims=True)))
        mean = periods.mean(axis=0)
        noise = np.sum(np.abs(periods - mean) ** 2, axis=0) / (_PERIODS - 1)
        noise_power, power = float(np.mean(noise)), float(np.mean(np.abs(mean) ** 2))
        snr = max(power - noise_power / _PERIODS, 1e-12) / max(noise_power, 1e-12)
        response = mean / self._sent
        grid = np.zeros(_PERIOD, complex)
        grid[self._tones] = response * np.hanning(len(response) + 2)[1:-1]
        profile = np.abs(np.fft.ifft(grid)) ** 2
        profile = np.roll(profile, _PERIOD // 2 - int(profile.argmax()))
        profile[profile < profile.max() / 100] = 0
        delay = np.arange(_PERIOD) / self.sample_rate_hz
        centre = np.sum(profile * delay) / profile.sum()
        spread = float(np.sqrt(np.sum(profile * (delay - centre) ** 2) / profile.sum()))
        tone_gain_db = 10 * np.log10(_PERIOD / len(self._tones))  # a tone's power over that of a data carrier
        return {
            "tone_snr_db": float(10 * np.log10(snr) - tone_gain_db),
            "frequency_hz": self._tones / _PERIOD * self.sample_rate_hz,
            "response": response,
            "delay_spread_s": spread,
        }
