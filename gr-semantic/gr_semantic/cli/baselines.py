# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic baselines``: a codec beside the alternatives, in one figure."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_IMAGES = 2000
_QUICK = {"images": 200, "words": 40, "snr_db": (0.0, 10.0, 20.0)}


@click.command()
@click.argument("codec")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder. [default: work/baselines/CODEC]")
@click.option("--images", help=f"Labelled image set. [default: {_IMAGES} images of the codec's test set]")
@click.option("--teacher", help="Name or .safetensors file. [default: that of the experiment named like CODEC]")
@click.option("--picture-codec", help="DeepJSCC codec. [default: CODEC-deepjscc, where the zoo has it]")
@click.option("--picture-codec-images", type=click.IntRange(4), default=500, show_default=True, help="For it alone.")
@click.option("--waveform", default="ofdm64", show_default=True, help="Waveform: name or YAML file.")
@click.option(
    "--channel", "channels", multiple=True, help="awgn, rayleigh, tdl-a, virtual-plutos; repeatable. [default: all]"
)
@click.option("--snr-db", multiple=True, type=float, help="Repeatable. [default: -10 to 20 dB in steps of 2]")
@click.option("--words", type=click.IntRange(1), help="Code words of each mode at each point. [default: 200]")
@click.option("--target", type=click.FloatRange(0, 1, True, True), default=0.9, show_default=True, help="Accuracy.")
@click.option("--device", default="auto", show_default=True, help="Of the networks: auto, cpu, cuda.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="200 images, 40 words, 3 SNRs: a look, no proof.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def baselines(codec, output, images, teacher, picture_codec, words, snr_db, channels, quick, as_json, **settings):
    """Compare CODEC (a name in models/zoo, or a folder) with what else could be sent over the same frames.

    Beside it stand digital pixels (WebP and JPEG over GNU Radio's polar codes, BPSK to 64-QAM, the best mode at each
    SNR known by a genie; classified by the teacher), the codec's features as bits, nothing but the label as bits, a
    DeepJSCC codec, and the limit of any code. Every measured point is kept in the folder: after an interruption the
    same command goes on where it was.

    \b
    Examples:
      gr-semantic baselines fashion-mnist
      gr-semantic baselines fashion-mnist --quick --channel awgn --json
      gr-semantic baselines cifar10 --images "cifar10:test[0:1000]" -o docs/results/baselines

    Exit codes: 0 done (the verdict may be that a bar is not met), 2 wrong input, 130 interrupted.
    """
    import torch

    from gr_semantic.baselines.air import MEDIA
    from gr_semantic.baselines.bars import sentence
    from gr_semantic.baselines.compare import compare
    from gr_semantic.baselines.config import SNR_DB, BaselinesConfig
    from gr_semantic.baselines.report import write_report
    from gr_semantic.baselines.teacher import teacher_of
    from gr_semantic.paths import ZOO, codec_folder
    from semantic_models.codec_folder import read_codec

    torch.set_num_threads(1)  # beside other work, more threads cost more than they bring
    described = read_codec(codec_folder(codec))[0]
    if images is None:
        test = described.origin.get("test_data", "fashion-mnist:test").split("[")[0]
        images = f"{test}[0:{_QUICK['images'] if quick else _IMAGES}]"
    if picture_codec is None and (ZOO / f"{described.name}-deepjscc").is_dir():
        picture_codec = f"{described.name}-deepjscc"
    config = BaselinesConfig(
        codec=codec,
        images=images,
        teacher=teacher or teacher_of(described.name, Path("work")),
        picture_codec=picture_codec,
        channels=channels or tuple(MEDIA),
        snr_db=snr_db or (_QUICK["snr_db"] if quick else SNR_DB),
        words=words or (_QUICK["words"] if quick else 200),
        **settings,
    )
    folder = output or Path("work") / "baselines" / described.name
    with _progress() as tell:
        summary = compare(config, folder, tell)
    content = write_report(summary, folder)
    if as_json:
        click.echo(json.dumps(content, indent=1))
        return
    for line in content["verdicts"]:
        click.echo(sentence(line))
    click.echo(f"{folder / described.name}.png, .md, .json")


class _progress:
    """tell(kind, done, total) for compare: a bar on a terminal, a line every tenth of the work elsewhere."""

    def __init__(self):
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn())
        self._bar = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console, transient=True
        )
        self._tenth = -1

    def __enter__(self):
        if self._console.is_terminal:
            self._bar.start()
            self._task = self._bar.add_task("")
        return self._tell

    def __exit__(self, *failure):
        self._bar.stop()

    def _tell(self, kind: str, done: int, total: int) -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, description=kind, completed=done, total=total)
        elif 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            self._console.print(f"baselines: {done} of {total} points", highlight=False)
