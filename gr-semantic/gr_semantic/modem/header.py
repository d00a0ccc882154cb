# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame header: 72 bits of fields and a CRC-24, coded to 288 bits. Bit layout in docs/waveform.md."""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from . import crc, fec

VERSION = 1
KINDS = {"data": 0, "feedback": 1}
_KIND_NAMES = {code: name for name, code in KINDS.items()}
# (field, bits) in the order of transmission, most significant bit first.
_COMMON = (("version", 4), ("kind", 4), ("link_id", 8), ("sequence", 16))
_BODY = {
    "data": (("model_id16", 16), ("budget", 8), ("image_count", 8), ("snr_code", 8)),
    "feedback": (("snr_code", 8), ("acked_sequence", 16), ("received", 8), ("lost", 8)),
}
INFO_BITS = 72
SNR_MIN_DB, SNR_STEP_DB = -16.0, 0.25


@dataclass(frozen=True)
class Header:
    """What a frame says of itself.

    kind "data": model_id16 (16 bits of the codec's hash), budget (symbols an image, 1..256), image_count (1..256),
    snr_db (the SNR that the images were encoded for). kind "feedback": snr_db (measured), acked_sequence (the frame
    that it was measured on), received and lost (data frames since the start, modulo 256). snr_db travels in steps of
    0.25 dB from -16 to 47.75 dB, clipped. link_id 0..255, sequence modulo 2**16.
    """

    kind: str
    link_id: int = 0
    sequence: int = 0
    snr_db: float = 0.0
    model_id16: int = 0
    budget: int = 1
    image_count: int = 1
    acked_sequence: int = 0
    received: int = 0
    lost: int = 0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UserError(f"header: kind '{self.kind}' is not one of {', '.join(KINDS)}")
        limits = {
            "link_id": 255,
            "sequence": 65535,
            "model_id16": 65535,
            "acked_sequence": 65535,
            "received": 255,
            "lost": 255,
        }
        for field, high in limits.items():
            if not 0 <= getattr(self, field) <= high:
                raise UserError(f"header: {field} = {getattr(self, field)} is outside 0..{high}")
        for field in ("budget", "image_count"):
            if not 1 <= getattr(self, field) <= 256:
                raise UserError(f"header: {field} = {getattr(self, field)} is outside 1..256")
        if not np.isfinite(self.snr_db):
            raise UserError(f"header: snr_db = {self.snr_db} is not a number")
        code = min(max(round((self.snr_db - SNR_MIN_DB) / SNR_STEP_DB), 0), 255)
        object.__setattr__(self, "snr_db", SNR_MIN_DB + SNR_STEP_DB * code)  # what the other end will read

    @property
    def value_count(self) -> int:
        """Complex payload values of this frame."""
        return self.budget * self.image_count if self.kind == "data" else 0

    def to_bits(self) -> np.ndarray:
        """96 bits (uint8): fields and CRC-24."""
        values = {
            **vars(self),
            "version": VERSION,
            "kind": KINDS[self.kind],
            "snr_code": round((self.snr_db - SNR_MIN_DB) / SNR_STEP_DB),
            "budget": self.budget - 1,
            "image_count": self.image_count - 1,
        }
        text = "".join(f"{values[field]:0{width}b}" for field, width in _COMMON + _BODY[self.kind])
        info = np.array(list(text), dtype=np.uint8)
        return np.concatenate([info, crc.crc24(info)])

    @classmethod
    def from_bits(cls, bits: np.ndarray) -> "Header | None":
        """The header of 96 bits, or None where the CRC, the version or the kind is not one of ours."""
        return cls._from_info(bits[:INFO_BITS]) if _crc_is_right(bits) else None

    @classmethod
    def _from_info(cls, info: np.ndarray) -> "Header | None":
        word = int.from_bytes(np.packbits(info).tobytes(), "big")
        left = INFO_BITS

        def take(fields):
            nonlocal left
            values = {}
            for field, width in fields:
                left -= width
                values[field] = word >> left & (1 << width) - 1
            return values

        common = take(_COMMON)
        kind = _KIND_NAMES.get(common.pop("kind"))
        if common.pop("version") != VERSION or kind is None:
            return None
        body = take(_BODY[kind])
        snr_db = SNR_MIN_DB + SNR_STEP_DB * body.pop("snr_code")
        for field in ("budget", "image_count"):
            if field in body:
                body[field] += 1
        return cls(kind=kind, snr_db=snr_db, **common, **body)


def _crc_is_right(words: np.ndarray) -> np.ndarray:
    return np.all(crc.crc24(words[..., :INFO_BITS]) == words[..., INFO_BITS:], axis=-1)


def decode_headers(metrics: np.ndarray) -> tuple[list[Header | None], np.ndarray]:
    """Headers of soft values (words x 288, positive = bit 0, any scale each), None where there is none; and their bits.

    The bits (uint8, words x 96) are what the headers were read from.
    """
    words = fec.invert((metrics < 0).view(np.uint8))
    good = _crc_is_right(words)
    for i in np.flatnonzero(~good):  # the channel was not that good: decode
        words[i] = fec.viterbi(metrics[i])
        good[i] = _crc_is_right(words[i])
    return [
        Header._from_info(word[:INFO_BITS]) if right else None for word, right in zip(words, good, strict=True)
    ], words
