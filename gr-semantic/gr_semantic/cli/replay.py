# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic replay``: a recording through receiver and decoder."""

import json
import math
import shutil
import sys
import tempfile

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ..errors import UserError

_FRAMES_SHOWN = 10
_CLASSES_SHOWN = 6


@click.command()
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON on stdout.")
@click.option("--waveform", help="Waveform: name or YAML file. [default: what the recording names]")
@click.option("--codec", help="Codec: name in models/zoo, or a folder. [default: what the recording names]")
@click.option("--compare", help="A second codec beside the first: name or folder.")
@click.option("--sample-rate", type=float, help="Of the recording, Hz. [default: what the recording names]")
@click.option(
    "--waveform-rate",
    type=float,
    help="Sample rate that the waveform was sent at, Hz; the recording is resampled to it. "
    "[default: what the recording names, else its own rate]",
)
@click.option("--datatype", help="SOURCE is a file of bare samples of this SigMF type: cf32_le, ci16_le, cu8, ...")
def replay(source, as_json, waveform, codec, compare, sample_rate, waveform_rate, datatype):
    """Find, measure and decode the frames of a recording.

    SOURCE is a .sigmf-meta file, a .sigmf archive, - for stdin, or with --datatype a file of bare samples. Where the
    recording holds the truth, frames that are lost or false are counted, and the classes (or QPSK bits) compared.
    accuracy and ber are those of the frames that were found; what does not apply is null.

    --codec and --compare may name a codec that did not encode the recording: what the air did to each symbol is then
    put on the symbols that this codec would have sent of the same images (docs/recordings.md).

    \b
    Examples:
      gr-semantic replay run.sigmf-meta
      gr-semantic replay run.sigmf-meta --compare my-codec
      gr-semantic replay air.bin --datatype ci16_le --sample-rate 2e6 --waveform ofdm64 --waveform-rate 1e6
    """
    from ..recording.decoders import decoder_of
    from ..recording.replay_recording import replay as run
    from ..recording.replay_recording import waveform_of
    from .channel import sample_rate_of, warn_of_non_finite

    with Console(stderr=True).status(f"checking {source}"):  # its hash: seconds for gigabytes
        opened = _open(source, datatype, sample_rate)
    with opened as recording, tempfile.TemporaryFile("w+") as spool:
        rate_hz = sample_rate_of(recording, sample_rate)
        waveform_rate_hz = _waveform_rate(recording, waveform_rate)
        wf = waveform_of(recording, waveform)
        decoder = decoder_of(recording, codec)
        beside = _beside(recording, compare, decoder)
        if recording.unfinished:
            count = recording.sample_count
            click.echo(f"gr-semantic: {recording.name} was never finished: read {count} samples", err=True)
        frames = _JsonRows(spool) if as_json else _FirstRows()
        with _progress(recording.sample_count) as advance:
            result = run(recording, wf, rate_hz, decoder, beside, waveform_rate_hz, frames, advance)
        warn_of_non_finite(result.non_finite)
        if as_json:
            frames.print(result.totals())
        else:
            _print(result, decoder, beside)


def _open(source, datatype, sample_rate):
    from ..recording.sigmf_file import ARCHIVE, META, STREAM, RawRecording, Recording

    if datatype is None:
        if not source.endswith((META, ARCHIVE)) and source != STREAM:
            raise UserError(
                f"{source}: expected a {META} file, a {ARCHIVE} archive or {STREAM} for stdin; for bare samples give "
                "--datatype and --sample-rate"
            )
        return Recording(source)
    if source == STREAM:
        raise UserError("--datatype reads a file of bare samples, and - is a SigMF archive on stdin: give a file")
    if sample_rate is None:
        raise UserError(f"{source}: bare samples name no sample rate: give --sample-rate")
    return RawRecording(source, datatype)


def _waveform_rate(recording, given):
    rate_hz = recording.own.get("waveform_rate_hz") if given is None else given
    if rate_hz is not None and not 0 < rate_hz < math.inf:
        raise UserError(f"--waveform-rate is {rate_hz:g}, expected a number above 0")
    return rate_hz


