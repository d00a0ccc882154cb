# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic record``: the air of a simulated run, or of a radio, to a SigMF recording."""

import math
import os
import sys
import time
from contextlib import suppress

import click
from rich.console import Console

from ..errors import UserError

_POLL_S = 0.05
_TELL_S = 1.0
_LOOP_SCALE = 16.0  # of int16: noise at -4 dB and the peaks of OFDM fit into it

_output = click.option("-o", "--output", required=True, help="A .sigmf-meta file.")
_datatype = click.option(
    "--datatype",
    type=click.Choice(["cf32_le", "ci16_le"]),
    help="Of the samples on the disk. ci16_le has half the size; a Pluto's samples lose nothing in it.",
)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace an older recording of that name.")


@click.group()
def record() -> None:
    """Record the air with all that is known of its frames: SigMF that `gr-semantic replay` takes apart again.

    A recording is readable at any time while it is made: after a kill, on a full disk, with the plug pulled. In a
    flowgraph of your own the block Semantic SigMF Recorder does the same.
    """


@record.command()
@_output
@click.option("--reverse", help="A second .sigmf-meta file: the feedback's direction.")
@click.option("--seconds", type=float, default=5.0, show_default=True, help="Link time to run.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same run.")
@click.option("--codec", default="fashion-mnist", show_default=True, help="Codec: name in models/zoo, or a folder.")
@click.option("--waveform", default="ofdm64", show_default=True, help="Waveform: name or YAML file.")
@click.option("--images", default="fashion-mnist:test", show_default=True, help="Folder of images, or a named set.")
@click.option("--feedback/--no-feedback", default=True, help="Close the loop, or keep one fixed profile.")
@_datatype
@_overwrite
def loop(output, reverse, datatype, overwrite, **settings):
    """Run the demo's closed loop over its simulated channel and record it.

    With cf32_le, the default, a replay gives the frames, measurements and predictions of the run bit for bit. 8 MB a
    second of link time and direction. `gr-semantic demo --record` does the same beside its report.

    \b
    Example:
      gr-semantic record loop --seconds 5 -o run.sigmf-meta --reverse feedback.sigmf-meta
      gr-semantic replay run.sigmf-meta
    """
    os.environ.setdefault("GR_CONF_LOG_LOG_LEVEL", "warning")
    from gr_semantic.cli.ending import caught_signals
    from gr_semantic.cli.progress import Progress
    from gr_semantic.link.config import LoopConfig
    from gr_semantic.link.loop import LoopFlowgraph
    from gr_semantic.link.loop_recording import LoopRecording
    from gr_semantic.paths import codec_folder
    from semantic_models import SemanticCodec, load_images

    config = LoopConfig(**settings)
    codec = SemanticCodec.load(codec_folder(config.codec))
    progress = Progress(config.slots)
    flowgraph = LoopFlowgraph(config, codec, load_images(config.images, like=codec), on_result=progress.add)
    datatype = datatype or "cf32_le"
    full_scale = _LOOP_SCALE if datatype == "ci16_le" else 1.0
    recording = LoopRecording(flowgraph, output, reverse, datatype, full_scale, overwrite)
    with caught_signals() as caught:
        try:
            with progress:
                flowgraph.start()
                while not (caught or recording.error or flowgraph.finished()):
                    time.sleep(_POLL_S)
                if not caught:
                    recording.finish()
        finally:
            flowgraph.stop_and_wait()
    _end(recording.error or flowgraph.error, caught, [r.recording for r in recording.recorders])


