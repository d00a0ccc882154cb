# SPDX-License-Identifier: GPL-3.0-or-later
"""Reference page of the command line, from the commands themselves."""

from pathlib import Path

import click

from gr_semantic.cli.main import main

_WIDTH = 110


def write_cli_page(path: Path) -> None:
    """Every command and sub-command with what its ``--help`` says."""
    lines = [
        "# Command line",
        "",
        "What `gr-semantic COMMAND --help` says, for every command. `./run gr-semantic` calls it in the project's",
        "environment.",
        "",
    ]
    for name, command in _commands(main, "gr-semantic"):
        context = click.Context(command, info_name=name, max_content_width=_WIDTH, terminal_width=_WIDTH)
        level = "#" * min(name.count(" ") + 2, 4)
        lines += [f"{level} {name}", "", "```text", command.get_help(context), "```", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _commands(command, name):
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for sub in command.list_commands(context):
            yield from _commands(command.get_command(context, sub), f"{name} {sub}")
