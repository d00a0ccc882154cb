# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `gr-semantic`: finds the sub-command and turns a user's mistake into one line."""

import os
import sys
from importlib import import_module
from importlib.metadata import version

import click

from gr_semantic.errors import UserError

# Before numpy is loaded: OpenBLAS's threads spin beside the flowgraph's, on small matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# name: (module:attribute of a click command, line for --help). A module is imported when its command is called,
# so that --help needs neither torch nor GNU Radio.
COMMANDS = {
    "demo": ("gr_semantic.cli.demo:demo", "Run the closed loop over a simulated channel; write a report."),
    "ota": ("gr_semantic.cli.ota:ota", "Run the loop, or a sweep, over radios; write a report."),
    "calibrate-xo": ("gr_semantic.cli.calibrate_xo:calibrate_xo", "Measure a radio's crystal against another radio."),
    "modulate": ("gr_semantic.cli.modulate:modulate", "Write frames of encoded images as a SigMF recording."),
    "channel": ("gr_semantic.cli.channel:channel", "Send a SigMF recording through a simulated channel."),
    "record": ("gr_semantic.cli.record:record", "Record a run's or a radio's air as SigMF."),
    "replay": ("gr_semantic.cli.replay:replay", "Find, measure and decode the frames of a recording."),
    "images": ("gr_semantic.cli.images:images", "Say what an image set or a folder of images holds."),
    "evaluate": ("gr_semantic.cli.evaluate:evaluate", "Measure a codec over SNR, budget and channel."),
    "embedding": ("gr_semantic.cli.embedding:embedding", "Measure what a codec sends beyond the class."),
    "pareto": ("gr_semantic.cli.pareto:pareto", "Compare codecs: effort at the edge, symbols, accuracy."),
    "store": ("gr_semantic.cli.store:store", "Build, show and verify what a teacher knows."),
    "distill": ("gr_semantic.cli.distill:distill", "Train a codec from an experiment file."),
    "ablations": ("gr_semantic.cli.ablations:ablations", "Train and compare what each part of a codec is worth."),
    "baselines": ("gr_semantic.cli.baselines:baselines", "Compare a codec with what else could be sent."),
    "characterize": ("gr_semantic.cli.characterize:characterize", "Measure a waveform's curves against their bars."),
    "sweep": ("gr_semantic.cli.sweep:sweep", "Measure grids of points on many processes or machines."),
    "virtual-pluto": (
        "gr_semantic.cli.virtual_pluto:virtual_pluto",
        "Serve Plutos without hardware, on a simulated air.",
    ),
    "bench": ("gr_semantic.cli.bench:bench", "Measure throughput beside the alternative."),
    "doctor": ("gr_semantic.cli.doctor:doctor", "Say what is there, what is missing, and how to mend it."),
}


class OneLineError(click.ClickException):
    """Ends the command with one line on stderr and exit code 2."""

    exit_code = 2

    def show(self, file=None) -> None:
        click.echo(f"gr-semantic: error: {' '.join(self.message.split())}", err=True)


def _one_line(error: click.UsageError) -> OneLineError:
    command = error.ctx.command_path if error.ctx else "gr-semantic"
    return OneLineError(f"{error.format_message()} (see '{command} --help')")


def user_errors() -> tuple[type[ValueError], ...]:
    """The error classes that are meant for a user to read; does not import the learning side."""
    codec_error = getattr(sys.modules.get("semantic_models"), "CodecError", None)
    return (UserError, codec_error) if codec_error else (UserError,)


class LazyGroup(click.Group):
    """A group whose commands stand in COMMANDS and are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        return getattr(import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def make_context(self, *args, **kwargs) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _one_line(error) from error

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _one_line(error) from error
        except KeyboardInterrupt:
            click.echo("gr-semantic: interrupted", err=True)
            sys.exit(130)
        except ValueError as error:
            if isinstance(error, user_errors()):
                raise OneLineError(str(error)) from error
            raise


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gr-semantic"), prog_name="gr-semantic")
def main() -> None:
    """Task-oriented semantic communication on GNU Radio.

    Images go in at one end of an OFDM link and come out as classes at the other. The receiver sends the SNR that it
    measured back over the air, and the transmitter adapts to it.

    \b
    Examples:
      gr-semantic doctor                 is everything here that is needed?
      gr-semantic demo                   30 s of the closed loop, then a report
      gr-semantic demo --no-feedback     the same without adaptation
      gr-semantic demo --json            a summary for scripts on stdout
      gr-semantic COMMAND --help         what a command takes

    Exit codes: 0 done, 1 something is missing or failed, 2 wrong input, 130 interrupted.
    """


if __name__ == "__main__":
    main()
