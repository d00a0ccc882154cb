# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic ota``: the closed loop, one way of it, or a sweep, over radios."""

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gr_semantic.cli.ending import caught_signals, exit_unless_complete
from gr_semantic.cli.progress import Progress
from gr_semantic.errors import UserError
from gr_semantic.link.frame_log import FrameLog, read_frame_log
from gr_semantic.link.ota_config import OtaConfig
from gr_semantic.link.ota_row import OtaRow
from gr_semantic.recording.page import percent
from gr_semantic.recording.run_folder import FRAMES, MANIFEST, PAGE, RunFolder, default_run_path
from gr_semantic.recording.symbol_sample import SymbolSample

_POLL_S = 0.05
_SWITCH_S = 1e-3  # threads of radios wait for the interpreter at most about this long


@click.command()
@click.option(
    "--config", "config_path", type=click.Path(), help="Hardware configuration, e.g. hw_configs/pair_2g4.yaml."
)
@click.option("--mode", type=click.Choice(["closed-loop", "tx", "rx", "sweep"]), help="In place of the file's.")
@click.option("--seconds", type=float, help="In place of the file's.")
@click.option("--virtual", is_flag=True, help="Start virtual Plutos and use them instead of the file's radios.")
@click.option("--preflight/--no-preflight", default=True, help="Measure levels and the channel first.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder. [default: runs/ota-DATE-TIME]")
@click.option("--resume", type=click.Path(path_type=Path), help="Run folder of an interrupted run: go on with it.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON on stdout, and nothing else there.")
def ota(config_path, mode, seconds, virtual, preflight, out, resume, as_json):
    """Run an experiment over the air.

    Opens the radios of the configuration, measures levels, clocks and channel (pre-flight), then sends images at node
    A, decodes them at node B and reports the measured SNR back over the air. Ctrl-C ends the run with what was
    gathered; --resume goes on with it. Whatever happens, the transmitters are off at the end.

    \b
    Examples:
      gr-semantic ota --config hw_configs/virtual_pair.yaml              no radio needed
      gr-semantic ota --config hw_configs/pair_2g4.yaml                  two Plutos
      gr-semantic ota --config hw_configs/pair_2g4.yaml --mode sweep     over the attenuation
      gr-semantic ota --config hw_configs/one_way_rx.yaml                the receiving host
      gr-semantic ota --resume runs/ota-20260101-120000
    """
    config = load_config(config_path, resume, mode, seconds, virtual)
    run = run_ota(config, resume or out or default_run_path(name="ota"), preflight, bool(resume))
    if as_json:
        click.echo(json.dumps(run.summary | {"run_dir": str(run.folder.path.resolve())}, indent=2))
    else:
        print_summary(run)
    exit_unless_complete(run, f"; go on with: gr-semantic ota --resume {run.folder.path}")


@dataclass
class Run:
    """A run that has ended. error: why it failed, or None. signal: number of the signal that ended it, or 0."""

    config: OtaConfig
    folder: RunFolder
    summary: dict = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    error: str | None = None
    signal: int = 0


def load_config(path, resume=None, mode=None, seconds=None, virtual=False) -> OtaConfig:
    """The settings of a file, or of the run that is resumed, with the command line's changes.

    Raises:
        UserError: neither or both are given, or a field is wrong.
    """
    if (path is None) == (resume is None):
        raise UserError("give --config FILE, or --resume RUN-FOLDER")
    if resume is not None:
        config = OtaConfig.from_dict(RunFolder(resume, resume=True).read_manifest()["config"], f"{resume}/{MANIFEST}")
    else:
        config = OtaConfig.from_yaml(path)
    changes = {"mode": mode, "seconds": seconds}
    changes = {name: value for name, value in changes.items() if value is not None}
    if virtual and config.virtual_plutos is None:
        changes["virtual_plutos"] = {"radios": [{} for _ in config.radios]}
    if not changes:
        return config
    return OtaConfig.from_dict(config.model_dump(exclude_unset=True) | changes, str(path or resume))


