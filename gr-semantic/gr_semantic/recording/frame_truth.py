# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transmitter knows of a frame, as a SigMF annotation, and frames that were found matched to it."""

from dataclasses import asdict, dataclass, fields

import numpy as np

from ..errors import UserError
from ..modem import Frame, Waveform
from .sigmf_file import field, own_fields


@dataclass(frozen=True)
class FrameTruth:
    """One frame as it was sent.

    start_sample, sample_count: where it lies in the recording. sequence, budget, image_count, snr_db: its header's.
    images, labels: indices into the image set and true classes, or None. qpsk: (seed, frame number), from which
    `qpsk_bits` makes the payload, or None.
    """

    start_sample: int
    sample_count: int
    sequence: int
    budget: int
    image_count: int
    snr_db: float
    images: list[int] | None = None
    labels: list[int] | None = None
    qpsk: list[int] | None = None

    def to_annotation(self) -> dict:
        """The SigMF annotation; `from_annotation` reads it."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return {
            "core:sample_start": own.pop("start_sample"),
            "core:sample_count": own.pop("sample_count"),
            "core:label": f"frame {self.sequence}",
            **{field(name): value for name, value in own.items()},
        }

    @classmethod
    def from_annotation(cls, annotation: dict) -> "FrameTruth | None":
        """The frame of an annotation, or None if it is not about a frame of ours.

        Raises:
            UserError: a field is missing or of the wrong type.
        """
        own = own_fields(annotation)
        if "sequence" not in own:
            return None
        known = {item.name for item in fields(cls)}
        try:
            truth = cls(
                start_sample=annotation["core:sample_start"],
                sample_count=annotation.get("core:sample_count", 0),
                **{name: value for name, value in own.items() if name in known},
            )
            whole = [truth.sequence, truth.budget, truth.image_count, *(truth.images or []), *(truth.labels or [])]
            whole += truth.qpsk or []
            right = all(isinstance(value, int) and value >= 0 for value in whole)
            right &= truth.labels is None or len(truth.labels) == truth.image_count
            right &= truth.qpsk is None or len(truth.qpsk) == 2
        except TypeError:
            right = False
        if not right:
            where = annotation["core:sample_start"]
            raise UserError(f"the annotation at sample {where} does not describe a frame: field missing or wrong")
        return truth


def qpsk_bits(qpsk: list[int], image_count: int, budget: int) -> np.ndarray:
    """The bits (bool, image_count x budget x 2) of a frame whose payload is QPSK instead of features."""
    return np.random.default_rng(qpsk).integers(0, 2, (image_count, budget, 2), dtype=np.uint8).astype(bool)


def qpsk_symbols(bits: np.ndarray) -> np.ndarray:
    """Bits (... x 2) to unit-power QPSK (complex64, ...): bit 0 is positive; the first is the real part's."""
    signs = 1 - 2 * bits.astype(np.float32)
    return ((signs[..., 0] + 1j * signs[..., 1]) * np.sqrt(0.5)).astype(np.complex64)


def qpsk_errors(bits: np.ndarray, symbols: np.ndarray) -> int:
    """Wrong bits after hard decision."""
    return int(((symbols.real < 0) != bits[..., 0]).sum() + ((symbols.imag < 0) != bits[..., 1]).sum())


class TruthTable:
    """The frames that a recording should hold; each is matched once.

    A found frame matches if its header is the one sent and it starts within one OFDM symbol of where it should.
    """

    def __init__(self, wf: Waveform, annotations: list[dict]):
        truths = [FrameTruth.from_annotation(annotation) for annotation in annotations]
        self._open: dict[int, list[FrameTruth]] = {}
        for truth in filter(None, truths):
            self._open.setdefault(truth.sequence, []).append(truth)
        self._tolerance = wf.symbol_len
        self.expected = sum(len(frames) for frames in self._open.values())

    def match(self, frame: Frame) -> FrameTruth | None:
        """The truth of a found frame, or None: it is false."""
        header = frame.header
        if header.kind != "data":
            return None
        waiting = self._open.get(header.sequence, [])
        for truth in waiting:
            same = (truth.budget, truth.image_count) == (header.budget, header.image_count)
            if same and abs(truth.start_sample - frame.start_sample) <= self._tolerance:
                waiting.remove(truth)
                return truth
        return None

    @property
    def lost(self) -> list[FrameTruth]:
        """Frames that have not been matched, in the order of the air."""
        left = [truth for frames in self._open.values() for truth in frames]
        return sorted(left, key=lambda truth: truth.start_sample)
