# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed loop's work as plain function calls, one after the other in one thread: no GNU Radio, no rate control."""

import time
from collections import defaultdict

import numpy as np

from ..link.config import LoopConfig
from ..modem import Header, StreamReceiver, Waveform, modulate

SNR_DB = 10.0
STAGES = ("encode", "modulate", "channel", "receive", "decode", "feedback frame")


def loop_config(codec: str, waveform: str, images_per_frame: int, slots: int) -> LoopConfig:
    """Of a loop at SNR_DB over so many slots."""
    return LoopConfig(
        codec=codec,
        waveform=waveform,
        images_per_frame=images_per_frame,
        seconds=slots * LoopConfig().slot_s,
        trajectory=((0.0, SNR_DB),),
    )


class PlainLoop:
    """Slots of a loop with a fixed profile. spent_s: processor time of each of STAGES so far.

    Args:
        config: the loop's settings; its channels at this SNR.
        codec, images: SemanticCodec, ImageSet.
    """

    def __init__(self, config: LoopConfig, codec, images, snr_db: float, budget: int):
        self._config, self._codec, self._images = config, codec, images
        self._snr_db, self._budget = snr_db, budget
        self._wf = Waveform.load(config.waveform)
        rate_hz = config.sample_rate_hz
        self._forward = _channel(config.forward, snr_db, rate_hz, config.seed)
        self._reverse = _channel(config.reverse, snr_db, rate_hz, config.seed + 1)
        self._receiver, self._report_receiver = (StreamReceiver(self._wf, rate_hz) for _ in range(2))
        self._slot = 0
        self.spent_s: dict[str, float] = defaultdict(float)
        self.frames = self.reports = self.correct = self.decoded = 0

    def run(self, slots: int) -> None:
        for _ in range(slots):
            self._step()

    def _step(self):
        per_frame, number = self._config.images_per_frame, self._slot
        chosen = (number * per_frame + np.arange(per_frame)) % len(self._images)
        common = {"link_id": self._config.link_id, "sequence": number % 65536, "snr_db": self._snr_db}
        clock = _Clock(self.spent_s)
        symbols = self._codec.encode(self._images.images[chosen], self._snr_db, self._budget)
        clock.lap("encode")
        header = Header("data", model_id16=self._codec.model_id16, budget=self._budget, image_count=per_frame, **common)
        samples = self._in_slot(modulate(self._wf, header, symbols))
        clock.lap("modulate")
        samples = self._forward.process(samples)
        clock.lap("channel")
        frames = self._receiver.push(samples)
        clock.lap("receive")
        for frame in frames:
            first = frame.header.sequence * per_frame
            classes = self._codec.decode(frame.symbols, frame.noise_var).argmax(axis=1)
            truth = self._images.labels[(first + np.arange(per_frame)) % len(self._images)]
            self.decoded += per_frame
            self.correct += int((classes == truth).sum())
        clock.lap("decode")
        report = self._in_slot(modulate(self._wf, Header("feedback", acked_sequence=number % 65536, **common), None))
        self.reports += len(self._report_receiver.push(self._reverse.process(report)))
        clock.lap("feedback frame")
        self.frames += len(frames)
        self._slot += 1

    def _in_slot(self, frame):
        samples = np.zeros(self._config.slot_len, np.complex64)
        samples[: len(frame)] = frame
        return samples


class _Clock:
    def __init__(self, spent_s):
        self._spent_s, self._last_s = spent_s, time.process_time()

    def lap(self, stage):
        now_s = time.process_time()
        self._spent_s[stage] += now_s - self._last_s
        self._last_s = now_s


def _channel(fields, snr_db, rate_hz, seed):
    from ..channel import ChannelConfig

    return ChannelConfig.from_dict({**fields, "snr_db": snr_db}).build(rate_hz, seed)
