# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording through the receiver and the decoder, against the truth where there is one.

Samples are read chunk by chunk, symbols are decoded batch by batch, and each frame's row goes where the caller wants
it: memory does not grow with the samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..errors import UserError
from ..modem import Frame, StreamReceiver, Waveform
from ..modem.stream import BULK_CHUNK
from .decoders import Decoder, Received
from .frame_truth import FrameTruth, TruthTable, qpsk_bits, qpsk_errors
from .resampler import Resampler
from .sigmf_file import Recording, Segment

_BATCH_IMAGES = 1024
_BATCH_FRAMES = 1024
_MEASURED = ("snr_db", "cfo_hz", "sro_ppm", "evm_db")
_REPORT = ("snr_db", "acked_sequence", "received", "lost")


@dataclass
class Score:
    """Decoded images with known labels, and how many are right."""

    images: int = 0
    correct: int = 0

    def add(self, predictions: Sequence[int], labels: Sequence[int] | None) -> None:
        if labels is not None:
            self.images += len(labels)
            self.correct += int(np.equal(predictions, labels).sum())

    @property
    def accuracy(self) -> float | None:
        """Share of the decoded images whose class is right; lost frames do not count."""
        return self.correct / self.images if self.images else None


@dataclass
class Replay:
    """What was found.

    frames: one dict a frame, in the order of the air: kind, sequence, start_sample, snr_db, cfo_hz, sro_ppm, evm_db,
    predictions (classes, or None), feedback (what a feedback frame reports, or None) and, with two decoders,
    compared_predictions. found: their number. expected, false: None without truth. lost: sequences of frames not found.
    identical: frames that came out bit for bit as in the run that made the recording, of the `run_frames` whose
    measurements it noted. score, compared: of the decoder and of the one beside it; agreeing: images that both put
    into the same class, of the `both` that both decoded. bits, wrong_bits: of QPSK payloads. non_finite: samples that
    are NaN or infinite, which count as zeros. gaps: places where samples are missing.
    """

    expected: int | None
    frames: Any = field(default_factory=list)
    found: int = 0
    false: int | None = None
    lost: list[int] = field(default_factory=list)
    run_frames: int = 0
    identical: int = 0
    score: Score = field(default_factory=Score)
    compared: Score | None = None
    both: int = 0
    agreeing: int = 0
    bits: int = 0
    wrong_bits: int = 0
    non_finite: int = 0
    gaps: int = 0

    @property
    def ber(self) -> float | None:
        """Share of wrong bits in the QPSK frames that were found."""
        return self.wrong_bits / self.bits if self.bits else None

    def totals(self) -> dict:
        """What stands beside the frames in JSON."""
        totals = {
            "frames_expected": self.expected,
            "frames_found": self.found,
            "frames_false": self.false,
            "frames_identical": self.identical if self.run_frames else None,
            "accuracy": self.score.accuracy,
            "ber": self.ber,
        }
        if self.compared is not None:
            totals["compared_accuracy"] = self.compared.accuracy
            totals["agreement"] = self.agreeing / self.both if self.both else None
        return totals


def waveform_of(recording: Recording, name: str | None = None) -> Waveform:
    """The waveform that a recording was made with, or the one that is named.

    Raises:
        UserError: there is neither, or the recording's is not valid.
    """
    if name is not None:
        return Waveform.load(name)
    stored = recording.own.get("waveform")
    if stored is None:
        raise UserError(f"{recording.name}: does not say which waveform it holds: give --waveform")
    try:
        return Waveform(**stored)
    except (ValidationError, TypeError) as error:
        raise UserError(f"{recording.name}: its waveform is not valid ({str(error).splitlines()[0]})") from None


def replay(
    recording: Recording,
    wf: Waveform,
    sample_rate_hz: float,
    decoder: Decoder | None = None,
    beside: Decoder | None = None,
    waveform_rate_hz: float | None = None,
    frames=None,
    on_progress: Callable[[int], None] | None = None,
) -> Replay:
    """Find, measure and decode all frames of a recording.

    Args:
        recording: Recording or RawRecording.
        sample_rate_hz: of the recording.
        decoder: None: nothing is predicted. Frames that it does not take have no predictions.
        beside: a second decoder, for comparison.
        waveform_rate_hz: sample rate that the waveform was sent at; None: the recording's. Another one: the samples
            are resampled. start_sample is the recording's in any case.
        frames: what the rows are appended to; None: a list.
        on_progress: called with the number of samples read so far.

    Raises:
        UserError: an annotation of ours does not describe a frame.
    """
    return _Replayer(recording, wf, sample_rate_hz, decoder, beside, waveform_rate_hz, frames).run(on_progress)


