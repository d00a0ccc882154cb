# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transmitter knows of a frame, as a SigMF annotation, and frames that were found matched to it."""

from dataclasses import asdict, dataclass, fields

import numpy as np

from ..errors import UserError
from ..modem import Frame, Waveform
from .namespace import field, own_fields


@dataclass(frozen=True)
class FrameTruth:
    """One frame as it was sent, and what the run that made the recording measured of it.

    start_sample, sample_count: where it lies in the recording. sequence, budget, image_count, snr_db, kind: its
    header's. images, labels: indices into the image set and true classes, or None. qpsk: (seed, frame number), from
    which `qpsk_bits` makes the payload, or None. measured_snr_db, cfo_hz, sro_ppm, evm_db, predictions: the run's, or
    None.
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
    kind: str = "data"
    measured_snr_db: float | None = None
    cfo_hz: float | None = None
    sro_ppm: float | None = None
    evm_db: float | None = None
    predictions: list[int] | None = None

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
            UserError: a field is missing, or a list has not one entry an image. Types have been checked on reading.
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
            right = all(part is None or len(part) == truth.image_count for part in (truth.images, truth.labels))
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
    samples_per_sample: the recording's sample rate over the waveform's.
    """

    def __init__(self, wf: Waveform, annotations: list[dict], samples_per_sample: float = 1.0):
        truths = [FrameTruth.from_annotation(annotation) for annotation in annotations]
        self._open: dict[tuple[str, int], list[FrameTruth]] = {}
        for truth in filter(None, truths):
            self._open.setdefault((truth.kind, truth.sequence), []).append(truth)
        self._tolerance = wf.symbol_len * samples_per_sample
        self.expected = sum(len(frames) for frames in self._open.values())

    def match(self, frame: Frame) -> FrameTruth | None:
        """The truth of a found frame (start_sample: in the recording), or None: it is false."""
        header = frame.header
        waiting = self._open.get((header.kind, header.sequence), [])
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
