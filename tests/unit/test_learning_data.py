# SPDX-License-Identifier: GPL-3.0-or-later
"""Image sets: names, ranges, folders, and what a wrong one says."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from semantic_models import CodecError, load_images
from semantic_models.data import read_idx

LIKE = SimpleNamespace(image_shape=(1, 28, 28), classes=("T-shirt/top", "Trouser", "Bag"))


def write_image(path, value, size=(40, 30), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_fashion_mnist_range():
    found = load_images("fashion-mnist:test[3:7]")
    whole = load_images("fashion-mnist:test")
    assert found.images.shape == (4, 1, 28, 28)
    assert found.images.dtype == np.uint8
    assert whole.labels.dtype == np.int64
    assert np.array_equal(found.images, whole.images[3:7])
    assert np.array_equal(found.labels, whole.labels[3:7])
    assert np.array_equal(np.bincount(whole.labels), [1000] * 10)
    assert len(found.classes) == 10


def test_content_hash_sees_pixels_and_labels():
    one, same, other = (load_images(spec) for spec in ("synthetic:20", "synthetic:20[0:20]", "synthetic:20[0:19]"))
    assert one.content_hash == same.content_hash != other.content_hash
    relabelled = type(one)(one.images, one.labels[::-1].copy(), one.classes, one.name)
    assert relabelled.content_hash != one.content_hash


@pytest.mark.parametrize(
    "spec",
    [
        "fashion-mnist:test[5:5]",
        "fashion-mnist:test[0:10001]",
        "fashion-mnist:middle",
        "synthetic:none",
        "synthetic:0",
        "no/such/folder",
    ],
)
def test_unknown_set_is_named(spec):
    with pytest.raises(CodecError) as caught:
        load_images(spec, like=LIKE)
    assert spec in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_data_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("semantic_models.data.Path.is_dir", lambda path: False)
    with pytest.raises(CodecError, match="dataset-fashion-mnist"):
        load_images("fashion-mnist:test")


def test_environment_variable_comes_first(tmp_path, monkeypatch):
    (tmp_path / "fashion-mnist").mkdir()
    monkeypatch.setenv("GR_SEMANTIC_DATA", str(tmp_path))
    with pytest.raises(CodecError, match=str(tmp_path)):
        load_images("fashion-mnist:test")


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda raw: b"\1" + raw[1:]])
def test_damaged_idx_file_is_refused(tmp_path, damage):
    raw = b"\0\0\x08\x01\0\0\0\x03abc"
    path = tmp_path / "set.gz"
    path.write_bytes(gzip.compress(raw))
    assert read_idx(path).tolist() == [97, 98, 99]
    path.write_bytes(gzip.compress(damage(raw)))
    with pytest.raises(CodecError, match=r"set\.gz"):
        read_idx(path)
    path.write_bytes(gzip.compress(raw)[:-6])
    with pytest.raises(CodecError, match=r"set\.gz"):
        read_idx(path)


def test_folder_is_resized_and_turned_grey(tmp_path):
    write_image(tmp_path / "a.png", (255, 255, 255))
    write_image(tmp_path / "b.jpg", 10, size=(5, 80), mode="L")
    (tmp_path / "notes.txt").write_text("no image")
    found = load_images(tmp_path, like=LIKE)
    assert found.images.shape == (2, 1, 28, 28)
    assert found.images[0].min() == 255
    assert abs(int(found.images[1].mean()) - 10) <= 1
    assert found.labels is None


def test_sub_folders_named_like_classes_give_labels(tmp_path):
    write_image(tmp_path / "bag" / "1.png", (9, 9, 9))
    write_image(tmp_path / "T-shirt_top" / "1.png", (9, 9, 9))
    assert sorted(load_images(tmp_path, like=LIKE).labels) == [0, 2]
    write_image(tmp_path / "spaceship" / "1.png", (9, 9, 9))
    assert load_images(tmp_path, like=LIKE).labels is None


def test_folder_in_colour(tmp_path):
    write_image(tmp_path / "a.png", (200, 100, 0))
    found = load_images(tmp_path, like=SimpleNamespace(image_shape=(3, 8, 6), classes=("x",)))
    assert found.images.shape == (1, 3, 8, 6)
    assert found.images[0, :, 0, 0].tolist() == [200, 100, 0]


def test_empty_and_unreadable_folders(tmp_path):
    with pytest.raises(CodecError, match="no images"):
        load_images(tmp_path, like=LIKE)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(CodecError, match=r"broken\.png"):
        load_images(tmp_path, like=LIKE)


def test_named_set_must_fit_the_codec():
    with pytest.raises(CodecError, match=r"3, 32, 32"):
        load_images("synthetic:4", like=SimpleNamespace(image_shape=(3, 32, 32), classes=()))
