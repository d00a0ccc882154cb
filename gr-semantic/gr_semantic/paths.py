# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the parts of the checkout lie, and the folder of optional data sets."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "models" / "zoo"
GRC_BLOCKS = ROOT / "gr-semantic" / "grc"
FLOWGRAPHS = ROOT / "flowgraphs"


def codec_folder(name: str | os.PathLike) -> Path:
    """Folder of a codec that is given by its zoo name ("fashion-mnist") or by a path.

    A path wins where both exist. The folder need not exist: SemanticCodec.load says what is wrong with it.
    """
    path = Path(name).expanduser()
    return path if path.is_dir() or len(path.parts) != 1 else ZOO / path


def data_dir() -> Path | None:
    """Folder of optional data sets: GR_SEMANTIC_DATA, or None where that is unset or not a folder."""
    value = os.environ.get("GR_SEMANTIC_DATA")
    path = Path(value).expanduser() if value else None
    return path if path and path.is_dir() else None
