# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic virtual-pluto``: serves Plutos without hardware until Ctrl-C."""

import json
import signal
import sys
import threading

import click

from gr_semantic.errors import UserError
from gr_semantic.short_slice import take_short_slices
from gr_semantic.virtual_pluto.config import MAX_RADIOS, VirtualPlutosConfig
from gr_semantic.virtual_pluto.virtual_plutos import VirtualPlutos
from gr_semantic.virtual_pluto.virtual_plutos_process import answer

_SUMMARY_S = 0.2
_SWITCH_S = 2e-4  # clients wait for the interpreter, which the air has, at most about this long


@click.command("virtual-pluto")
@click.option("--config", type=click.Path(), help="YAML file of radios, paths, events. [default: two radios]")
@click.option("--radios", type=click.IntRange(1, MAX_RADIOS), help="Number of equal radios, in place of the file's.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the first radio, the others follow; 0: free ones.")
@click.option("--seed", type=int, help="Of noise, fading and serial numbers.")
@click.option("--speed", type=float, help="Air time over wall clock, 0..1: below 1 on slow machines.")
@click.option("--fields", is_flag=True, help="Print every field of the YAML file with its meaning, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line with uris and serials when ready.")
@click.option("--control", is_flag=True, help="For programs: settings, then requests, as JSON lines on stdin.")
def virtual_pluto(config, radios, port, seed, speed, fields, as_json, control):
    """Serve ADALM-Plutos without hardware, on one simulated air.

    Programs that use libiio take them for the real ones: pyadi-iio, gr-iio's blocks, iio_info, iio_attr. Runs until
    Ctrl-C. Two radios hear each other where their carriers overlap, 60 dB down, unless the file says otherwise.

    \b
    Examples:
      gr-semantic virtual-pluto                         two radios; prints their URIs
      gr-semantic virtual-pluto --port 50000            ... at ip:127.0.0.1:50000 and :50001
      iio_info -u ip:127.0.0.1:50000                    in another terminal
      gr-semantic virtual-pluto --fields                what the YAML file can say
      gr-semantic virtual-pluto --config air.yaml       for instance:

    \b
        radios: [{ppm: 10}, {ppm: -10, noise_figure_db: 8}]
        default_path: {gain_db: -65, multipath: tdl-a:100ns}
        events:
          - {time_s: 10, kind: path_gain, from: 0, to: 1, gain_db: -80}
          - {time_s: 20, kind: unplug, radio: 1, for_s: 5}
    """
    if fields:
        click.echo(describe_fields())
        return
    sys.setswitchinterval(_SWITCH_S)
    take_short_slices()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if control:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for whoever started this
        serve_requests(ended)
        return
    given = {"port": port, "seed": seed, "speed": speed, "radios": radios and [{}] * radios}
    settings = VirtualPlutosConfig.from_yaml(config) if config else VirtualPlutosConfig()
    settings = settings.replaced({name: value for name, value in given.items() if value is not None})
    with VirtualPlutos(settings).start() as plutos:
        if as_json:
            click.echo(json.dumps({"uris": plutos.uris, "serials": plutos.serials}))
        else:
            for place, (uri, serial) in enumerate(zip(plutos.uris, plutos.serials, strict=True)):
                click.echo(f"radio {place}: {uri}  (serial {serial})")
            click.echo("Ctrl-C ends", err=True)
        while not ended.wait(_SUMMARY_S):
            plutos.check()
    if plutos.slipped_s > 0.01 * plutos.ran_s:
        click.echo(
            f"gr-semantic: warning: this machine was too slow: the air stood still for {plutos.slipped_s:.1f} s of "
            f"{plutos.ran_s:.1f} s; use --speed or lower sample rates",
            err=True,
        )


def serve_requests(ended: threading.Event) -> None:
    """The first line on stdin holds the settings, each further one a request; ends with stdin, or when ``ended``."""
    plutos = None

    def reply(line):
        nonlocal plutos
        if plutos is not None:
            return answer(plutos, json.loads(line))
        plutos = VirtualPlutos(json.loads(line)).start()
        return {"uris": plutos.uris, "serials": plutos.serials}

    def serve():
        for line in sys.stdin:
            try:
                message = reply(line)
            except (UserError, json.JSONDecodeError) as error:
                message = {"error": str(error)}
            print(json.dumps(message), flush=True)
        ended.set()

    threading.Thread(target=serve, daemon=True, name="virtual-pluto-requests").start()
    ended.wait()
    if plutos is not None:
        plutos.stop()


def describe_fields() -> str:
    """Every field of the configuration file: name, default, meaning."""
    from gr_semantic.virtual_pluto import config as settings

    lines = []
    sections = [
        ("top level", settings.VirtualPlutosConfig),
        ("radios: a list of", settings.RadioConfig),
        ("default_path, and each of paths", settings.PathConfig),
        ("each of paths, moreover", settings.ListedPath),
        ("interferers: a list of", settings.InterfererConfig),
        ("events: a list; kind path_gain", settings.SetPath),
        ("kind noise_figure", settings.SetNoiseFigure),
        ("kind ppm", settings.SetPpm),
        ("kind unplug", settings.Unplug),
    ]
    for title, model in sections:
        lines.append(f"{title}:")
        inherited = settings.PathConfig.model_fields if model is settings.ListedPath else {}
        for name, field in model.model_fields.items():
            if name in inherited or not field.description:
                continue
            default = "required" if field.is_required() else _plain(field.default)
            lines.append(f"  {field.alias or name} [{default}]: {field.description}")
    return "\n".join(lines)


def _plain(default):
    if hasattr(default, "model_dump") or isinstance(default, tuple):
        return "as below"
    return json.dumps(default)
