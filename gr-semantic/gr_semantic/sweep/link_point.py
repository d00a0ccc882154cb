# SPDX-License-Identifier: GPL-3.0-or-later
"""A point with a waveform: `gr-semantic modulate | channel | replay`, the same functions on the same files."""

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..channel import ChannelConfig
from ..errors import UserError
from ..recording.channel_recording import write_through_channel
from ..recording.decoders import Decoder
from ..recording.replay_recording import replay, waveform_of
from ..recording.sigmf_file import Recording
from ..recording.transmit_recording import TransmitConfig, write_transmission
from .offline_point import checked
from .point import Point

_SENT = "sent.sigmf-meta"


@lru_cache(maxsize=2)
def _transmission(config: TransmitConfig) -> tempfile.TemporaryDirectory:
    """A folder with the recording; kept for the points that follow, and deleted with the last reference."""
    folder = tempfile.TemporaryDirectory(prefix="gr-semantic-sweep-")
    write_transmission(config, Path(folder.name) / _SENT)
    return folder


def measure_link(point: Point) -> dict:
    """Returns images, correct, images_found (in frames that arrived), frames_sent, frames_found, frames_false and
    measured_snr_db (mean over the frames found; None: none).
    """
    codec, images = checked(point)
    settings = dict(point.channel_settings)
    settings.pop("interferer_sha256", None)
    channel = ChannelConfig.from_dict({**settings, "snr_db": point.snr_db})
    folder = _transmission(
        TransmitConfig(
            images=point.images,
            snr_db=point.snr_db,
            codec=point.codec,
            waveform=point.waveform,
            budget=point.budget,
            images_per_frame=point.images_per_frame,
            gap=point.gap,
            sample_rate_hz=point.sample_rate_hz,
        )
    )
    with tempfile.TemporaryDirectory(dir=folder.name) as scratch:
        received = Path(scratch) / "received.sigmf-meta"
        with Recording(Path(folder.name) / _SENT) as sent:
            write_through_channel(sent, channel, point.seed, received, point.sample_rate_hz)
        with Recording(received) as recording:
            wf = waveform_of(recording)
            if wf.digest != point.waveform_digest:
                raise UserError(f"waveform {point.waveform} is another one here")
            result = replay(recording, wf, point.sample_rate_hz, Decoder(point.codec, codec))
    measured = [row["snr_db"] for row in result.frames]
    return {
        "images": len(images),
        "correct": result.score.correct,
        "images_found": result.score.images,
        "frames_sent": result.expected,
        "frames_found": result.expected - len(result.lost),
        "frames_false": result.false,
        "measured_snr_db": float(np.mean(measured)) if measured else None,
    }
