# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies between modulator and receiver: frames of payload symbols in, equalised symbols out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..channel.config import ChannelConfig
from ..modem import Header, Waveform, frame_len, modulate, receive

_GAP = 256  # zeros around a frame: echoes end in them, and fades change in them
_BATCH_SAMPLES = 1 << 21
_SEQUENCES = 1 << 16


@dataclass(frozen=True)
class Medium:
    """A channel by name. fields: of ChannelConfig; a fading one draws its gains anew for every frame. Of PLUTOS: of
    VirtualPlutosConfig.
    """

    sample_rate_hz: float
    fields: dict

    def config(self, snr_db: float | None, slot_len: int) -> ChannelConfig:
        fading = {"fading": "block", "fading_block_s": slot_len / self.sample_rate_hz} if self.fades else {}
        return ChannelConfig(snr_db=snr_db, **self.fields, **fading)

    @property
    def fades(self) -> bool:
        return "multipath" in self.fields


PLUTOS = "virtual-plutos"
# Crystals 20 ppm apart, an echo path of a constant power, filters and 12-bit converters; nothing is lost on a busy
# machine: the air waits.
_PLUTOS = {
    "radios": [{"ppm": 10}, {"ppm": -10}],
    "default_path": {"gain_db": -40, "multipath": "tdl-a:100ns", "unit_power": True},
    "patience_s": 10.0,
}
MEDIA = {
    "awgn": Medium(1e6, {}),
    "rayleigh": Medium(1e6, {"multipath": "rayleigh"}),
    # A delay spread of 1.5 samples: selective, with all echoes within the cyclic prefix.
    "tdl-a": Medium(5e6, {"multipath": "tdl-a:300ns"}),
    PLUTOS: Medium(1e6, _PLUTOS),
}


class Air(Protocol):
    """Where samples go: a simulated channel, or a pair of radios."""

    def carry(self, samples: np.ndarray) -> np.ndarray:
        """The next samples of the stream (complex64) -> what the receiver gets of them, later samples later."""


class SimulatedAir:
    """One of MEDIA but PLUTOS at an SNR. slot_len: samples from frame to frame, the time for which a fade lasts."""

    def __init__(self, name: str, snr_db: float, seed: int, slot_len: int):
        medium = MEDIA[name]
        self._channel = medium.config(snr_db, slot_len).build(medium.sample_rate_hz, seed)

    def carry(self, samples: np.ndarray) -> np.ndarray:
        return self._channel.process(samples)


def slot_len(wf: Waveform, images: int, budget: int) -> int:
    """Samples from frame to frame for frames of this payload."""
    return frame_len(wf, _header(images, budget, 0)) + 2 * _GAP


def exchange(
    wf: Waveform, air: Air, payloads: np.ndarray, model_id16: int = 0
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Send payloads (complex64, frames x images x budget), one a frame, and receive what arrives.

    Yields (number of the frame, its symbols, their noise_var), images x budget each, for every frame whose header was
    read right; the others are lost.
    """
    frames, images, budget = payloads.shape
    slot = slot_len(wf, images, budget)
    batch = max(1, _BATCH_SAMPLES // slot)
    for first in range(0, frames, batch):
        numbers = range(first, min(first + batch, frames))
        sent = np.zeros((len(numbers), slot), np.complex64)
        for row, number in zip(sent, numbers, strict=True):
            samples = modulate(wf, _header(images, budget, number, model_id16), payloads[number])
            row[_GAP : _GAP + len(samples)] = samples
        for frame in receive(wf, air.carry(sent.reshape(-1))):
            number = first + (frame.header.sequence - first) % _SEQUENCES
            if number in numbers and frame.header == _header(images, budget, number, model_id16):
                yield number, frame.symbols, frame.noise_var


def _header(images: int, budget: int, number: int, model_id16: int = 0) -> Header:
    return Header(
        "data", sequence=number % _SEQUENCES, model_id16=model_id16, budget=budget, image_count=images, snr_db=0.0
    )
