# SPDX-License-Identifier: GPL-3.0-or-later
"""A point without a waveform: every image's symbols over a formula, as `gr-semantic evaluate` does it."""

from functools import lru_cache

from ..errors import UserError
from ..paths import codec_folder
from .point import Point


@lru_cache(maxsize=4)
def loaded(codec: str, images: str):
    """Codec and image set; kept for the points that follow."""
    from semantic_models import SemanticCodec, load_images

    found = SemanticCodec.load(codec_folder(codec), "cpu")
    return found, load_images(images, like=found)


def checked(point: Point):
    """Codec and image set of a point. UserError if this machine has others under their names."""
    codec, images = loaded(point.codec, point.images)
    if codec.model_id != point.model_id:
        raise UserError(f"codec {point.codec} is model {codec.model_id[:12]} here, expected {point.model_id[:12]}")
    if images.content_hash != point.images_sha256:
        raise UserError(f"images {point.images} have other content here")
    return codec, images


@lru_cache(maxsize=4)
def _features(codec: str, images: str):
    from semantic_models.evaluate import features_of

    found, image_set = loaded(codec, images)
    return features_of(found.model, image_set.images)


def measure_offline(point: Point) -> dict:
    """Returns images and correct (right decisions)."""
    from semantic_models.evaluate import accuracy_at

    codec, images = checked(point)
    features = _features(point.codec, point.images)
    accuracy = accuracy_at(
        codec.model,
        features,
        images.labels,
        point.snr_db,
        point.budget,
        codec.snr_range_db,
        point.seed,
        point.channel_settings["kind"],
    )
    return {"images": len(images), "correct": round(accuracy * len(images))}
