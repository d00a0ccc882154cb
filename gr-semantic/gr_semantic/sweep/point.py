# SPDX-License-Identifier: GPL-3.0-or-later
"""A point of a sweep: all that its result depends on beside the code, and the key that it is known by."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_LEARNING = Path(find_spec("semantic_models").origin).parent  # not imported: it would bring torch
_RADIO = Path(__file__).resolve().parents[1]
_SOURCES = (
    *(_RADIO / "modem").glob("*.py"),
    *(_RADIO / "channel").glob("*.py"),
    *(_RADIO / "recording" / f"{name}.py" for name in ("transmit_recording", "channel_recording", "replay_recording")),
    *(_RADIO / "sweep" / f"{name}.py" for name in ("measure", "link_point", "offline_point")),
    *(_LEARNING / f"{name}.py" for name in ("codec", "student", "channel_adaptive", "channels", "evaluate")),
)
_NAMES = ("codec", "images", "channel", "waveform")  # what things are called; the key has what they are


@dataclass(frozen=True)
class Point:
    """Settings of one point, JSON-ready.

    codec, images, waveform: names as a worker finds them; model_id, images_sha256, waveform_digest: what they are.
    waveform: None: the codec by itself, symbols over a formula. channel: its name; channel_settings: fields of
    ChannelConfig without snr_db (waveform), or {"kind": one of semantic_models' channels}. images_per_frame, gap,
    sample_rate_hz: of the frames, None without a waveform.
    """

    codec: str
    model_id: str
    images: str
    images_sha256: str
    channel: str
    channel_settings: dict
    snr_db: float
    budget: int
    seed: int
    waveform: str | None = None
    waveform_digest: str | None = None
    images_per_frame: int | None = None
    gap: int | None = None
    sample_rate_hz: float | None = None

    @property
    def key(self) -> str:
        """32 hex digits of a hash of the settings. Names do not count: a codec may move."""
        settings = {name: value for name, value in asdict(self).items() if name not in _NAMES}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def transmission(self) -> tuple:
        """What is the same for all points that send the same symbols."""
        return (self.codec, self.images, self.waveform, self.images_per_frame, self.gap, self.snr_db, self.budget)

    def __str__(self):
        where = self.waveform or "offline"
        return f"{self.codec} {where} {self.channel} {self.snr_db:g} dB {self.budget} symbols seed {self.seed}"


@cache
def code_digest() -> str:
    """16 hex digits of a hash over the sources that a result depends on."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
