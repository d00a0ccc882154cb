# SPDX-License-Identifier: GPL-3.0-or-later
"""Codecs shared by the blocks of one process: loaded once for each folder and device."""

from gr_semantic.errors import UserError
from gr_semantic.paths import codec_folder
from semantic_models import SemanticCodec

DEVICES = ("auto", "cpu", "cuda")
_LOADED = {}


def open_codec(codec, device: str = "auto"):
    """The codec itself if it is one already; else the codec of a folder.

    Args:
        codec: SemanticCodec, or the name of one in the zoo, or a path to its folder.
        device: "auto", "cpu" or "cuda".

    Raises:
        UserError: unknown device, or no path given.
        CodecError: the folder holds no usable codec.
    """
    if hasattr(codec, "budgets"):
        return codec
    if device not in DEVICES:
        raise UserError(f"device is '{device}', expected one of: {', '.join(DEVICES)}")
    if not str(codec).strip():
        raise UserError("codec: no folder given; name one of the zoo, e.g. 'fashion-mnist', or a path")
    key = (str(codec_folder(codec).resolve()), device)
    if key not in _LOADED:
        _LOADED[key] = SemanticCodec.load(key[0], device=device)
    return _LOADED[key]


def exchanged(current, codec, device: str = "auto"):
    """Another codec for a running block.

    Raises:
        UserError: it takes images of another shape than the ``current`` one.
        CodecError, UserError: as ``open_codec``.
    """
    new = open_codec(codec, device)
    if tuple(new.image_shape) != tuple(current.image_shape):
        raise UserError(
            f"codec '{codec}' takes images of {tuple(new.image_shape)}, the running one of {tuple(current.image_shape)}"
        )
    return new