@contextlib.contextmanager
def opened_radios(config: OtaConfig, events: list[str], say=lambda text: None):
    """name -> RadioKeeper of all radios of the configuration, open; virtual Plutos are started before. Transmitters are
    off at the end.

    Raises:
        UserError: a radio cannot be opened, or two of them are the same one.
    """
    from gr_semantic.radio import RadioKeeper

    def on_event(text):
        events.append(text)
        say(text)

    with contextlib.ExitStack() as stack:
        uris = None
        if config.virtual_plutos is not None:
            from gr_semantic.virtual_pluto import VirtualPlutosProcess

            plutos = stack.enter_context(VirtualPlutosProcess(config.virtual_plutos).start())
            if len(plutos.uris) < len(config.radios):
                raise UserError(f"virtual_plutos has {len(plutos.uris)} radios, the configuration {len(config.radios)}")
            uris = dict(zip(config.radios, plutos.uris, strict=False))
        medium = make_medium(config)
        radios = {}
        for name, settings in config.radio_configs(uris).items():
            radio = radios[name] = RadioKeeper(name, settings, medium)
            stack.callback(radio.close)
            radio.on_event.append(on_event)
            radio.open()
        _check_distinct(radios)
        yield radios


def make_medium(config: OtaConfig):
    """The medium of simulated radios, or None without any."""
    from gr_semantic.radio.simulated import SimulatedMedium

    if not any(fields.get("kind") == "simulated" for fields in config.radios.values()):
        return None
    carriers = {"forward": config.forward, "feedback": config.feedback}
    channels = {carriers[name].lo_hz: fields for name, fields in (config.medium or {}).items() if carriers[name]}
    return SimulatedMedium(channels, config.seed)


def _check_distinct(radios):
    serials = {}
    for name, radio in radios.items():
        serial = radio.settings.get("serial")
        if serial is not None and serial in serials:
            uris = [radios[one].settings["uri"] for one in (serials[serial], name)]
            raise UserError(f"radios {serials[serial]} and {name} are the same Pluto ({serial}): {' and '.join(uris)}")
        serials[serial] = name


def run_ota(config: OtaConfig, out: Path, with_preflight=True, resume=False, console: Console | None = None) -> Run:
    """Run the experiment and write the run folder.

    Raises:
        UserError, CodecError: wrong input, or a radio that cannot be opened; nothing was sent then.
    """
    os.environ.setdefault("GR_CONF_LOG_LOG_LEVEL", "warning")
    console = console or Console(stderr=True)
    # All that takes its time to import: with the radios open, samples would be lost meanwhile.
    from gr_semantic.link import ota, ota_preflight, ota_recording, ota_sweep  # noqa: F401
    from gr_semantic.modem import Waveform
    from gr_semantic.paths import codec_folder
    from gr_semantic.radio import off_switch, pluto
    from gr_semantic.recording import ota_plots  # noqa: F401
    from gr_semantic.recording.ota_report import open_ota_folder
    from gr_semantic.recording.report import identify
    from semantic_models import SemanticCodec, load_images

    waveform = Waveform.load(config.waveform)
    codec = SemanticCodec.load(codec_folder(config.codec))
    image_set = load_images(config.images, like=codec)
    identities = identify(codec, waveform, image_set)
    events: list[str] = []

    def say(text):
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    if any(fields.get("kind", "pluto") == "pluto" for fields in config.radios.values()):
        pluto.load_libraries()
    off_switch.arm()  # before our own handlers: a second signal meets this one
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        with caught_signals() as caught, opened_radios(config, events, say) as radios:
            for name, radio in radios.items():
                say(f"radio {name}: {describe(radio.settings)}")
            folder = open_ota_folder(out, config, identities, radios, resume)
            run = Run(config, folder, events=events)
            if with_preflight:
                _fly(config, radios, folder, caught, say)
            work = _sweep if config.mode == "sweep" else _loop
            work(run, codec, image_set, identities, radios, caught, console, resume)
    finally:
        sys.setswitchinterval(interval_s)
    return run


def describe(settings: dict) -> str:
    """One line of what a radio really set."""
    if settings.get("kind") == "file":
        return f"file {settings['recording'] or settings['output']}"
    parts = [str(settings.get("uri"))]
    if settings.get("serial"):
        parts.append(f"serial {settings['serial']}, firmware {settings['firmware']}")
    parts.append(f"{settings['sample_rate_hz'] / 1e6:g} Msps")
    if settings.get("tx_lo_hz"):
        parts.append(f"sends on {settings['tx_lo_hz'] / 1e6:g} MHz, attenuation {settings['tx_attenuation_db']:g} dB")
    if settings.get("rx_lo_hz"):
        parts.append(f"hears {settings['rx_lo_hz'] / 1e6:g} MHz, gain {settings['rx_gain_db']:g} dB")
    return ", ".join(parts)


