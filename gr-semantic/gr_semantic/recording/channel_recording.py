# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording through a simulated channel, chunk by chunk; annotations move with the frames."""

import math
import os

import numpy as np

from ..channel import ChannelConfig
from .namespace import field
from .sigmf_file import Recording, RecordingWriter

_SETTLE = 64  # zeros beyond the channel's own delay that bring the end of the last frame out
_OF_THE_FILE = ("full_scale", "clipped_samples", "status")  # and not of what is in it
_MEASURED = ("measured_snr_db", "cfo_hz", "sro_ppm", "evm_db", "predictions")  # before this channel


def write_through_channel(
    source: Recording, config: ChannelConfig, seed: int, name: str | os.PathLike, sample_rate_hz: float
) -> dict:
    """Write what comes out of the channel; returns samples and non_finite (samples of the source that are NaN or
    infinite; they go through as zeros).

    Raises:
        UserError: a setting that does not fit the sample rate, or a file that cannot be written.
    """
    earlier = source.own.get("channels", [])
    channel = config.build(sample_rate_hz, seed)
    delay = channel.latency_samples + config.delay_samples
    stretch = 1 + config.sro_ppm * 1e-6
    non_finite = 0

    def moved(part):
        start, count = part["core:sample_start"], part.get("core:sample_count")
        new = {key: value for key, value in part.items() if key not in map(field, _MEASURED)}
        new["core:sample_start"] = round((start + delay) * stretch)
        return new if count is None else {**new, "core:sample_count": round(count * stretch)}

    with RecordingWriter(name) as writer:
        for samples in source.chunks():
            if not np.isfinite(samples).all():
                bad = ~np.isfinite(samples)
                non_finite += int(bad.sum())
                samples = np.where(bad, np.complex64(0), samples)
            writer.write(channel.process(samples))
        writer.write(channel.process(np.zeros(math.ceil(delay) + _SETTLE, np.complex64)))
        applied = {"config": config.to_dict(), "seed": seed, "latency_samples": channel.latency_samples}
        own = {key: value for key, value in source.own.items() if key not in _OF_THE_FILE}
        own["channels"] = [*earlier, applied]
        captures = source.metadata["captures"]
        writer.finish(
            sample_rate_hz,
            own,
            [moved(annotation) for annotation in source.metadata["annotations"]],
            [moved(c) if c["core:sample_start"] else {**c, field("channel"): "simulated"} for c in captures],
        )
        return {"samples": writer.sample_count, "non_finite": non_finite}