@record.command()
@_output
@click.option("--uri", help="The radio: ip:HOST, usb:BUS.ADDRESS.INTERFACE or serial:NUMBER.")
@click.option("--lo-hz", type=float, help="Carrier to hear, Hz.")
@click.option("--gain-db", type=float, default=30.0, show_default=True, help="Receiver's gain.")
@click.option("--sample-rate", type=float, default=1e6, show_default=True, help="Sample rate, Hz.")
@click.option("--seconds", type=float, help="Length. [default: until Ctrl-C]")
@click.option("--attenuation-db", type=float, help="Of cable and attenuators in the path, to be noted.")
@click.option("--waveform", default="ofdm64", show_default=True, help="Waveform of the frames: name or YAML file.")
@click.option("--codec", help="Codec to decode the frames with while they come. [default: none is decoded]")
@click.option("--frames/--no-frames", default=True, help="Find the frames while recording and annotate them.")
@_datatype
@_overwrite
def radio(
    output, uri, lo_hz, gain_db, sample_rate, seconds, attenuation_db, waveform, codec, frames, datatype, overwrite
):
    """Record what a radio receives.

    Its transmitter stays off. A radio that is unplugged is waited for; what came before and after is kept, as two
    captures.

    \b
    Example:
      gr-semantic record radio --uri ip:192.168.2.1 --lo-hz 2.45e9 --seconds 10 --codec fashion-mnist -o air.sigmf-meta
    """
    from gr_semantic.cli.ending import caught_signals
    from gr_semantic.modem import Waveform
    from gr_semantic.paths import codec_folder
    from gr_semantic.radio import RadioConfig, RadioKeeper
    from gr_semantic.recording.decoders import Decoder
    from gr_semantic.recording.frame_finder import FrameFinder
    from gr_semantic.recording.live_recording import LiveRecording
    from gr_semantic.recording.radio_recording import record_radio

    if seconds is not None and not 0 < seconds < math.inf:
        raise UserError(f"--seconds is {seconds:g}, expected a number above 0")
    if uri is None or lo_hz is None:
        raise UserError("give the radio with --uri and its carrier with --lo-hz")
    wf = Waveform.load(waveform)
    fields = {"uri": uri, "rx_lo_hz": lo_hz, "rx_gain_db": gain_db, "sample_rate_hz": sample_rate}
    keeper = RadioKeeper("receiver", RadioConfig.from_dict(fields, "record radio"))
    decoder = None
    if codec is not None:
        from semantic_models import SemanticCodec

        decoder = Decoder(codec, SemanticCodec.load(codec_folder(codec)))
    own = {"waveform": wf.model_dump(), "waveform_rate_hz": sample_rate}
    own |= {} if decoder is None else {"codec": codec, "model_id": decoder.codec.model_id}
    own |= {} if attenuation_db is None else {"attenuation_db": attenuation_db}
    with caught_signals() as caught:
        try:
            keeper.open()
            settings = keeper.settings
            rate_hz = float(settings.get("sample_rate_hz") or sample_rate)
            own |= {"radio": settings, "serials": {"receiver": str(settings.get("serial") or "unknown")}}
            capture = {
                "frequency": float(settings.get("rx_lo_hz") or lo_hz),
                "own": {"gain_db": float(settings.get("rx_gain_db", gain_db))},
            }
            core = {"description": "what a radio received", "hw": str(settings.get("model") or uri)}
            recording = LiveRecording(output, rate_hz, own, core, datatype or "ci16_le", overwrite=overwrite)
            with recording:
                finder = FrameFinder(recording, wf, rate_hz, decoder) if frames else None
                count = None if seconds is None else round(seconds * rate_hz)
                tell = _Teller(rate_hz, finder).tell
                with suppress(UserError):  # recording.error, see below
                    record_radio(keeper, recording, count, capture, lambda: bool(caught), tell)
                keeper.close()
                if finder:
                    _finish(finder, recording, rate_hz)
                if caught and seconds is not None:
                    recording.finish("interrupted")
        finally:
            keeper.close()
    _end(recording.error or keeper.failed, caught if seconds is not None else [], [recording])


class _Teller:
    """A line on stderr once a second: length, frames, SNR of the newest."""

    def __init__(self, sample_rate_hz, finder):
        self._rate_hz, self._finder, self._told_s = sample_rate_hz, finder, 0.0
        self._console = Console(stderr=True)

    def tell(self, samples):
        now = time.monotonic()
        if now - self._told_s >= _TELL_S:
            self._told_s = now
            line, finder = f"{samples / self._rate_hz:.1f} s", self._finder
            if finder:
                line += f", {finder.found} frames" + (f", SNR {finder.snr_db:.1f} dB" if finder.found else "")
            self._console.print(line, highlight=False)


def _finish(finder, recording, rate_hz):
    """What the search for frames still has to do."""
    left_s = (recording.sample_count - finder.position) / rate_hz
    if left_s > _TELL_S:
        click.echo(f"gr-semantic: the frames of the last {left_s:.1f} s are still to be found", err=True)
    finder.finish()


def _end(error, caught, recordings):
    for recording in filter(None, recordings):
        click.echo(f"gr-semantic: {recording.path}: {recording.sample_count} samples", err=True)
    if error:
        click.echo(f"gr-semantic: error: {error}; what was recorded until then can be replayed", err=True)
        sys.exit(1)
    if caught:
        click.echo("gr-semantic: interrupted", err=True)
        sys.exit(128 + caught[0])