def _beside(recording, compare, decoder):
    from ..recording.decoders import decoder_of

    if compare is None:
        return None
    if decoder is None:
        raise UserError(f"{recording.name}: names no codec to compare with: give --codec beside --compare")
    return decoder_of(recording, compare)


class _FirstRows(list):
    """Keeps the rows that are shown."""

    def append(self, row):
        if len(self) < _FRAMES_SHOWN:
            super().append(row)


class _JsonRows:
    """Rows as JSON in a file, so that memory does not grow with them; printed only once all went well."""

    def __init__(self, file):
        self._file, self._separator = file, ""

    def append(self, row):
        self._file.write(self._separator + json.dumps(row, allow_nan=False))
        self._separator = ", "

    def print(self, totals):
        sys.stdout.write(json.dumps(totals, allow_nan=False)[:-1] + ', "frames": [')
        self._file.seek(0)
        shutil.copyfileobj(self._file, sys.stdout)
        sys.stdout.write("]}\n")


def _progress(samples):
    """A bar on stderr, if that is a terminal; gives the function that moves it."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    @contextmanager
    def shown():
        stderr = Console(stderr=True)
        columns = (TextColumn("replay"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as progress:
            task = progress.add_task("replay", total=samples)
            yield lambda done: progress.update(task, completed=done)

    return shown()


def _print(result, decoder, beside) -> None:
    table = Table(box=SIMPLE)
    headings = ["frame", "start", "SNR, dB", "CFO, Hz", "SRO, ppm", "EVM, dB", "predictions"]
    if beside is not None:
        headings[-1:] = [f"by {decoder.name}", f"by {beside.name}"]
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number > 5 else "right", no_wrap=True)
    for row in result.frames:
        measured = [f"{row[key]:.1f}" for key in ("snr_db", "cfo_hz", "sro_ppm", "evm_db")]
        cells = [_classes(row, "predictions")]
        if beside is not None:
            cells.append(_classes(row, "compared_predictions"))
        table.add_row(str(row["sequence"]), str(row["start_sample"]), *measured, *cells)
    console = Console(highlight=False)
    console.print(table)
    lines = []
    if result.found > _FRAMES_SHOWN:
        lines.append(f"... and {result.found - _FRAMES_SHOWN} more frames (--json lists all)")
    lines.append(f"frames found: {result.found}" + (f" of {result.expected}" if result.expected else ""))
    if result.expected:
        lost = ", ".join(map(str, result.lost[:20])) + (" ..." if len(result.lost) > 20 else "")
        lines.append(f"frames false: {result.false}; lost: {lost or 'none'}")
    if result.run_frames:
        lines.append(f"as in the run, to the last bit: {result.identical} of {result.run_frames} frames")
    if result.gaps:
        lines.append(f"gaps in the recording: {result.gaps}")
    lines += _scores(result, decoder, beside)
    if result.ber is not None:
        lines.append(f"bit error rate: {result.ber:.3g} ({result.wrong_bits} of {result.bits} bits)")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _classes(row, key):
    if row["kind"] == "feedback":
        report = row["feedback"]
        return f"{report['snr_db']:.2f} dB of {report['acked_sequence']}"
    classes = row[key]
    if classes is None:
        return ""
    return " ".join(map(str, classes[:_CLASSES_SHOWN])) + (" ..." if len(classes) > _CLASSES_SHOWN else "")


def _scores(result, decoder, beside):
    lines = []
    for one, score in ((decoder, result.score), (beside, result.compared)):
        if score is not None and score.accuracy is not None:
            name = "" if beside is None else f" by {one.name}"
            how = " (its own symbols over this air)" if one.over_the_same_air else ""
            lines.append(f"accuracy{name}: {100 * score.accuracy:.2f} % of {score.images} images{how}")
    if beside is not None and result.both:
        lines.append(f"both agree on {100 * result.agreeing / result.both:.2f} % of {result.both} images")
    return lines
