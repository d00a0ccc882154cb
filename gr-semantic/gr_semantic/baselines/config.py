# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a comparison."""

from pydantic import Field, field_validator

from ..checked_settings import CheckedModel
from .air import MEDIA

SNR_DB = tuple(float(snr_db) for snr_db in range(-10, 21, 2))


class BaselinesConfig(CheckedModel):
    """What to compare.

    codec: zoo name or folder. images: labelled image set. teacher: name or file, see semantic_models.teachers.
    picture_codec: zoo name or folder of a DeepJSCC codec; None: none. picture_codec_images: how many of the images it
    is measured on. channels: names of MEDIA. snr_db: average SNRs. words: of each mode at each point. target: accuracy
    that counts as reached. bar_snr_db: where the number of channel uses is held against the bar.
    """

    codec: str
    images: str
    teacher: str
    picture_codec: str | None = None
    picture_codec_images: int = Field(500, ge=4)
    waveform: str = "ofdm64"
    channels: tuple[str, ...] = tuple(MEDIA)
    snr_db: tuple[float, ...] = SNR_DB
    words: int = Field(200, ge=1, le=100_000)
    target: float = Field(0.9, gt=0, lt=1)
    bar_snr_db: float = 10.0
    seed: int = Field(1, ge=0, lt=2**31)
    device: str = "auto"

    @field_validator("channels")
    @classmethod
    def _known_channels(cls, channels):
        for name in channels:
            if name not in MEDIA:
                raise ValueError(f"channel '{name}' is unknown: known are {', '.join(MEDIA)}")
        if not channels:
            raise ValueError("channels: give one or more")
        return tuple(dict.fromkeys(channels))

    @field_validator("snr_db")
    @classmethod
    def _sorted_levels(cls, snr_db):
        if not snr_db:
            raise ValueError("snr_db: give one or more")
        return tuple(sorted(set(snr_db)))
