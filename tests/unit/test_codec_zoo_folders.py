# SPDX-License-Identifier: GPL-3.0-or-later
"""Every codec of the zoo gives its golden vectors on this machine, and its files are those in codec.toml."""

import hashlib
import tomllib

import numpy as np
import pytest
from safetensors.numpy import load_file

from gr_semantic.paths import ZOO
from semantic_models import SemanticCodec

FOLDERS = sorted(file.parent for file in ZOO.glob("*/codec.toml"))


def as_complex(array):
    return np.ascontiguousarray(array).view(np.complex64)[..., 0]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_golden_vectors(folder):
    """Symbols and logits of other machines may differ in rounding, not in what they mean."""
    codec, golden = SemanticCodec.load(folder, "cpu"), load_file(folder / "golden.safetensors")
    expected = as_complex(golden["symbols"])
    symbols = codec.encode(golden["images"], float(golden["snr_db"][0]), expected.shape[1])
    wider = 5 if folder.name.endswith("deepjscc") else 1  # its receiver is a long chain of convolutions
    assert np.abs(symbols - expected).max() < wider * 1e-3
    logits = codec.decode(as_complex(golden["received"]), golden["noise_var"])
    assert np.abs(logits - golden["logits"]).max() < wider * 1e-2
    assert np.array_equal(logits.argmax(1), golden["logits"].argmax(1))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_files_are_those_in_codec_toml(folder):
    facts = tomllib.loads((folder / "codec.toml").read_text())
    assert facts["name"] == folder.name
    assert hashlib.sha256((folder / "golden.safetensors").read_bytes()).hexdigest() == facts["origin"]["golden_sha256"]
