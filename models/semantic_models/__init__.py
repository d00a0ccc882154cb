# SPDX-License-Identifier: GPL-3.0-or-later
"""Learning: teachers, knowledge store, students, and SemanticCodec, the only part that the radio side uses."""

from .codec import SemanticCodec
from .data import ImageSet, load_images
from .errors import CodecError

__all__ = ["CodecError", "ImageSet", "SemanticCodec", "load_images"]
