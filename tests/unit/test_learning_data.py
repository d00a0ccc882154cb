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


def folder_of_classes(folder, classes=("cat", "dog"), count=40, size=(20, 12)):
    rng = np.random.default_rng(1)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder


def test_folder_to_train_on(tmp_path):
    folder = folder_of_classes(tmp_path / "photos", ("dog", "Cat"))
    whole = load_images(f"{folder}@3x16x24")
    assert whole.images.shape == (80, 3, 16, 24) and whole.classes == ("Cat", "dog")
    assert whole.labels.tolist() == [0] * 40 + [1] * 40
    assert load_images(f"{folder}@1x8x8").images.shape == (80, 1, 8, 8)


def test_parts_of_a_folder_are_disjoint_and_stay_when_images_are_added(tmp_path):
    folder = folder_of_classes(tmp_path / "photos")
    parts = {part: load_images(f"{folder}@3x16x16:{part}") for part in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 80 and len(parts["train"]) > 48
    pixels = [{image.tobytes() for image in images.images} for images in parts.values()]
    assert not (pixels[0] & pixels[1] or pixels[0] & pixels[2] or pixels[1] & pixels[2])
    assert all(images.classes == ("cat", "dog") for images in parts.values())
    Image.new("RGB", (9, 9)).save(folder / "cat" / "new.png")
    test = load_images(f"{folder}@3x16x16:test")
    assert {image.tobytes() for image in test.images} >= pixels[2]
    like = SimpleNamespace(image_shape=(3, 16, 16), classes=("cat", "dog"))
    assert load_images(f"{folder}:test", like=like).content_hash == test.content_hash


@pytest.mark.parametrize(
    "shape, words",
    [("", "@3x32x32"), ("@2x16x16", "2x16x16"), ("@3x4x16", "8 to 256"), ("@3x16", "no such folder")],
)
def test_wrong_shapes_of_a_folder_to_train_on(tmp_path, shape, words):
    folder = folder_of_classes(tmp_path / "photos", count=1)
    with pytest.raises(CodecError, match=words):
        load_images(f"{folder}{shape}")


def test_a_folder_to_train_on_needs_classes(tmp_path):
    with pytest.raises(CodecError, match="only one class"):
        load_images(f"{folder_of_classes(tmp_path / 'one', ('cat',), 2)}@3x16x16")
    with pytest.raises(CodecError, match="same name"):
        load_images(f"{folder_of_classes(tmp_path / 'twice', ('cat', 'CAT'), 2)}@3x16x16")
    with pytest.raises(CodecError, match="this part"):
        load_images(f"{folder_of_classes(tmp_path / 'few', count=1)}@3x16x16:test")
    folder = folder_of_classes(tmp_path / "loose", count=2)
    Image.new("RGB", (9, 9)).save(folder / "loose.png")
    with pytest.raises(CodecError, match=r"loose\.png stands in no sub-folder"):
        load_images(f"{folder}@3x16x16")


def test_braces_leave_some_classes_in_their_order():
    whole = load_images("synthetic:40")
    some = load_images("synthetic:40[5:40]{7,2}")
    assert some.classes == ("grating 7", "grating 2")
    assert some.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    rows = [row for row in range(5, 40) if whole.labels[row] in (2, 7)]
    assert np.array_equal(some.images, whole.images[rows])
    assert some.name == "synthetic:40[5:40]{7,2}"
    assert load_images("synthetic:40{2,7}").labels.tolist() == [0, 1] * 4


@pytest.mark.parametrize(
    ("spec", "reason"),
    [("synthetic:40{3,3}", "must differ"), ("synthetic:40{10}", "within 0:10"), ("synthetic:3{7}", "no images")],
)
def test_wrong_classes_in_braces(spec, reason):
    with pytest.raises(CodecError, match=reason):
        load_images(spec)
