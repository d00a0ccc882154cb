# SPDX-License-Identifier: GPL-3.0-or-later
"""One point of a sweep: the same images behind a sounder and QPSK frames, in one recording."""

import math
from dataclasses import dataclass

import numpy as np

from gr_semantic.errors import UserError
from gr_semantic.link.exchange import exchange
from gr_semantic.link.image_schedule import ImageSchedule
from gr_semantic.link.ota_config import OtaConfig
from gr_semantic.link.sounder import GAP_LEN, Sounder
from gr_semantic.modem import Header, Waveform, modulate, receive
from gr_semantic.recording.frame_truth import FrameTruth

_BATCH_IMAGES = 1000
_MOST_FRAMES = 0xF000  # beyond, the sounder's numbers begin


@dataclass(frozen=True)
class SweepPoint:
    """What was sent and measured at one attenuation.

    attenuation_db: what the radio really set. used_snr_db, budget: of the encoder, chosen by a sounding just before.
    snr_db, evm_db, ber, cfo_hz, tone_snr_db, delay_spread_s: the sounder's and its QPSK frames', from the recording of
    the images; qpsk_theory: bit errors in white noise at snr_db. frames, frames_received: of images. image_snr_db:
    mean measured on them. accuracy over the received images; offline_accuracy: of the same codec at each frame's
    measured SNR. None: nothing was received.
    """

    attenuation_db: float
    used_snr_db: float
    budget: int
    snr_db: float | None
    evm_db: float | None
    ber: float | None
    qpsk_theory: float | None
    cfo_hz: float | None
    tone_snr_db: float | None
    delay_spread_s: float | None
    frames: int
    frames_received: int
    image_snr_db: float | None
    images: int
    accuracy: float | None
    offline_accuracy: float | None


class Sweep:
    """Measures points over radios that are open.

    Args:
        config: of mode sweep.
        codec, images: SemanticCodec and ImageSet.
        radios: name -> RadioKeeper.
    """

    def __init__(self, config: OtaConfig, codec, images, radios):
        self.config, self.codec, self.images = config, codec, images
        self.sender, self.receiver = radios[config.forward.transmitter], radios[config.forward.receiver]
        self.waveform = Waveform.load(config.waveform)
        sweep, rate_hz, lo_hz = config.sweep, config.sample_rate_hz, config.forward.lo_hz
        self._sounder = Sounder(self.waveform, config.link_id, sweep.qpsk_frames, rate_hz, lo_hz)
        schedule = ImageSchedule(len(images.images), sweep.images_per_frame, config.seed)
        self._frames = [schedule.indices(number) for number in range(-(-sweep.images // sweep.images_per_frame))]
        if len(self._frames) > _MOST_FRAMES:
            raise UserError(f"sweep.images is {sweep.images}: at most {_MOST_FRAMES} frames at a point")
        most = self.waveform.max_payload_symbols * self.waveform.data_count // max(codec.budgets)
        if sweep.images_per_frame > most:
            raise UserError(f"sweep.images_per_frame is {sweep.images_per_frame}, at most {most} fit into a frame")

    def measure(self, attenuation_db: float, stop=lambda: False) -> tuple[SweepPoint, np.ndarray, list[FrameTruth]]:
        """The point, what was received (complex64) and where each frame that was sent lies in it.

        Raises:
            UserError: the radio does not take the attenuation, or is lost.
        """
        self.sender.set_tx_attenuation_db(attenuation_db)
        before = self._sounder.evaluate(exchange(self.sender, self.receiver, self._sounder.samples, stop).samples)
        low_db, high_db = self.codec.snr_range_db
        wanted_db = low_db if before is None else min(max(before.snr_db, low_db), high_db)
        used_db = Header("data", snr_db=wanted_db).snr_db  # as the header carries it
        budget = int(self.codec.choose_budget(used_db))
        signal, truths = self._signal(used_db, budget)
        heard = exchange(self.sender, self.receiver, signal, stop).samples
        frames = receive(self.waveform, heard, self.config.sample_rate_hz)
        sounding = self._sounder.evaluate(heard, frames)
        judged = self._judge(frames, used_db, budget)
        theory = None if sounding is None else 0.5 * math.erfc(math.sqrt(10 ** (sounding.snr_db / 10) / 2))
        fields = ("snr_db", "evm_db", "ber", "cfo_hz", "tone_snr_db", "delay_spread_s")
        point = SweepPoint(
            attenuation_db=self.sender.settings.get("tx_attenuation_db", attenuation_db),
            used_snr_db=used_db,
            budget=budget,
            **{name: None if sounding is None else getattr(sounding, name) for name in fields},
            qpsk_theory=theory,
            frames=len(self._frames),
            **judged,
        )
        start = 0 if sounding is None else sounding.start_sample
        stretch = 1.0 if sounding is None else 1 + sounding.cfo_hz / self.config.forward.lo_hz
        placed = [_moved(truth, start, stretch) for truth in [*self._sounder.truths, *truths]]
        return point, heard, placed if sounding is not None else []

    def _signal(self, used_db, budget):
        """Sounder and all frames of images, and the truth of the latter."""
        parts, truths, place = [self._sounder.samples], [], len(self._sounder.samples)
        symbols = self._encode(used_db, budget)
        labels = self.images.labels
        for number, (indices, values) in enumerate(zip(self._frames, symbols, strict=True)):
            header = Header(
                "data", self.config.link_id, number, used_db, self.codec.model_id16, budget, image_count=len(indices)
            )
            samples = modulate(self.waveform, header, values)
            shared = {name: getattr(header, name) for name in ("sequence", "budget", "image_count", "snr_db")}
            known = None if labels is None else labels[indices].tolist()
            truths.append(FrameTruth(place, len(samples), images=indices.tolist(), labels=known, **shared))
            parts += [samples, np.zeros(GAP_LEN, np.complex64)]
            place += len(samples) + GAP_LEN
        return np.concatenate(parts), truths

    def _encode(self, used_db, budget):
        indices = np.concatenate(self._frames)
        batches = [indices[first : first + _BATCH_IMAGES] for first in range(0, len(indices), _BATCH_IMAGES)]
        symbols = [self.codec.encode(self.images.images[batch], used_db, budget) for batch in batches]
        return np.concatenate(symbols).reshape(len(self._frames), -1, budget)

    def _judge(self, frames, used_db, budget):
        """Which frames of images came, and what their images were taken for."""
        shape = (budget, self.config.sweep.images_per_frame, self.codec.model_id16)
        mine = {}
        for frame in frames:
            header = frame.header
            same = (header.budget, header.image_count, header.model_id16) == shape
            same = same and header.link_id == self.config.link_id and header.kind == "data"
            if same and header.sequence < len(self._frames):
                mine[header.sequence] = frame
        images = right = 0
        expected = 0.0
        for number, frame in sorted(mine.items()):
            classes = self.codec.decode(frame.symbols, frame.noise_var).argmax(axis=1)
            images += len(classes)
            expected += len(classes) * self.codec.reference_accuracy(frame.snr_db, budget)
            if self.images.labels is not None:
                right += int(np.sum(classes == self.images.labels[self._frames[number]]))
        known = images and self.images.labels is not None
        return {
            "frames_received": len(mine),
            "image_snr_db": float(np.mean([frame.snr_db for frame in mine.values()])) if mine else None,
            "images": images,
            "accuracy": right / images if known else None,
            "offline_accuracy": expected / images if images else None,
        }


def _moved(truth, start, stretch):
    fields = vars(truth) | {"start_sample": max(0, round(start + truth.start_sample / stretch))}
    return FrameTruth(**fields)
