# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording through the receiver and the decoder, against the truth where there is one.

Samples are read chunk by chunk and symbols are decoded batch by batch: memory does not grow with the samples.
"""

from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from pydantic import ValidationError

from ..errors import UserError
from ..modem import Frame, StreamReceiver, Waveform
from ..modem.stream import BULK_CHUNK
from .frame_truth import TruthTable, qpsk_bits, qpsk_errors
from .sigmf_file import Recording

_BATCH_IMAGES = 1024


@dataclass
class Replay:
    """What was found.

    frames: one dict a frame, in the order of the air: sequence, start_sample, snr_db, cfo_hz, sro_ppm, evm_db,
    predictions (classes, or None). expected, false: None without truth. lost: sequences of frames not found.
    images, correct: decoded images with known labels; bits, wrong_bits: of QPSK payloads. non_finite: samples that are
    NaN or infinite, which count as zeros.
    """

    expected: int | None
    frames: list[dict] = field(default_factory=list)
    false: int | None = None
    lost: list[int] = field(default_factory=list)
    images: int = 0
    correct: int = 0
    bits: int = 0
    wrong_bits: int = 0
    non_finite: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of the decoded images whose class is right; lost frames do not count."""
        return self.correct / self.images if self.images else None

    @property
    def ber(self) -> float | None:
        """Share of wrong bits in the QPSK frames that were found."""
        return self.wrong_bits / self.bits if self.bits else None

    def to_json(self) -> dict:
        return {
            "frames_expected": self.expected,
            "frames_found": len(self.frames),
            "frames_false": self.false,
            "accuracy": self.accuracy,
            "ber": self.ber,
            "frames": self.frames,
        }


def waveform_of(recording: Recording, name: str | None = None) -> Waveform:
    """The waveform that a recording was made with, or the one that is named.

    Raises:
        UserError: there is neither, or the recording's is not valid.
    """
    if name is not None:
        return Waveform.load(name)
    stored = recording.own.get("waveform")
    if not isinstance(stored, dict):
        raise UserError(f"{recording.name}: does not say which waveform it holds: give --waveform")
    try:
        return Waveform(**stored)
    except (ValidationError, TypeError) as error:
        raise UserError(f"{recording.name}: its waveform is not valid ({str(error).splitlines()[0]})") from None


def codec_of(recording: Recording, name: str | None = None, device: str = "auto"):
    """The codec that a recording was made with, or the one that is named; None if there is neither.

    Raises:
        UserError, CodecError: it cannot be loaded, or is not the one that encoded the recording.
    """
    chosen = name if name is not None else recording.own.get("codec")
    if chosen is None:
        return None
    if not isinstance(chosen, str):
        raise UserError(f"{recording.name}: gr_semantic:codec is {chosen!r}, expected a name: give --codec")
    from semantic_models import SemanticCodec

    from ..paths import codec_folder

    codec = SemanticCodec.load(codec_folder(chosen), device)
    model_id = recording.own.get("model_id", codec.model_id)
    if model_id != codec.model_id:
        raise UserError(
            f"{recording.name}: was encoded by model {str(model_id)[:12]}, codec {chosen} is {codec.model_id[:12]}: "
            "give --codec"
        )
    return codec


def replay(recording: Recording, wf: Waveform, sample_rate_hz: float, codec=None) -> Replay:
    """Find, measure and decode all frames of a recording.

    codec: SemanticCodec, or None: nothing is predicted. Frames of another model have no predictions.

    Raises:
        UserError: an annotation of ours does not describe a frame.
    """
    try:
        table = TruthTable(wf, recording.metadata["annotations"])
    except UserError as error:
        raise UserError(f"{recording.name}: {error}") from None
    result = Replay(expected=table.expected or None, false=0 if table.expected else None)
    receiver = StreamReceiver(wf, sample_rate_hz, BULK_CHUNK)
    waiting: list[tuple[Frame, dict, list[int] | None]] = []

    def take(frames: list[Frame]) -> None:
        for frame in frames:
            truth = table.match(frame)
            if truth is None and table.expected:
                result.false += 1
            if truth is not None and truth.qpsk is not None:
                bits = qpsk_bits(truth.qpsk, truth.image_count, truth.budget)
                result.bits += bits.size
                result.wrong_bits += qpsk_errors(bits, frame.symbols)
            row = {
                "sequence": frame.header.sequence,
                "start_sample": int(frame.start_sample),
                **{key: float(getattr(frame, key)) for key in ("snr_db", "cfo_hz", "sro_ppm", "evm_db")},
                "predictions": None,
            }
            result.frames.append(row)
            if _can_decode(codec, frame):
                waiting.append((frame, row, truth.labels if truth else None))

    for samples in recording.chunks():
        result.non_finite += int(np.count_nonzero(~np.isfinite(samples)))
        take(receiver.push(samples))
        if sum(frame.header.image_count for frame, _, _ in waiting) >= _BATCH_IMAGES:
            _decode(codec, waiting, result)
    take(receiver.flush())
    _decode(codec, waiting, result)
    result.lost = [truth.sequence for truth in table.lost]
    return result


def _can_decode(codec, frame: Frame) -> bool:
    header = frame.header
    return (
        codec is not None
        and header.kind == "data"
        and header.model_id16 == codec.model_id16
        and header.budget in codec.budgets
    )


def _decode(codec, waiting: list, result: Replay) -> None:
    """Predictions of the waiting frames, which are then forgotten; neighbours of one budget in one batch."""
    for _, group in groupby(waiting, key=lambda item: item[0].header.budget):
        group = list(group)
        logits = codec.decode(
            np.concatenate([frame.symbols for frame, _, _ in group]),
            np.concatenate([frame.noise_var for frame, _, _ in group]),
        )
        classes, first = logits.argmax(axis=1), 0
        for frame, row, labels in group:
            predictions = classes[first : first + frame.header.image_count].tolist()
            first += len(predictions)
            row["predictions"] = predictions
            if labels is not None:
                result.images += len(labels)
                result.correct += int(np.equal(predictions, labels).sum())
    waiting.clear()
