# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic demo``: a run of the closed loop over the simulated channel, live in the terminal, and its report."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gr_semantic.cli.ending import caught_signals, exit_unless_complete
from gr_semantic.cli.progress import Progress
from gr_semantic.link.config import LoopConfig
from gr_semantic.link.frame_log import FrameLog, FrameRow
from gr_semantic.recording.page import percent
from gr_semantic.recording.run_folder import AIR, FEEDBACK_AIR, FRAMES, PAGE, RunFolder, default_run_path
from gr_semantic.recording.symbol_sample import SymbolSample

_POLL_S = 0.05
_BIN_KEYS = ("snr_db", "images", "accuracy", "reference_accuracy")


@click.command()
@click.option("--seconds", type=float, default=30.0, show_default=True, help="Link time to run.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same result.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder. [default: runs/demo-DATE-TIME]")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON on stdout, and nothing else there.")
@click.option("--codec", default="fashion-mnist", show_default=True, help="Codec: name in models/zoo, or a folder.")
@click.option("--waveform", default="ofdm64", show_default=True, help="Waveform: name or YAML file.")
@click.option("--feedback/--no-feedback", default=True, help="Close the loop, or keep one fixed profile.")
@click.option("--images", default="fashion-mnist:test", show_default=True, help="Folder of images, or a named set.")
@click.option("--record", is_flag=True, help="Record the air of both directions, 8 MB a second each, for `replay`.")
def demo(seconds, seed, out, as_json, codec, waveform, feedback, images, record):
    """Run the closed loop over a simulated channel and write a report.

    Images are encoded at node A and decoded at node B. The channel fades from 24 to -4 dB and back, then drops
    by 15 dB at once. B's measured SNR travels back over the air, and A adapts. Ctrl-C ends the run with what was
    gathered so far.
    """
    config = LoopConfig(seconds=seconds, seed=seed, codec=codec, waveform=waveform, feedback=feedback, images=images)
    run = run_demo(config, out or default_run_path(), record=record)
    if as_json:
        click.echo(json.dumps(json_summary(run), indent=2))
    else:
        print_summary(run)
    exit_unless_complete(run, f" after {run.summary.get('frames_sent', 0)} frames")


@dataclass
class Run:
    """A run that has ended. error: why it failed, or None. signal: number of the signal that ended it, or 0."""

    folder: RunFolder
    clean_accuracy: float
    summary: dict = field(default_factory=dict)
    error: str | None = None
    signal: int = 0


def run_demo(config: LoopConfig, out: Path, console: Console | None = None, record: bool = False) -> Run:
    """Run the loop and write the run folder; record: with the recordings AIR and FEEDBACK_AIR.

    Raises:
        UserError, CodecError: wrong input; nothing was run then.
    """
    os.environ.setdefault("GR_CONF_LOG_LOG_LEVEL", "warning")
    from gr_semantic.link.loop import LoopFlowgraph
    from gr_semantic.link.loop_recording import LoopRecording
    from gr_semantic.link.real_time import real_time
    from gr_semantic.modem import Waveform
    from gr_semantic.paths import codec_folder
    from gr_semantic.recording.report import identify, open_run_folder, write_report
    from semantic_models import SemanticCodec, load_images

    waveform = Waveform.load(config.waveform)
    codec = SemanticCodec.load(codec_folder(config.codec))
    if "images_per_frame" not in config.model_fields_set:  # as many as usual, or as fit with the longest code
        most = waveform.max_payload_symbols * waveform.data_count // max(codec.budgets)
        fitting = max(1, min(config.images_per_frame, most))
        config = LoopConfig(**config.model_dump(exclude_unset=True), images_per_frame=fitting)
    image_set = load_images(config.images, like=codec)
    identities = identify(codec, waveform, image_set)
    rows: list[FrameRow] = []
    symbols = SymbolSample()
    progress = Progress(config.slots, console or Console(stderr=True))

    def on_result(row):
        log.append(row)
        rows.append(row)
        progress.add(row)

    loop = LoopFlowgraph(config, codec, image_set, on_result=on_result, on_symbols=symbols.add)
    folder = open_run_folder(out, config, identities)  # only once all settings have proved right
    log = FrameLog(folder.path / FRAMES)
    recording = LoopRecording(loop, folder.path / AIR, folder.path / FEEDBACK_AIR) if record else None
    with caught_signals() as caught:
        with progress, real_time():
            try:
                loop.start()
                while not (caught or loop.finished() or (recording and recording.error)):
                    time.sleep(_POLL_S)
                if recording and not caught:
                    recording.finish()
            finally:
                loop.stop_and_wait()
        log.close()
        run = Run(folder, codec.clean_accuracy, error=loop.error or (recording and recording.error))
        if caught and not run.error and len(rows) < config.slots:
            run.signal = caught[0]
        status = "failed" if run.error else "interrupted" if run.signal else "complete"
        run.summary = write_report(folder, status, config, identities, rows, codec, image_set, symbols, loop.papr_db)
    return run


def json_summary(run: Run) -> dict:
    """What --json prints."""
    keys = ("frames_sent", "frames_received", "images", "accuracy")
    summary = {key: run.summary[key] for key in keys}
    summary["accuracy_by_snr"] = [{key: entry[key] for key in _BIN_KEYS} for entry in run.summary["accuracy_by_snr"]]
    summary["feedback"] = run.summary["feedback"]
    summary["adoption_ms"] = run.summary["adoption_ms"]
    summary["run_dir"] = str(run.folder.path.resolve())
    return summary


def print_summary(run: Run) -> None:
    """The short table at the end, on stdout."""
    console, summary = Console(), run.summary
    if summary["accuracy_by_snr"]:
        console.print(_accuracy_table(summary))
    feedback, adoption = summary["feedback"], summary["adoption_ms"]
    accuracy = f"{percent(summary['accuracy'])} of {summary['images']} images"
    if summary["images"] and summary["accuracy"] is None:
        accuracy = f"unknown: {summary['images']} images were decoded, but their true classes are not known"
    lines = [
        f"accuracy {accuracy} ({percent(run.clean_accuracy)} without a channel)",
        f"budget   {summary['mean_budget'] or 0:.1f} symbols per image on average",
        f"frames   {summary['frames_received']} of {summary['frames_sent']} received",
        f"feedback {feedback['received']} of {feedback['sent']} received, {feedback['used']} used",
    ]
    if adoption is not None:
        lines.append(f"the sudden drop was adopted after {adoption:.0f} ms of link time")
    lines.append(f"report   {run.folder.path / PAGE}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _accuracy_table(summary):
    table = Table(title="accuracy by SNR", title_justify="left")
    for name in ("true SNR", "images", "accuracy", "95 % interval", "offline"):
        table.add_column(name, justify="right")
    for entry in summary["accuracy_by_snr"]:
        low, high = entry["ci95"]
        table.add_row(
            f"{entry['snr_db']:+.0f} dB",
            str(entry["images"]),
            percent(entry["accuracy"]),
            f"{100 * low:.1f} to {100 * high:.1f} %",
            percent(entry["reference_accuracy"]),
        )
    return table
