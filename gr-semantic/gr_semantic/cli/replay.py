# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic replay``: a recording through receiver and decoder."""

import json

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

_FRAMES_SHOWN = 10


@click.command()
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON on stdout.")
@click.option("--waveform", help="Waveform: name or YAML file. [default: what the recording names]")
@click.option("--codec", help="Codec: name in models/zoo, or a folder. [default: what the recording names]")
@click.option("--sample-rate", type=float, help="Sample rate in Hz, if the recording names none.")
def replay(source, as_json, waveform, codec, sample_rate):
    """Find, measure and decode the frames of a SigMF recording.

    SOURCE is a .sigmf-meta file, a .sigmf archive, or - for stdin. Where the recording holds the truth, frames
    that are lost or false are counted, and the classes (or QPSK bits) compared. accuracy and ber are those of the
    frames that were found; what does not apply is null.
    """
    from ..recording.replay_recording import codec_of, waveform_of
    from ..recording.replay_recording import replay as run
    from ..recording.sigmf_file import Recording
    from .channel import sample_rate_of, warn_of_non_finite

    with Recording(source) as recording:
        rate_hz = sample_rate_of(recording, sample_rate)
        result = run(recording, waveform_of(recording, waveform), rate_hz, codec_of(recording, codec))
    warn_of_non_finite(result.non_finite)
    if as_json:
        click.echo(json.dumps(result.to_json(), allow_nan=False))
    else:
        _print(result)


def _print(result) -> None:
    table = Table(box=SIMPLE)
    for heading in ("frame", "start", "SNR, dB", "CFO, Hz", "SRO, ppm", "EVM, dB", "predictions"):
        table.add_column(heading, justify="left" if heading == "predictions" else "right", no_wrap=True)
    for row in result.frames[:_FRAMES_SHOWN]:
        measured = [f"{row[key]:.1f}" for key in ("snr_db", "cfo_hz", "sro_ppm", "evm_db")]
        classes = row["predictions"]
        text = "" if classes is None else " ".join(map(str, classes[:6])) + (" ..." if len(classes) > 6 else "")
        table.add_row(str(row["sequence"]), str(row["start_sample"]), *measured, text)
    console = Console(highlight=False)
    console.print(table)
    if len(result.frames) > _FRAMES_SHOWN:
        console.print(f"... and {len(result.frames) - _FRAMES_SHOWN} more frames (--json lists all)")
    console.print(f"frames found: {len(result.frames)}" + (f" of {result.expected}" if result.expected else ""))
    if result.expected:
        lost = ", ".join(map(str, result.lost[:20])) + (" ..." if len(result.lost) > 20 else "")
        console.print(f"frames false: {result.false}; lost: {lost or 'none'}")
    if result.accuracy is not None:
        console.print(f"accuracy: {100 * result.accuracy:.2f} % of {result.images} images")
    if result.ber is not None:
        console.print(f"bit error rate: {result.ber:.3g} ({result.wrong_bits} of {result.bits} bits)")
