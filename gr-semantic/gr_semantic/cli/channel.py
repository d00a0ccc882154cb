# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic channel``: a recording through the simulated medium."""

import math
import typing

import click

from ..channel import ChannelConfig
from ..errors import UserError


class Decibels(click.ParamType):
    """A number, or TIME:DB,TIME:DB,... (seconds): a trajectory."""

    name = "DB|T:DB,..."

    def convert(self, value, param, ctx):
        try:
            if isinstance(value, str) and ":" in value:
                return [[float(part) for part in point.split(":")] for point in value.split(",")]
            return float(value)
        except ValueError:
            self.fail(f"'{value}' is neither a number nor TIME:DB,TIME:DB,...", param, ctx)


def channel_options(command):
    """One option for each field of ChannelConfig; an option that is not given leaves the field's default."""
    for name, field in reversed(ChannelConfig.model_fields.items()):
        flags = [f"--{name.replace('_', '-')}"] + (["--model"] if name == "multipath" else [])
        kinds = [kind for kind in typing.get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
        if name == "snr_db":
            kind = Decibels()
        elif typing.get_origin(field.annotation) is typing.Literal:
            kind = int if isinstance(field.default, int) else click.Choice(kinds)
        else:
            kind = kinds[0]
        if kind is bool:
            command = click.option(*flags, name, is_flag=True, default=None, help=field.description)(command)
        else:
            command = click.option(*flags, name, type=kind, default=None, help=field.description)(command)
    return command


@click.command()
@click.argument("source")
@click.option("-o", "--output", required=True, help="A .sigmf-meta file, a .sigmf archive, or - for stdout.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of noise, fading and phase noise.")
@click.option("--config", type=click.Path(), help="YAML file of the same fields; options come before it.")
@click.option("--sample-rate", type=float, help="Sample rate in Hz, if the recording names none.")
@channel_options
def channel(source, output, seed, config, sample_rate, **options):
    """Send a SigMF recording through a simulated channel.

    SOURCE is a .sigmf-meta file, a .sigmf archive, or - for stdin. Annotations move with the frames; the channel
    is noted in the metadata. --doppler-hz alone means --fading doppler.

    \b
    Example:
      gr-semantic channel tx.sigmf-meta --snr-db 3 --cfo-hz 2000 --sro-ppm 10 --model tdl-a:100ns --doppler-hz 5
          --seed 1 -o rx.sigmf-meta
    """
    from ..recording.channel_recording import write_through_channel
    from ..recording.sigmf_file import Recording

    fields = ChannelConfig.from_yaml(config).to_dict() if config else {}
    fields |= {name: value for name, value in options.items() if value is not None}
    if fields.get("doppler_hz") and "fading" not in fields:
        fields["fading"] = "doppler"
    settings = ChannelConfig.from_dict(fields)
    with Recording(source) as recording:
        rate_hz = sample_rate_of(recording, sample_rate)
        done = write_through_channel(recording, settings, seed, output, rate_hz)
    warn_of_non_finite(done["non_finite"])


def sample_rate_of(recording, given: float | None) -> float:
    """Sample rate in Hz: the option's, else the recording's. UserError if there is neither, or it is not above 0."""
    rate_hz = recording.sample_rate_hz if given is None else given
    if rate_hz is None:
        raise UserError(f"{recording.name}: names no core:sample_rate: give --sample-rate")
    if not 0 < rate_hz < math.inf:
        raise UserError(f"--sample-rate is {rate_hz:g}, expected a number above 0")
    return rate_hz


def warn_of_non_finite(count: int) -> None:
    """A line on stderr if samples were NaN or infinite."""
    if count:
        click.echo(f"gr-semantic: warning: {count} samples are NaN or infinite and were taken as zeros", err=True)