class _Replayer:
    def __init__(self, recording, wf, sample_rate_hz, decoder, beside, waveform_rate_hz, frames):
        rate_hz = waveform_rate_hz or sample_rate_hz
        self._recording = recording
        self._resampler = Resampler(sample_rate_hz, rate_hz) if rate_hz != sample_rate_hz else None
        ratio = self._resampler.ratio if self._resampler else 1
        try:
            self._table = TruthTable(wf, recording.metadata["annotations"], float(1 / ratio))
        except UserError as error:
            raise UserError(f"{recording.name}: {error}") from None
        self._samples_per_sample = 1 / ratio
        self._receiver = StreamReceiver(wf, rate_hz, BULK_CHUNK)
        pairs = (("predictions", decoder), ("compared_predictions", beside))
        self._decoders = [(key, decoder) for key, decoder in pairs if decoder is not None]
        self._waiting: list[tuple[Received, dict]] = []
        self._base = 0  # the recording's sample that is the receiver's sample 0
        expected = self._table.expected
        self.result = Replay(expected=expected or None, false=0 if expected else None)
        self.result.compared = Score() if beside is not None else None
        if frames is not None:
            self.result.frames = frames

    def run(self, on_progress) -> Replay:
        done = 0
        for segment in self._recording.segments:
            if segment.gap:
                self._end_stream(segment)
            for samples in self._recording.chunks(segment=segment):
                self.result.non_finite += int(np.count_nonzero(~np.isfinite(samples)))
                self._push(samples)
                done += len(samples)
                if on_progress:
                    on_progress(done)
        self._end_stream(None)
        self._emit()
        self.result.lost = [truth.sequence for truth in self._table.lost]
        return self.result

    def _push(self, samples):
        if self._resampler:
            # A sample that is not finite would spoil all that the filter makes of it.
            samples = self._resampler.process(np.where(np.isfinite(samples), samples, np.complex64(0)))
        self._take(self._receiver.push(samples))

    def _end_stream(self, following: Segment | None):
        """Samples are missing here, or it is the end: a frame that is cut off is none."""
        if self._resampler:
            self._take(self._receiver.push(self._resampler.flush()))
        self._take(self._receiver.flush())
        if following:
            self._base = following.first
            self.result.gaps += 1

    def _take(self, frames: list[Frame]):
        for frame in frames:
            start = self._base + round(int(frame.start_sample) * self._samples_per_sample)
            frame = replace(frame, start_sample=start)
            truth = self._table.match(frame)
            self.result.found += 1
            if truth is None and self._table.expected:
                self.result.false += 1
            if truth is not None and truth.qpsk is not None:
                bits = qpsk_bits(truth.qpsk, truth.image_count, truth.budget)
                self.result.bits += bits.size
                self.result.wrong_bits += qpsk_errors(bits, frame.symbols)
            header = frame.header
            row = {
                "kind": header.kind,
                "sequence": header.sequence,
                "start_sample": start,
                **{key: float(getattr(frame, key)) for key in _MEASURED},
                "predictions": None,
                "feedback": {key: getattr(header, key) for key in _REPORT} if header.kind == "feedback" else None,
            }
            if self.result.compared is not None:
                row["compared_predictions"] = None
            self._waiting.append((Received(frame, truth), row))
        images = sum(received.frame.header.image_count for received, _ in self._waiting)
        if images >= _BATCH_IMAGES or len(self._waiting) >= _BATCH_FRAMES:
            self._emit()

    def _emit(self):
        """Predictions of the waiting frames, which are then given out and forgotten."""
        for key, decoder in self._decoders:
            mine = [item for item in self._waiting if decoder.takes(item[0])]
            for _, group in groupby(mine, key=lambda item: item[0].frame.header.budget):  # in one batch
                group = list(group)
                classes, first = decoder.classes([received for received, _ in group]), 0
                for received, row in group:
                    row[key] = classes[first : first + received.frame.header.image_count].tolist()
                    first += len(row[key])
        for received, row in self._waiting:
            self._count(received.truth, row)
            self.result.frames.append(row)
        self._waiting.clear()

    def _count(self, truth: FrameTruth | None, row: dict):
        result, predictions, compared = self.result, row["predictions"], row.get("compared_predictions")
        labels = truth.labels if truth else None
        if predictions is not None:
            result.score.add(predictions, labels)
        if compared is not None:
            result.compared.add(compared, labels)
        if predictions is not None and compared is not None:
            result.both += len(predictions)
            result.agreeing += int(np.equal(predictions, compared).sum())
        if truth is not None and truth.measured_snr_db is not None:
            noted = [truth.measured_snr_db, truth.cfo_hz, truth.sro_ppm, truth.evm_db, truth.predictions]
            result.run_frames += 1
            same = truth.start_sample == row["start_sample"]
            result.identical += same and noted == [*(row[key] for key in _MEASURED), predictions]
