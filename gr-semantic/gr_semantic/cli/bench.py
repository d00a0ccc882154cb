# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic bench`: throughput, as ratios measured in one run."""

import json
import math

import click
from rich.console import Console
from rich.table import Table

from ..errors import UserError


@click.group()
def bench() -> None:
    """Measure throughput beside the alternative, in one run on this machine.

    Give the machine nothing else to do meanwhile. Times are processor times, so that a ratio holds on other machines.
    """


@bench.command()
@click.option(
    "--payload-symbols",
    type=click.IntRange(1, 80),
    default=10,
    show_default=True,
    help="OFDM payload symbols of a frame.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=4.0, show_default=True, help="Length of each flowgraph run."
)
@click.option("--no-flowgraph", is_flag=True, help="Leave the GNU Radio receiver block out.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON on stdout.")
def modem(payload_symbols: int, seconds: float, no_flowgraph: bool, as_json: bool) -> None:
    """Modem against GNU Radio's own OFDM chain, and the receiver block at 1, 2 and 5 Msps.

    \b
    Examples:
      gr-semantic bench modem
      gr-semantic bench modem --payload-symbols 80 --no-flowgraph
    """
    if not math.isfinite(seconds):  # a range lets NaN pass
        raise UserError(f"--seconds is {seconds}, expected 0.1 to 3600")
    from ..bench import modem as measure
    from ..modem import Waveform

    waveforms = [Waveform.load(name) for name in Waveform.names()]
    stderr = Console(stderr=True)
    stderr.print("gr-digital's chain ...")
    stock = measure.stock(payload_symbols)
    rows = []
    for wf in waveforms:
        stderr.print(f"{wf.name}: arrays ...")
        rows.append(measure.arrays(wf, payload_symbols))
        rows[-1]["receiver_over_stock"] = rows[-1]["receiver_msps"] / stock["receiver_msps"]
    flowgraphs = []
    for wf in [] if no_flowgraph else waveforms:
        for rate_hz in (1e6, 2e6, 5e6, 0.0):
            stderr.print(f"{wf.name}: flowgraph at {f'{rate_hz / 1e6:.0f} Msps' if rate_hz else 'full speed'} ...")
            flowgraphs.append(measure.flowgraph(wf, rate_hz, seconds))
    if as_json:
        click.echo(json.dumps({"stock": stock, "arrays": rows, "flowgraphs": flowgraphs}, indent=2))
        return
    console = Console()
    table = Table(title=f"Dense frames of {payload_symbols} payload symbols, Msps of one core's time")
    for heading in ("chain", "samples a frame", "transmitter", "detector", "receiver", "receiver / stock", "frames"):
        table.add_column(heading, justify="left" if heading == "chain" else "right")
    found = f"{stock['frames_found']}/{stock['frames_sent']}"
    table.add_row("gr-digital", str(stock["samples_per_frame"]), "", "", f"{stock['receiver_msps']:.2f}", "1", found)
    for row in rows:
        speeds = [
            f"{row[key]:.1f}" for key in ("transmitter_msps", "detector_msps", "receiver_msps", "receiver_over_stock")
        ]
        found = f"{row['frames_found']}/{row['frames_sent']}"
        table.add_row(row["waveform"], str(row["samples_per_frame"]), *speeds, found)
    console.print(table)
    if flowgraphs:
        table = Table(title="Receiver block in a flowgraph, frames at 20 % duty")
        for heading in ("waveform", "rate asked, Msps", "rate held, Msps", "share of a core", "frames"):
            table.add_column(heading, justify="left" if heading == "waveform" else "right")
        for row in flowgraphs:
            asked = f"{row['rate_msps']:.0f}" if row["rate_msps"] else "any"
            found = f"{row['frames_found']}/{row['frames_sent']}"
            table.add_row(row["waveform"], asked, f"{row['held_msps']:.2f}", f"{100 * row['core_share']:.0f} %", found)
        console.print(table)