def _fly(config, radios, folder, caught, say):
    """Pre-flight of every direction whose two ends are here."""
    from gr_semantic.link.ota_preflight import preflight
    from gr_semantic.recording.ota_report import write_preflight

    results, drawings = [], []
    for direction in ("forward", "feedback"):
        carrier = getattr(config, direction)
        both = carrier is not None and {carrier.transmitter, carrier.receiver} <= set(radios)
        if not both or any(not radios[name].realtime for name in (carrier.transmitter, carrier.receiver)):
            continue
        if direction == "feedback" and carrier == config.forward:
            continue
        result, drawing = preflight(config, radios, direction, lambda: bool(caught))
        if caught:
            return
        results.append(result)
        drawings.append(drawing)
        say(_preflight_line(result))
        for advice in result.advice:
            say(f"  -> {advice}")
    if results:
        write_preflight(folder, results, drawings)


def _preflight_line(result):
    if result.snr_db is None:
        return f"{result.direction}: nothing heard, level {result.quiet_dbfs:.0f} dBFS"
    carrier = f"carrier {result.cfo_hz:+.0f} Hz ({result.offset_ppm:+.2f} ppm)"
    return (
        f"{result.direction}: SNR {result.snr_db:.1f} dB, {carrier}, "
        f"delay {1e3 * result.delay_s:.0f} ms, spread {1e6 * result.delay_spread_s:.1f} us, "
        f"level {result.loud_dbfs:.0f} dBFS over {result.quiet_dbfs:.0f}"
    )


def _loop(run, codec, image_set, identities, radios, caught, console, resume):
    """The closed loop, or one end of a one-way link."""
    from gr_semantic.link.ota import OtaFlowgraph
    from gr_semantic.link.ota_recording import OtaRecording
    from gr_semantic.link.real_time import real_time
    from gr_semantic.recording.ota_report import write_ota_report

    config, folder = run.config, run.folder
    frames = folder.path / FRAMES
    before: list[OtaRow] = read_frame_log(frames, OtaRow) if resume and frames.exists() else []
    first_slot = before[-1].slot + 1 if before else 0
    symbols = SymbolSample()
    if first_slot < config.slots and not caught:
        log = FrameLog(frames, OtaRow, append=bool(before))
        progress = Progress(config.slots, console, on_air=True)
        for row in before:
            progress.add(row)
        before.clear()

        recording = None

        def on_result(row):
            if recording:
                recording.take(row)
            row = row.from_slot(first_slot, config.slot_s)
            log.append(row)  # and nowhere else: a day's rows would fill the memory
            progress.add(row)

        with contextlib.closing(log):
            loop = OtaFlowgraph(config, codec, image_set, radios, on_result, symbols.add, first_slot=first_slot)
            if config.record and config.mode != "tx":
                name = f"received-from-{first_slot}" if first_slot else "received"
                recording = OtaRecording(loop, folder.path / f"{name}.sigmf-meta", image_set)
            live = any(radio.config.kind == "pluto" for radio in radios.values())
            with progress, real_time(config.one_core, short_slices=True) if live else contextlib.nullcontext():
                try:
                    loop.start()
                    while not (caught or loop.finished() or (recording and recording.error)):
                        time.sleep(_POLL_S)
                    loop.drain()
                finally:
                    for radio in radios.values():
                        radio.close()  # the transmitters first, whatever the flowgraph still does
                    if recording:
                        recording.finish()
                    loop.stop_and_wait()
            run.error = loop.error or (recording and recording.error)
    rows = read_frame_log(frames, OtaRow) if frames.exists() else []
    if caught and not run.error and len(rows) < config.slots:
        run.signal = caught[0]
    status = "failed" if run.error else "interrupted" if run.signal else "complete"
    run.summary = write_ota_report(
        folder, status, config, identities, rows, codec, image_set, symbols, radios, run.events
    )


