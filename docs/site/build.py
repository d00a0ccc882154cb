# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the documentation into build/site: `./run docs`. A link that leads nowhere fails the build."""

import shutil
import sys
from pathlib import Path

from block_pages import write_block_pages
from cli_page import write_cli_page
from sphinx.cmd.build import main as sphinx_build

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# What pages link to, in the folders of the repository: a link in a file leads to the same place everywhere.
_COPIED = (
    "docs",
    "models/zoo",
    "models/experiments",
    "flowgraphs",
    "hw_configs",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
)
_IGNORED = shutil.ignore_patterns("*.safetensors", "*.py", "__pycache__", "site", "*.tmp", "*.part")


def assemble(source: Path) -> None:
    """Put the pages into an empty folder: copies of the files, and the generated references."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in _COPIED:
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=_IGNORED)
        else:
            shutil.copy(ROOT / name, place)
    shutil.copy(HERE / "index.md", source / "index.md")
    write_block_pages(ROOT / "gr-semantic" / "grc", source / "docs" / "reference" / "blocks")
    write_cli_page(source / "docs" / "reference" / "cli.md")


def build(out: Path, source: Path) -> int:
    """Sphinx's exit status; warnings are errors."""
    assemble(source)
    options = ["-q", "-W", "--keep-going", "-n", "-E", "-c", str(HERE), "-d", str(source) + "-doctrees"]
    return sphinx_build([*options, "-b", "html", str(source), str(out)])


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build"
    status = build(folder / "site", folder / "site-source")
    if status == 0:
        print(f"open {folder / 'site' / 'index.html'}")
    sys.exit(status)
