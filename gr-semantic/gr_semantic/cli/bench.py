# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic bench`: throughput, as ratios measured in one run."""

import json
import math
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from ..errors import UserError

_MOST_COLUMNS = 7


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


@bench.command()
@click.argument("experiments", nargs=-1, type=click.Path(path_type=Path))
@click.option("--images", type=click.IntRange(1), default=1024, show_default=True, help="First training images.")
@click.option("--repeats", type=click.IntRange(1), default=9, show_default=True, help="Epochs of each kind.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of torch.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON on stdout.")
def store(experiments, images: int, repeats: int, device: str, threads: int, as_json: bool) -> None:
    """An epoch of distillation from the store, beside labels alone, a file a sample, and the teacher in the loop.

    EXPERIMENTS: names in models/experiments, or YAML files. [default: fashion-mnist cifar10]

    Ratios are medians over the repeats, with the 95 % interval of the median from six repeats on. Short epochs and many
    repeats are the steadiest: the machine's speed then matters least.

    \b
    Examples:
      gr-semantic bench store
      gr-semantic bench store cifar10 --images 1024 --repeats 20
    """
    import torch

    from semantic_models.experiment_file import load_experiment
    from semantic_models.store_speed import epoch_costs

    from .distill import experiment_file

    torch.set_num_threads(threads)
    chosen = experiments or (Path("fashion-mnist"), Path("cifar10"))
    results = [epoch_costs(load_experiment(experiment_file(name)), images, repeats, device) for name in chosen]
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    table = Table(title=f"An epoch of {images} images, seconds (medians of {repeats})")
    ratios = ("store_over_labels", "files_over_store", "online_over_store")
    headings = ("store / labels", "files / store", "online / store", "reading alone: files / store")
    for heading in ("experiment", "labels", "store", "files", "online", *headings):
        table.add_column(heading, justify="left" if heading == "experiment" else "right")
    for result in results:
        medians = [f"{median(times):.2f}" for times in result["seconds"].values()]
        reading = f"{result['loader_files_over_store']:.3g}"
        table.add_row(result["experiment"], *medians, *(f"{result[ratio]:.3g}" for ratio in ratios), reading)
    Console().print(table)
    for result in results:
        intervals = [f"{ratio.replace('_over_', ' / ')} {_interval(result['ci95'][ratio])}" for ratio in ratios]
        click.echo(f"{result['experiment']}, 95 % intervals: {', '.join(intervals)}")


def _interval(bounds: list[float] | None) -> str:
    return f"{bounds[0]:.3g} to {bounds[1]:.3g}" if bounds else "unknown (too few repeats)"


_CODEC = click.option(
    "--codec", "name", default="fashion-mnist", show_default=True, help="Codec: name in models/zoo, or a folder."
)
_IMAGES = click.option("--images", default="fashion-mnist:test", show_default=True, help="Labelled image set.")
_WAVEFORM = click.option("--waveform", default="ofdm64", show_default=True, help="Waveform: name or YAML file.")
_SLOTS = click.option("--slots", type=click.IntRange(10), default=200, show_default=True, help="Slots (frames) to run.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Results as JSON on stdout.")


@bench.command("codec")
@_CODEC
@click.option("--device", multiple=True, help="cpu, cuda; repeatable. [default: cpu, and cuda where there is one]")
@_JSON
def bench_codec(name: str, device: tuple[str, ...], as_json: bool) -> None:
    """SemanticCodec against the eager torch module with the same weights: milliseconds a call."""
    import torch

    from ..bench import codec as measure

    torch.set_num_threads(1)
    devices = device or (("cpu", "cuda") if torch.cuda.is_available() else ("cpu",))
    rows = [row for one in devices for row in measure.measure(name, one)]
    _show("A call with arrays in and out, median (ratio: eager / codec)", rows, as_json)


@bench.command("blocks")
@_CODEC
@_IMAGES
@_WAVEFORM
@_JSON
def bench_blocks(name: str, images: str, waveform: str, as_json: bool) -> None:
    """Each GNU Radio block against GNU Radio's own, or against the plain calls that it wraps."""
    from ..bench import blocks as measure
    from ..blocks.image_sets import register_images

    codec, image_set = _opened(name, images)
    register_images(image_set)
    rows = measure.measure(codec, image_set, waveform)
    _show("Units a second of one core's time (ratio: ours / theirs)", rows, as_json)


@bench.command("loop")
@_CODEC
@_IMAGES
@_WAVEFORM
@_SLOTS
@_JSON
def bench_loop(name: str, images: str, waveform: str, slots: int, as_json: bool) -> None:
    """The closed loop in GNU Radio, one image a frame and 48, against the same work as plain calls."""
    from ..bench import loop as measure

    rows = measure.measure(*_opened(name, images), name, slots, waveform)
    _show("Closed loop over the simulated channel, wall-clock time (ratio: loop / plain calls)", rows, as_json)


@bench.command("replay")
@_CODEC
@_IMAGES
@_WAVEFORM
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=10.0, show_default=True, help="Of the recording, at 1 Msps."
)
@_JSON
def bench_replay(name: str, images: str, waveform: str, seconds: float, as_json: bool) -> None:
    """Replay of a recording against real time at 1 Msps, and against gr-digital's receiver."""
    from ..bench import replay as measure

    if not math.isfinite(seconds):
        raise UserError(f"--seconds is {seconds}, expected 1 to 3600")
    codec, _ = _opened(name, images)
    rows = measure.measure(codec, name, images, seconds, waveform)
    _show("A frame every 20.48 ms at 1 Msps (ratio: msps / gr-digital's)", rows, as_json)


@bench.command("path")
@_CODEC
@_IMAGES
@_WAVEFORM
@_SLOTS
@_JSON
def bench_path(name: str, images: str, waveform: str, slots: int, as_json: bool) -> None:
    """Where the time goes between an image and its class: every stage's processor time a slot."""
    from ..bench import path as measure

    rows = measure.measure(*_opened(name, images), name, slots, waveform)
    _show("Processor time of a slot: a frame there, a report back", rows, as_json)


@bench.command("sweep")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--workers", type=click.IntRange(2), default=2, show_default=True, help="Beside one.")
@_JSON
def bench_sweep(file: Path, workers: int, as_json: bool) -> None:
    """The sweep FILE with several local workers against one, from the command to its result file, wall-clock time."""
    from .sweep import need_dask

    need_dask()
    from ..bench import sweep as measure

    _show("The whole sweep (ratio: one worker / several)", measure.measure(file, workers), as_json)


def _opened(name: str, images: str):
    """Codec and image set, torch held to one thread."""
    import torch

    from semantic_models import SemanticCodec, load_images

    from ..paths import codec_folder

    torch.set_num_threads(1)
    codec = SemanticCodec.load(codec_folder(name), "cpu")
    image_set = load_images(images, like=codec)
    if image_set.labels is None:
        raise UserError(f"--images {images}: have no labels, needed to see that all is right")
    return codec, image_set


def _show(title: str, rows: list[dict], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(title=title)
    columns = [[key.replace("_", " "), *(_cell(row[key]) for row in rows)] for key in rows[0]]
    if len(columns) > _MOST_COLUMNS:  # a row becomes a column
        columns = list(zip(*columns, strict=True))
    for heading, *cells in columns:
        table.add_column(heading, justify="left" if cells[0][:1].isalpha() else "right")
    for cells in list(zip(*columns, strict=True))[1:]:
        table.add_row(*cells)
    Console().print(table)


def _cell(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
