# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec folder that is missing, corrupt or foreign is refused with one line that names the file."""

import shutil
import tomllib

import pytest
import tomli_w
from safetensors.torch import save_file

from semantic_models import CodecError, SemanticCodec
from semantic_models.testing import tiny_codec


@pytest.fixture
def folder(tmp_path):
    return tiny_codec(tmp_path / "codec")


def refusal(folder, device="cpu"):
    with pytest.raises(CodecError) as caught:
        SemanticCodec.load(folder, device)
    text = str(caught.value)
    assert "\n" not in text
    return text


def edit(folder, change):
    document = tomllib.loads((folder / "codec.toml").read_text())
    change(document)
    (folder / "codec.toml").write_text(tomli_w.dumps(document))


def test_tiny_codec_is_deterministic(tmp_path, folder):
    again, other = tiny_codec(tmp_path / "again"), tiny_codec(tmp_path / "other", seed=1)
    for name in ("codec.toml", "weights.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert SemanticCodec.load(again).model_id == SemanticCodec.load(folder).model_id
    assert SemanticCodec.load(other).model_id != SemanticCodec.load(folder).model_id


def test_model_id_covers_the_configuration_but_not_the_measurements(folder):
    before = SemanticCodec.load(folder).model_id
    edit(folder, lambda document: document["accuracy"].update(clean=0.5))
    assert SemanticCodec.load(folder).model_id == before
    edit(folder, lambda document: document["classes"].reverse())
    assert SemanticCodec.load(folder).model_id != before


def test_missing_folder_and_files(tmp_path, folder):
    assert str(tmp_path / "none") in refusal(tmp_path / "none")
    (folder / "weights.safetensors").unlink()
    assert "weights.safetensors is missing" in refusal(folder)
    (folder / "codec.toml").unlink()
    assert "codec.toml is missing" in refusal(folder)


def test_altered_weights(folder):
    path = folder / "weights.safetensors"
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert "corrupt" in refusal(folder)
    path.write_bytes(raw[: len(raw) // 2])
    assert "corrupt" in refusal(folder)


def test_weights_of_another_codec(tmp_path, folder):
    shutil.copy(tiny_codec(tmp_path / "other", seed=1) / "weights.safetensors", folder)
    assert "not described by this codec.toml" in refusal(folder)


def test_weights_that_do_not_fit_the_model(folder):
    edit(folder, lambda document: document["model"].update(phi_hidden=32))
    assert "do not fit together" in refusal(folder)
    edit(folder, lambda document: document["model"].update(phi_hidden=16, unknown=1))
    assert "do not fit together" in refusal(folder)


def test_hash_of_a_file_that_is_no_safetensors(folder):
    import hashlib

    (folder / "weights.safetensors").write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest()
    edit(folder, lambda document: document.update(weights_sha256=digest))
    assert "not a safetensors file" in refusal(folder)


def test_safetensors_of_something_else(folder):
    import hashlib

    import torch

    path = folder / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda document: document.update(weights_sha256=digest))
    assert "do not fit together" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format=2), "field format is 2"),
        (lambda d: d.pop("budgets"), "field budgets is missing"),
        (lambda d: d["accuracy"].pop("clean"), "field clean is missing"),
        (lambda d: d.update(budgets=[8, 4]), "field budgets is out of range"),
        (lambda d: d.update(budgets=[]), "field budgets is out of range"),
        (lambda d: d.update(budgets="many"), "wrong type"),
        (lambda d: d.update(snr_range_db=[5, -5]), "field snr_range_db is out of range"),
        (lambda d: d["accuracy"]["budget"].pop("8"), "field accuracy.budget is out of range"),
        (lambda d: d["accuracy"]["budget"]["8"].append(0.5), "field accuracy.budget is out of range"),
        (lambda d: d["accuracy"].update(clean=93.0), "field accuracy.budget is out of range"),
        (lambda d: d["accuracy"].update(clean=float("nan")), "field accuracy.budget is out of range"),
        (lambda d: d.update(model=3), "wrong type"),
        (lambda d: d.update(accuracy=3), "wrong type"),
    ],
)
def test_wrong_field_is_named(folder, change, reason):
    edit(folder, change)
    text = refusal(folder)
    assert reason in text
    assert "codec.toml" in text


def test_codec_toml_that_is_no_toml(folder):
    (folder / "codec.toml").write_bytes(b"\xff\xfe = [")
    assert "not valid TOML" in refusal(folder)


def test_unknown_device(folder):
    assert "toaster" in refusal(folder, "toaster")
    assert "not on this machine" in refusal(folder, "meta")
