# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by all tests: no window, one torch thread, the optional data sets and the zoo's codec."""

import os
import subprocess
import sys

# Before torch, Qt and matplotlib are imported, and for the processes that tests start.
os.environ["MPLBACKEND"] = "Agg"
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["OMP_NUM_THREADS"] = "1"  # beside a flowgraph more threads make torch slower

import pytest

from gr_semantic import paths


@pytest.fixture(scope="session")
def data_dir():
    """Folder of the optional data sets. Absent: the test is skipped, but in CI (CI=true) it fails."""
    folder = paths.data_dir()
    if folder is None:
        reason = "GR_SEMANTIC_DATA names no folder of optional data sets"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"{reason}, and CI must not skip")
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def zoo_codec():
    """The embedded codec, on the CPU."""
    import torch

    from semantic_models import SemanticCodec

    torch.set_num_threads(1)
    return SemanticCodec.load(paths.ZOO / "fashion-mnist", device="cpu")


@pytest.fixture(scope="session")
def real_data(data_dir, tmp_path_factory):
    """Folder with the real sets (unpacked here if need be) and the real weights."""
    if all((data_dir / name).is_dir() for name in ("cifar-10-batches-bin", "cifar-100-binary")):
        return data_dir
    unpacker = data_dir.parent / "tools" / "unpack_data.py"
    if not unpacker.is_file():
        reason = f"{data_dir} lacks a CIFAR binary version, and nothing beside it unpacks it"
        (pytest.fail if os.environ.get("CI", "").lower() in ("1", "true") else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, unpacker, folder], check=True, timeout=200)
    (folder / "weights").symlink_to(data_dir / "weights")
    return folder
