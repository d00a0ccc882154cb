# SPDX-License-Identifier: GPL-3.0-or-later
"""Images stay on the Python side: messages carry the name of a set and indices into it."""

from gr_semantic.errors import UserError
from semantic_models import load_images

_SETS = {}


def register_images(images, like=None) -> str:
    """Make an image set known to all blocks of this process; returns its name.

    Args:
        images: ImageSet, or what ``semantic_models.load_images`` reads ("fashion-mnist:test[0:256]", a folder).
        like: codec to whose image shape a folder's images are resized.
    """
    if isinstance(images, str):
        known = _SETS.get(images)
        if known is None or (like is not None and known.images.shape[1:] != tuple(like.image_shape)):
            _SETS[images] = load_images(images, like=like)
        return images
    _SETS[images.name] = images
    return images.name


def find_images(name: str):
    """The registered ImageSet of that name.

    Raises:
        UserError: no such set.
    """
    if name not in _SETS:
        raise UserError(f"image set '{name}' is not registered in this process; known: {sorted(_SETS) or 'none'}")
    return _SETS[name]
