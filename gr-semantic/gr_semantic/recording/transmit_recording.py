# SPDX-License-Identifier: GPL-3.0-or-later
"""Images, or QPSK for bit error rates, to a recording of frames with the truth beside it."""

import os
from collections.abc import Iterator

import numpy as np
from pydantic import Field

from ..checked_settings import CheckedModel
from ..errors import UserError
from ..modem import Header, Waveform, modulate
from ..modem.peaks import PeakMeter
from .frame_truth import FrameTruth, qpsk_bits, qpsk_symbols
from .sigmf_file import RecordingWriter

_QPSK_FRAMES, _QPSK_BUDGET = 100, 16


class TransmitConfig(CheckedModel):
    """What to send.

    images: what semantic_models.load_images reads. qpsk: a seeded QPSK payload instead of the images' features.
    snr_db: what the images are encoded for. budget: symbols an image; None: the rate policy's choice (QPSK: 16).
    frames: None: each image once (QPSK: 100); the images begin again where more are asked for. gap: zeros before,
    between and after the frames. papr_limit_db: peaks of header and payload are limited to about this; None: they are
    not.
    """

    images: str = "fashion-mnist:test[0:256]"
    qpsk: bool = False
    snr_db: float = Field(10.0, ge=-60, le=80)
    codec: str = "fashion-mnist"
    waveform: str = "ofdm64"
    budget: int | None = Field(None, ge=1, le=256)
    images_per_frame: int = Field(48, ge=1, le=256)
    gap: int = Field(1000, ge=0, le=10**9)
    frames: int | None = Field(None, ge=1, le=10**7)
    seed: int = Field(1, ge=0, lt=2**31)
    link_id: int = Field(0, ge=0, le=255)
    sample_rate_hz: float = Field(1e6, ge=1, le=1e12)
    papr_limit_db: float | None = Field(None, ge=2, le=12)


def write_transmission(config: TransmitConfig, name: str | os.PathLike) -> dict:
    """Write the recording; returns frames, images, samples, budget and papr_db (peak over mean power of the frames).

    Raises:
        UserError, CodecError: wrong input.
    """
    wf = Waveform.load(config.waveform)
    budget, own, payloads = _qpsk(config) if config.qpsk else _features(config)
    fits = wf.max_payload_symbols * wf.data_count // budget
    if config.images_per_frame > fits:
        raise UserError(
            f"{config.images_per_frame} images of {budget} symbols do not fit into a frame of {wf.name}: "
            f"at most {fits} do (--images-per-frame, --budget)"
        )
    silence = np.zeros(config.gap, np.complex64)
    annotations, images, meter = [], 0, PeakMeter()
    with RecordingWriter(name) as writer:
        writer.write(silence)
        for number, (header, symbols, truth) in enumerate(payloads):
            samples = modulate(wf, header, symbols, config.papr_limit_db)
            place = {"start_sample": writer.sample_count, "sample_count": len(samples)}
            shared = {key: getattr(header, key) for key in ("sequence", "budget", "image_count", "snr_db")}
            annotations.append(FrameTruth(**place, **shared, **truth(number)).to_annotation())
            writer.write(samples)
            writer.write(silence)
            meter.add(samples)
            images += header.image_count
        own |= {"waveform": wf.model_dump(), "link_id": config.link_id, "papr_db": meter.papr_db}
        own |= {"papr_limit_db": config.papr_limit_db, "waveform_rate_hz": config.sample_rate_hz}
        writer.finish(config.sample_rate_hz, own, annotations)
        return {
            "frames": len(annotations),
            "images": images,
            "samples": writer.sample_count,
            "budget": budget,
            "papr_db": meter.papr_db,
        }


def _header(config: TransmitConfig, number: int, budget: int, count: int, model_id16: int = 0) -> Header:
    return Header(
        "data",
        link_id=config.link_id,
        sequence=number % 65536,
        snr_db=config.snr_db,
        model_id16=model_id16,
        budget=budget,
        image_count=count,
    )


def _qpsk(config: TransmitConfig) -> tuple[int, dict, Iterator]:
    budget, count = config.budget or _QPSK_BUDGET, config.images_per_frame

    def payloads():
        for number in range(config.frames or _QPSK_FRAMES):
            symbols = qpsk_symbols(qpsk_bits([config.seed, number], count, budget))
            yield _header(config, number, budget, count), symbols, lambda n: {"qpsk": [config.seed, n]}

    return budget, {"payload": "qpsk", "seed": config.seed}, payloads()


def _features(config: TransmitConfig) -> tuple[int, dict, Iterator]:
    from semantic_models import SemanticCodec, load_images

    from ..paths import codec_folder

    codec = SemanticCodec.load(codec_folder(config.codec))
    images = load_images(config.images, like=codec)
    budget = config.budget or codec.choose_budget(config.snr_db)

    def payloads():
        per_frame = config.images_per_frame
        for number in range(config.frames or -(-len(images) // per_frame)):
            chosen = number * per_frame + np.arange(per_frame)
            chosen = chosen[chosen < len(images)] if config.frames is None else chosen % len(images)
            header = _header(config, number, budget, len(chosen), codec.model_id16)
            truth = {"images": chosen.tolist()}
            if images.labels is not None:
                truth["labels"] = images.labels[chosen].tolist()
            # The header's SNR, not the option's: it travels in steps, and both ends should mean the same.
            yield header, codec.encode(images.images[chosen], header.snr_db, budget), lambda n, truth=truth: truth

    own = {
        "payload": "features",
        "codec": config.codec,
        "model_id": codec.model_id,
        "images": images.name,
        "images_sha256": images.content_hash,
    }
    return budget, own, payloads()
