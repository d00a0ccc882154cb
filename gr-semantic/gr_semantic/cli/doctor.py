# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic doctor`: what is there, what is missing, and how to mend it.

A probe is a function that returns what it found and raises where something is missing; PROBES adds the way out.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import click

from gr_semantic.paths import GRC_BLOCKS, ROOT, ZOO, data_dir

SYSTEM_PYTHON = "/usr/bin/python3"
SET_UP = "./run setup"


@dataclass(frozen=True)
class Probe:
    """One thing to look for. look: returns what it found, raises where it is missing. fix: the way out.
    needed: without it the demo or the tests fail."""

    name: str
    look: Callable[[], str]
    fix: str
    needed: bool = True


@dataclass(frozen=True)
class Finding:
    """What a probe came to. fix is empty where all is well."""

    name: str
    ok: bool
    needed: bool
    found: str
    fix: str


def examine(probe: Probe) -> Finding:
    """Runs a probe. Whatever it raises is a finding: a broken library may raise anything on import."""
    try:
        return Finding(probe.name, True, probe.needed, probe.look(), "")
    except Exception as error:
        found = " ".join(str(error).split()) or type(error).__name__
        return Finding(probe.name, False, probe.needed, found, probe.fix)


def gnu_radio() -> str:
    from gnuradio import gr, iio  # noqa: F401  (gr-iio is a part that some builds lack)

    return f"{gr.version()} in {gr.prefix()}"


def numpy_versions() -> str:
    import numpy

    command = [SYSTEM_PYTHON, "-s", "-c", "import numpy; print(numpy.__version__)"]
    system = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    if numpy.__version__ != system:
        raise RuntimeError(f"{numpy.__version__} in {Path(numpy.__file__).parent}, but GNU Radio's is {system}")
    return f"{system}, the one of GNU Radio"


def torch_device() -> str:
    import torch

    cuda = torch.cuda.is_available()
    device = f"cuda ({torch.cuda.get_device_name(0)})" if cuda else f"cpu ({torch.get_num_threads()} threads)"
    return f"{torch.__version__} on {device}"


def libiio() -> str:
    import adi  # noqa: F401  (fails where pylibiio and libiio do not fit together)
    import iio

    return f"libiio {iio.version[0]}.{iio.version[1]}, pylibiio {version('pylibiio')}, pyadi-iio {version('pyadi-iio')}"


def companion() -> str:
    import gi

    gi.require_version("Gtk", "3.0")
    tool = shutil.which("gnuradio-companion")
    if not tool:
        raise RuntimeError("gnuradio-companion is not in PATH")
    return f"{tool}, opens with ./run grc"


def _block_files() -> dict[str, Path]:
    """Our blocks' files by block id."""
    import yaml

    files = sorted(GRC_BLOCKS.glob("*.block.yml"))
    if not files:
        raise RuntimeError(f"no block files in {GRC_BLOCKS}")
    return {yaml.safe_load(file.read_text(encoding="utf-8"))["id"]: file for file in files}


def _companion_platform():
    from gnuradio import gr
    from gnuradio.grc.core.platform import Platform

    parts = (gr.major_version(), gr.api_version(), gr.minor_version())
    return Platform(version=gr.version(), version_parts=parts, prefs=gr.prefs())


def companion_blocks() -> str:
    ours = _block_files()
    platform = _companion_platform()
    platform.build_library([*platform.config.block_paths, str(GRC_BLOCKS)])
    missing = sorted(set(ours) - set(platform.blocks))
    if missing:
        raise RuntimeError(f"Companion does not load {', '.join(missing)}")
    return f"{len(ours)} blocks, all loaded by ./run grc"


def plain_companion() -> str:
    folders = [Path(folder) for folder in _companion_platform().config.block_paths]
    missing = [file for file in _block_files().values() if not any((folder / file.name).exists() for folder in folders)]
    if missing:
        raise RuntimeError(f"does not see {len(missing)} of our blocks; ./run grc does")
    return "sees our blocks"


def fashion_mnist() -> str:
    from semantic_models import load_images

    return f"{len(load_images('fashion-mnist:train'))} + {len(load_images('fashion-mnist:test'))} images"


def optional_data() -> str:
    folder = data_dir()
    if folder is None:
        raise RuntimeError("GR_SEMANTIC_DATA names no folder; nothing but a few tests needs it")
    return f"{folder}: {', '.join(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))}"


def codecs() -> str:
    from semantic_models import SemanticCodec

    folders = sorted(file.parent for file in ZOO.glob("*/codec.toml"))
    if not folders:
        raise RuntimeError(f"no codec in {ZOO}")
    loaded = {folder.name: SemanticCodec.load(folder, device="cpu") for folder in folders}
    return ", ".join(f"{name} (budgets {', '.join(map(str, codec.budgets))})" for name, codec in loaded.items())


def plutos() -> str:
    """Radios on USB and, where the machine resolves .local names, on the network."""
    found = []
    for backend in ("usb", "ip"):
        scan = subprocess.run(["iio_info", f"-S{backend}"], capture_output=True, text=True, timeout=10)
        found += re.findall(r"Pluto.*\[((?:usb|ip):[^\]]+)\]", scan.stdout)
    if not found:
        raise RuntimeError("none found; the simulated channel needs none")
    return ", ".join(found)


PROBES = [
    Probe("GNU Radio", gnu_radio, f"{SET_UP}, or: apt-get install gnuradio"),
    Probe("numpy", numpy_versions, f"start through ./run, which leaves ~/.local out; else: rm -rf .venv && {SET_UP}"),
    Probe("torch", torch_device, SET_UP),
    Probe("libiio", libiio, f"{SET_UP}, or: apt-get install libiio-utils"),
    Probe("Companion", companion, "apt-get install gnuradio gir1.2-gtk-3.0", needed=False),
    Probe("blocks in Companion", companion_blocks, f"restore {GRC_BLOCKS} (git status), see ./run grcc for errors"),
    Probe(
        "blocks in a plain Companion",
        plain_companion,
        f"[grc] local_blocks_path={GRC_BLOCKS} in ~/.gnuradio/config.conf; run flowgraphs with {ROOT}/.venv/bin/python",
        needed=False,
    ),
    Probe("Fashion-MNIST", fashion_mnist, f"{SET_UP}, or: apt-get install dataset-fashion-mnist"),
    Probe("codecs", codecs, "restore models/zoo (git status)"),
    Probe("optional data sets", optional_data, "export GR_SEMANTIC_DATA=FOLDER", needed=False),
    Probe(
        "Plutos",
        plutos,
        "plug one in (usb:), or try: iio_info -u ip:192.168.2.1; on USB without root: udev rule for 0456:b673",
        needed=False,
    ),
]


def print_table(findings: list[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("", "what", "found, or missing and how to mend it"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        mark = Text("ok", "green") if finding.ok else Text("MISSING", "red") if finding.needed else Text("-", "dim")
        fix = f"\n-> {finding.fix}" if finding.fix else ""
        table.add_row(mark, Text(finding.name), Text(finding.found + fix))
    Console().print(table)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what is there, what is missing, and how to mend it.

    Exit code 0 if everything that the demo and the tests need is there, 1 otherwise.
    """
    findings = [examine(probe) for probe in PROBES]
    missing = [finding.name for finding in findings if finding.needed and not finding.ok]
    if as_json:
        click.echo(json.dumps({"ok": not missing, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        print_table(findings)
        click.echo(
            f"Missing: {', '.join(missing)}." if missing else "Everything that the demo and the tests need is here."
        )
    ctx.exit(1 if missing else 0)
