# SPDX-License-Identifier: GPL-3.0-or-later
"""Reference pages of the blocks, from the files that GNU Radio Companion reads."""

import re
from pathlib import Path

import yaml

_HEADINGS = ("Input", "Output", "Parameters")
_SHOWN = {"raw": "any", "file_open": "file", "file_save": "file", "gui_hint": "position"}


def write_block_pages(blocks: Path, out: Path) -> None:
    """One page for each ``*.block.yml`` of a folder, and an index of them."""
    out.mkdir(parents=True)
    described = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(blocks.glob("*.block.yml"))]
    for fields in described:
        (out / f"{fields['id']}.md").write_text(_page(fields), encoding="utf-8")
    names = "\n".join(fields["id"] for fields in described)
    rows = "\n".join(f"| [{f['label']}]({f['id']}.md) | {_first_sentence(f['documentation'])} |" for f in described)
    (out / "index.md").write_text(
        "# Blocks\n\nEvery block stands in Companion's category *Semantic Communication*. The messages between "
        "them are told in [architecture](../../architecture.md#messages-between-blocks).\n\n"
        f"| block | what it does |\n|---|---|\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n",
        encoding="utf-8",
    )


def _page(fields):
    about, sections = _parts(fields["documentation"])
    lines = [f"# {fields['label']}", "", about, ""]
    for heading in ("Input", "Output"):
        ports = fields.get("inputs" if heading == "Input" else "outputs", ())
        if ports:
            lines += [f"## {heading}", "", *_ports(ports, sections.get(heading, "")), ""]
    lines += ["## Parameters", "", "| parameter | type | default | while it runs |", "|---|---|---|---|"]
    callbacks = " ".join(fields["templates"].get("callbacks", ()))
    for parameter in fields["parameters"]:
        moves = "yes" if f"${{{parameter['id']}}}" in callbacks else ""
        kind = parameter["dtype"]
        default = str(parameter.get("default", "")).strip()
        shown = f"`{default}`" if default else ""
        lines.append(f"| {parameter['label']} | {_SHOWN.get(kind, kind)} | {shown} | {moves} |")
    lines += ["", *_items(sections["Parameters"]), "", "## Checks", ""]
    lines += [f"- `{text.removeprefix('${ ').removesuffix(' }')}`" for text in fields.get("asserts", ())] or ["None."]
    return "\n".join([*lines, "", f"`{fields['templates']['imports']}`", ""])


def _parts(documentation):
    """The text before the first heading, and the text of each heading."""
    pieces = re.split(r"^(Input|Output|Parameters):$", documentation, flags=re.M)
    return pieces[0].strip(), dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _ports(ports, text):
    kinds = [f"{port.get('id') or port.get('label')} ({_kind(port)})" for port in ports if port.get("hide") is None]
    return [", ".join(kinds), "", *_items(text)]


def _kind(port):
    optional = ", optional" if port.get("optional") else ""
    return ("message" if port["domain"] == "message" else f"{port['dtype']} stream") + optional


def _items(text):
    """Lines `name: explanation`, which may go on in deeper lines, as a list; other lines as they are."""
    lines = []
    for line in text.strip("\n").splitlines():
        stripped = line.strip()
        if match := re.match(r"    (\S.{0,80}?): (.*)", line):
            lines.append(f"- **{match[1]}**: {match[2]}")
        elif stripped:
            lines.append(f"  {stripped}" if lines and lines[-1].startswith(("- ", "  ")) else stripped)
    return lines


def _first_sentence(documentation):
    text = " ".join(documentation.split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", text)[0].rstrip(".")