def _sweep(run, codec, image_set, identities, radios, caught, console, resume):
    """The same images at every attenuation."""
    from gr_semantic.link.ota_sweep import Sweep
    from gr_semantic.recording.ota_report import read_sweep, write_sweep

    config, folder = run.config, run.folder
    points = read_sweep(folder) if resume else []
    sweep = Sweep(config, codec, image_set, radios)
    wanted = config.sweep.attenuation_db[len(points) :]
    status = "complete"
    try:
        for attenuation_db in wanted:
            point, samples, truths = sweep.measure(attenuation_db, lambda: bool(caught))
            if caught:
                break
            points.append(point)
            number = len(points) - 1
            if config.record:
                _write_point(config, folder, number, samples, truths, image_set, codec, sweep.waveform)
            console.print(_point_line(point), highlight=False, markup=False, soft_wrap=True)
            write_sweep(folder, "running", config, identities, points, codec, radios, run.events)
    except UserError as error:
        run.error, status = str(error), "failed"
    if caught and not run.error:
        run.signal, status = caught[0], "interrupted"
    write_sweep(folder, status, config, identities, points, codec, radios, run.events)
    run.summary = {"points": [asdict(point) for point in points]}


def _write_point(config, folder, number, samples, truths, image_set, codec, waveform):
    from gr_semantic.recording.sigmf_file import RecordingWriter

    own = {
        "waveform": waveform.model_dump(),
        "link_id": config.link_id,
        "codec": config.codec,
        "model_id": codec.model_id,
        "images": image_set.name,
        "images_sha256": image_set.content_hash,
    }
    with RecordingWriter(folder.path / f"point-{number:02d}.sigmf-meta") as writer:
        writer.write(samples)
        capture = {"core:sample_start": 0, "core:frequency": config.forward.lo_hz}
        writer.finish(config.sample_rate_hz, own, [truth.to_annotation() for truth in truths], [capture])


def _point_line(point):
    if point.snr_db is None:
        return f"attenuation {point.attenuation_db:g} dB: nothing heard"
    accuracy = (
        "-" if point.accuracy is None else f"{percent(point.accuracy)} (offline {percent(point.offline_accuracy)})"
    )
    return (
        f"attenuation {point.attenuation_db:g} dB: SNR {point.snr_db:.1f} dB, QPSK errors {point.ber:.2g} (theory "
        f"{point.qpsk_theory:.2g}), {point.frames_received} of {point.frames} frames, accuracy {accuracy}"
    )


def print_summary(run: Run) -> None:
    """The short table at the end, on stdout."""
    console, summary = Console(), run.summary
    lines = []
    if run.config.mode == "sweep":
        table = Table(title="sweep over the attenuation", title_justify="left")
        for name in ("attenuation", "SNR", "QPSK errors", "theory", "frames", "accuracy", "offline"):
            table.add_column(name, justify="right")
        for point in summary["points"]:
            heard = point["snr_db"] is not None
            table.add_row(
                f"{point['attenuation_db']:g} dB",
                f"{point['snr_db']:.1f} dB" if heard else "-",
                f"{point['ber']:.2g}" if heard else "-",
                f"{point['qpsk_theory']:.2g}" if heard else "-",
                f"{point['frames_received']}/{point['frames']}",
                percent(point["accuracy"]),
                percent(point["offline_accuracy"]),
            )
        console.print(table)
    elif summary.get("frames_sent"):
        feedback, delay = summary["feedback"], summary["report_delay_ms"]
        if run.config.mode != "tx":
            lines.append(f"accuracy {percent(summary['accuracy'])} of {summary['images']} images")
            lines.append(f"frames   {summary['frames_received']} of {summary['frames_sent']} received")
        else:
            lines.append(f"frames   {summary['frames_sent']} sent")
        if run.config.mode == "closed-loop":
            lines.append(f"feedback {feedback['received']} of {feedback['sent']} received")
            if delay:
                lines.append(f"delay    {delay['median']:.0f} ms from measured SNR to its use, median")
        if summary["gaps"]:
            lines.append(f"gaps     {summary['gaps']}: samples were lost or missing, see frames.csv")
    else:
        lines.append("no frame was received" if run.config.mode == "rx" else "nothing was sent")
    lines += run.events
    lines.append(f"report   {run.folder.path / (PAGE if run.config.mode != 'sweep' else 'sweep.png')}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
