# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic calibrate-xo``: how far two radios' crystals are apart."""

import json
import statistics

import click

from gr_semantic.cli.ending import caught_signals
from gr_semantic.cli.ota import load_config, opened_radios
from gr_semantic.errors import UserError

_LIKELY_PPM = 25.0  # a Pluto's crystal; beyond, something else is wrong


@click.command("calibrate-xo")
@click.option(
    "--config", "config_path", type=click.Path(), required=True, help="Hardware configuration with two radios."
)
@click.option("--reference", help="Radio whose crystal counts as right. [default: the forward transmitter]")
@click.option(
    "--times", type=click.IntRange(1, 100), default=5, show_default=True, help="Measurements; the median counts."
)
@click.option("--virtual", is_flag=True, help="Start virtual Plutos and use them instead of the file's radios.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout, and nothing else there.")
def calibrate_xo(config_path, reference, times, virtual, as_json):
    """Measure one radio's crystal against the other's.

    Sends a sounder on the forward carrier of the configuration and measures by how much the receiver's carrier is off.
    Only the difference of two crystals can be seen: --reference names the better one (a TCXO, or one that was measured
    against a counter). Prints the line for the other radio in the configuration file. Nothing is changed.
    """
    config = load_config(config_path, virtual=virtual, mode="sweep")
    sender, receiver = config.forward.transmitter, config.forward.receiver
    if sender == receiver:
        raise UserError("forward: transmitter and receiver are one radio: two are needed, with a crystal each")
    reference = reference or sender
    if reference not in (sender, receiver):
        raise UserError(f"--reference is '{reference}', expected {sender} or {receiver}")
    with caught_signals() as caught, opened_radios(config, [], lambda text: click.echo(text, err=True)) as radios:
        offsets_ppm = _measure(config, radios, times, caught)
    if not offsets_ppm:
        raise UserError(
            f"radio {receiver} does not hear radio {sender} on {config.forward.lo_hz / 1e6:g} MHz: check the cable; "
            "the pre-flight of `gr-semantic ota` says more"
        )
    other = receiver if reference == sender else sender
    offset_ppm = statistics.median(offsets_ppm)  # transmitter's crystal minus the receiver's
    before_ppm = radios[other].config.xo_ppm or 0.0
    xo_ppm = before_ppm + (-offset_ppm if other == receiver else offset_ppm)
    spread_ppm = max(offsets_ppm) - min(offsets_ppm)
    if as_json:
        result = {"reference": reference, "radio": other, "offset_ppm": offset_ppm, "xo_ppm": xo_ppm}
        click.echo(json.dumps(result | {"spread_ppm": spread_ppm, "measurements": len(offsets_ppm)}, indent=2))
        return
    within = f"median of {len(offsets_ppm)}, within {spread_ppm:.3f}"
    click.echo(f"crystal of {sender} against {receiver}: {offset_ppm:+.3f} ppm ({within})")
    click.echo(f"with {reference} as reference, under radios.{other} in {config_path}:\n    xo_ppm: {xo_ppm:.3f}")
    if abs(xo_ppm) > _LIKELY_PPM:
        click.echo(f"that is more than a Pluto's crystal is usually off ({_LIKELY_PPM:g} ppm)", err=True)


def _measure(config, radios, times, caught):
    """Crystal of the transmitter minus the receiver's, in ppm, each time that the sounder was heard."""
    from gr_semantic.link.exchange import exchange
    from gr_semantic.link.sounder import Sounder
    from gr_semantic.modem import Waveform

    carrier = config.forward
    wf = Waveform.load(config.waveform)
    sounder = Sounder(wf, config.link_id, config.sweep.qpsk_frames, config.sample_rate_hz, carrier.lo_hz)
    found = []
    for _ in range(times):
        heard = exchange(radios[carrier.transmitter], radios[carrier.receiver], sounder.samples, lambda: bool(caught))
        if caught:
            raise KeyboardInterrupt
        sounding = sounder.evaluate(heard.samples)
        if sounding is not None:
            found.append(1e6 * sounding.cfo_hz / carrier.lo_hz)
    return found
