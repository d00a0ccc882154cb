# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic replay` beside real time and beside GNU Radio's own receiver."""

import tempfile
import time
from pathlib import Path

from ..channel import ChannelConfig
from ..link.config import FORWARD_CHANNEL, LoopConfig
from ..modem import Header, Waveform, frame_len
from ..recording.channel_recording import write_through_channel
from ..recording.decoders import Decoder
from ..recording.replay_recording import replay, waveform_of
from ..recording.sigmf_file import Recording
from ..recording.transmit_recording import TransmitConfig, write_transmission
from . import stock_ofdm

IMAGES_PER_FRAME = (1, 48)
BUDGET = 8
SNR_DB = 10.0


def measure(codec, name: str, images: str, seconds: float, waveform: str = "ofdm64") -> list[dict]:
    """Rows {images_per_frame, seconds, frames, accuracy, wall_s, real_time, processor_s, msps, stock_msps, ratio}.

    A recording at 1 Msps as the closed loop sends: a frame every 20.48 ms, through the loop's forward channel at 10 dB.
    wall_s: open it (which checks its hash), find, measure and decode all frames, compare with the truth. msps, and
    stock_msps of digital.ofdm_rx on dense frames of its own (it decodes no images): of one core's time.
    """
    wf, rate_hz, slot_len = Waveform.load(waveform), 1e6, LoopConfig().slot_len
    samples = stock_ofdm.frames(400, 10)
    stock_msps = len(samples) / 1e6 / min(stock_ofdm.receive(samples)[1] for _ in range(3))
    rows = []
    for per_frame in IMAGES_PER_FRAME:
        length = frame_len(wf, Header("data", budget=BUDGET, image_count=per_frame))
        frames = round(seconds * rate_hz / slot_len)
        config = TransmitConfig(
            images=images,
            codec=name,
            waveform=waveform,
            budget=BUDGET,
            images_per_frame=per_frame,
            frames=frames,
            gap=slot_len - length,
        )
        with tempfile.TemporaryDirectory(prefix="gr-semantic-bench-") as folder:
            sent, received = (Path(folder) / f"{part}.sigmf-meta" for part in ("sent", "received"))
            write_transmission(config, sent)
            with Recording(sent) as recording:
                channel = ChannelConfig.from_dict({**FORWARD_CHANNEL, "snr_db": SNR_DB})
                write_through_channel(recording, channel, 1, received, rate_hz)
            began, processor = time.perf_counter(), time.process_time()
            with Recording(received) as recording:
                result = replay(recording, waveform_of(recording), rate_hz, Decoder(name, codec))
                count = recording.sample_count
            wall_s, spent_s = time.perf_counter() - began, time.process_time() - processor
        rows.append(
            {
                "images_per_frame": per_frame,
                "seconds": count / rate_hz,
                "frames": f"{result.found}/{result.expected}",
                "accuracy": result.score.accuracy,
                "wall_s": wall_s,
                "real_time": count / rate_hz / wall_s,
                "processor_s": spent_s,
                "msps": count / 1e6 / spent_s,
                "stock_msps": stock_msps,
                "ratio": count / 1e6 / spent_s / stock_msps,
            }
        )
    return rows
