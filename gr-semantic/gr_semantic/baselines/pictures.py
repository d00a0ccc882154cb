# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures as WebP or JPEG without anything that the receiver knows already, at several sizes and qualities."""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

QUALITIES = (0, 3, 8, 16, 25, 40, 60, 80)
SHARES = (1.0, 0.75, 0.5, 0.25)  # sides relative to the image's, brought to a multiple of 8: JPEG codes 8 x 8 blocks
_WEBP_TAG, _WEBP_BODY = 20, 30  # where a lossy WebP's frame tag stands, and what follows its start code and size
_TAG_LEN = 3


@dataclass(frozen=True, order=True)
class Profile:
    """form: "webp" or "jpeg". side: of the coded picture, relative to the image. quality: Pillow's, 0..95.

    A profile stands for everything in a file's header; its number travels as one byte before the data.
    """

    form: str
    share: float
    quality: int

    def pack(self, image: np.ndarray) -> bytes:
        """The data of one image (uint8, C x H x W): the file without what `unpack` puts back."""
        picture = _to_picture(image)
        size = self._size(*picture.size)
        if size != picture.size:
            picture = picture.resize(size, Image.LANCZOS)
        return self._strip(self._file(picture))

    def unpack(self, data: bytes, image_shape) -> np.ndarray:
        """The image (uint8, C x H x W) that the data show, enlarged again. Zeros may follow the data.

        Raises:
            OSError, ValueError, SyntaxError: the data are not those of a picture.
        """
        channels, height, width = image_shape
        with Image.open(io.BytesIO(self._whole(data, channels, self._size(width, height)))) as file:
            picture = file.convert("L" if channels == 1 else "RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.BICUBIC)
        return np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        if self.share == 1:
            return width, height
        return tuple(max(8, round(self.share * side / 8) * 8) for side in (width, height))

    def _file(self, picture: Image.Image) -> bytes:
        content = io.BytesIO()
        if self.form == "webp":
            picture.save(content, "WEBP", quality=self.quality, method=6)
        else:
            picture.save(content, "JPEG", quality=max(self.quality, 1))
        return content.getvalue()

    def _strip(self, file: bytes) -> bytes:
        if self.form == "jpeg":
            return file[_scan_start(file) : -2].rstrip(b"\0")
        end = _WEBP_TAG + int.from_bytes(file[16:20], "little")
        return (file[_WEBP_TAG : _WEBP_TAG + _TAG_LEN] + file[_WEBP_BODY:end]).rstrip(b"\0")

    def _whole(self, data: bytes, channels: int, size: tuple[int, int]) -> bytes:
        if self.form == "jpeg":
            return _jpeg_header(self, channels, size) + data + b"\0\0\xff\xd9"
        start = _webp_start(self, channels, size)
        chunk = data[:_TAG_LEN].ljust(_TAG_LEN, b"\0") + start + data[_TAG_LEN:] + b"\0" * (8 + len(data) % 2)
        chunk += b"\0" * (len(chunk) % 2)
        return (
            b"RIFF" + (len(chunk) + 12).to_bytes(4, "little") + b"WEBPVP8 " + len(chunk).to_bytes(4, "little") + chunk
        )


def profiles(image_shape) -> list[Profile]:
    """Every profile for images of this shape; shares that give the same size once."""
    sizes = {}
    for share in SHARES:
        sizes.setdefault(Profile("jpeg", share, 1)._size(image_shape[2], image_shape[1]), share)
    return [
        Profile(form, share, quality) for form in ("webp", "jpeg") for share in sizes.values() for quality in QUALITIES
    ]


def _to_picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def _scan_start(file: bytes) -> int:
    """Where the entropy-coded data of a JPEG file begin: after the segment of marker FF DA."""
    marker = file.index(b"\xff\xda")
    return marker + 2 + int.from_bytes(file[marker + 2 : marker + 4], "big")


def _blank(profile: Profile, channels: int, size: tuple[int, int]) -> bytes:
    return profile._file(Image.new("L" if channels == 1 else "RGB", size))


@lru_cache(maxsize=256)
def _jpeg_header(profile: Profile, channels: int, size: tuple[int, int]) -> bytes:
    """Tables and sizes depend on the profile alone: those of a blank picture."""
    file = _blank(profile, channels, size)
    return file[: _scan_start(file)]


@lru_cache(maxsize=256)
def _webp_start(profile: Profile, channels: int, size: tuple[int, int]) -> bytes:
    return _blank(profile, channels, size)[_WEBP_TAG + _TAG_LEN : _WEBP_BODY]
