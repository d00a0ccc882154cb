# SPDX-License-Identifier: GPL-3.0-or-later
"""Feature vectors in the knowledge store: compressed as promised, the teacher's own, refused when damaged."""

import hashlib
import json

import numpy as np
import pytest
import torch

from semantic_models import CodecError, knowledge_store, load_images
from semantic_models.augmentation import Augmentation
from semantic_models.feature_compression import FeatureCompression
from semantic_models.foundation import Foundation
from semantic_models.knowledge_store import HEADER_BYTES, KnowledgeStore, build_store, record_dtype, verify_store
from semantic_models.resnet import Ensemble, ResNet
from semantic_models.teacher import Teacher, build_teacher, teacher_outputs
from semantic_models.teachers import Restricted, open_teacher

IMAGES = load_images("synthetic:60")
DRAW = np.random.default_rng(0)
MIXED = (DRAW.normal(size=(500, 12)) * np.linspace(3, 0.01, 12)) @ DRAW.normal(size=(12, 20)) + 5
PCA = {"kind": "pca", "width": 6}


class SpyTeacher(torch.nn.Module):
    """A fixed random linear network that can be made to die at a call, and remembers how often it was asked."""

    def __init__(self, calls=None, seed=4):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.linear, self.head = torch.nn.Linear(784, 20), torch.nn.Linear(20, 10)
        with torch.no_grad():
            self.linear.weight.copy_(0.1 * torch.randn(20, 784, generator=draw))
            self.head.weight.copy_(torch.randn(10, 20, generator=draw))
            self.linear.bias.zero_()
            self.head.bias.zero_()
        self.calls, self.asked = calls, 0

    def features(self, images):
        if self.asked == self.calls:
            raise KeyboardInterrupt
        self.asked += 1
        return self.linear(images.flatten(1)).relu()

    def classify(self, features):
        return self.head(features)

    def forward(self, images):
        return self.classify(self.features(images))


def build(path, teacher=None, **changes):
    settings = {"views": 3, "kept": 4, "augmentation": Augmentation(), "seed": 5, "features": PCA} | changes
    teacher = teacher or SpyTeacher()
    build_store(path, teacher, IMAGES, **settings)
    return teacher


@pytest.mark.parametrize(("kind", "width", "error"), [("fp16", None, 2e-3), ("int8", None, 0.02), ("pca", 20, 0.02)])
def test_what_is_restored_is_the_centred_vector(kind, width, error):
    compression = FeatureCompression.fit(MIXED, kind, width)
    restored = compression.restore(compression.compress(MIXED))
    assert restored.dtype == np.float32
    exact = MIXED - MIXED.mean(0)
    if kind == "pca":  # all components: a rotation
        exact = exact @ compression.basis.T
        assert np.allclose(compression.basis @ compression.basis.T, np.eye(20), atol=1e-5)
    length = np.linalg.norm(exact, axis=1)
    assert (np.linalg.norm(restored - exact, axis=1) < error * length.mean()).all()


def test_components_are_the_largest_ones():
    """Against the singular values of the centred matrix."""
    compression = FeatureCompression.fit(MIXED, "pca", 3)
    power = np.square(compression.project(MIXED)).sum(0)
    singular = np.linalg.svd(MIXED - MIXED.mean(0), compute_uv=False)
    assert power == pytest.approx(singular[:3] ** 2, rel=1e-4)


def test_larger_values_than_at_the_fit_are_clipped():
    compression = FeatureCompression.fit(MIXED, "int8")
    far = np.stack([compression.centre + sign * 1000 * compression.scale for sign in (1, -1)])
    stored = compression.compress(far)
    assert stored.dtype == np.int8
    assert (stored == [[127], [-127]]).all()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("zip",), "kind is 'zip'"),
        (("pca",), "pca needs a width"),
        (("fp16", 3), "takes no width"),
        (("pca", 21), "width is 21"),
        (("pca", 0), "width is 0"),
    ],
)
def test_wrong_settings_are_refused(arguments, reason):
    with pytest.raises(CodecError, match=reason):
        FeatureCompression.fit(MIXED, *arguments)


@pytest.mark.parametrize(("features", "bytes_each"), [({"kind": "fp16"}, 40), ({"kind": "int8"}, 20), (PCA, 6)])
def test_store_gives_back_the_teachers_embedding_of_each_view(tmp_path, features, bytes_each):
    teacher = build(tmp_path / "store", features=features)
    store = KnowledgeStore(tmp_path / "store")
    assert store.records.dtype.itemsize == 4 + 4 + 2 * 4 + bytes_each
    chosen = np.array([59, 0, 17])
    for view in range(3):
        images, _ = store.view(IMAGES.images, view, chosen)
        exact = store.features.project(teacher_outputs(teacher, images)[1])
        embedding = store.embedding(view, chosen)
        assert embedding.shape == (3, store.features.width)
        if store.features.scale is None:
            assert np.allclose(embedding, exact, rtol=1e-3)
        else:  # to half a unit, where an augmented view has no larger value than all plain images
            unit = store.features.scale
            assert (np.abs(embedding - np.clip(exact, -127 * unit, 127 * unit)) <= 0.501 * unit).all()
    assert np.array_equal(store.embedding(4, chosen), store.embedding(1, chosen))


def test_header_says_how_and_a_store_without_features_is_as_it_was(tmp_path):
    build(tmp_path / "with")
    build(tmp_path / "without", features=None)
    header = KnowledgeStore(tmp_path / "with").header
    assert {key: header["features"][key] for key in ("kind", "width", "source_width")} == {**PCA, "source_width": 20}
    raw = (tmp_path / "without").read_bytes()
    plain = json.loads(raw[8:HEADER_BYTES])
    assert set(header) - set(plain) == {"features"}
    assert len(raw) == HEADER_BYTES + 3 * 60 * record_dtype(4, 10).itemsize
    one, other = KnowledgeStore(tmp_path / "with"), KnowledgeStore(tmp_path / "without")
    for field in ("seed", "index", "probability"):
        assert np.array_equal(one.records[field], other.records[field])
    assert other.features is None


def test_killed_build_goes_on_with_the_same_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(knowledge_store, "BLOCK", 25)
    whole = build(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "store", SpyTeacher(calls=8))
    rest = build(tmp_path / "store")
    fit = 3  # calls for 60 images
    assert (whole.asked, rest.asked) == (fit + 9, 9 - (8 - fit))
    assert (tmp_path / "store").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("features", [None, {"kind": "int8"}, {"kind": "pca", "width": 5}])
def test_killed_build_with_other_features_starts_again(tmp_path, features):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "store", SpyTeacher(calls=3))
    fit = 0 if features is None else 1
    assert build(tmp_path / "store", features=features).asked == 3 + fit


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:],
        lambda raw: raw[:HEADER_BYTES] + raw[HEADER_BYTES + 1 :],
    ],
)
def test_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "store"
    build(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CodecError, match=r"truncated|altered") as caught:
        KnowledgeStore(path)
    assert str(path) in str(caught.value)


def test_damaged_description_is_refused(tmp_path):
    path = tmp_path / "store"
    build(path)
    path.write_bytes(path.read_bytes().replace(b'"tables_bytes"', b'"tables_bites"'))
    with pytest.raises(CodecError, match="damaged header"):
        KnowledgeStore(path)


def test_verify_asks_for_the_features_too(tmp_path):
    path = tmp_path / "store"
    build(path)
    result = verify_store(KnowledgeStore(path), SpyTeacher(), IMAGES)
    assert result["largest_feature_difference"] < 0.02
    raw = path.read_bytes()
    header, store = json.loads(raw[8:HEADER_BYTES]), KnowledgeStore(path)
    records = store.records.copy()
    records["feature"][1, 7] = -records["feature"][1, 7]
    content = records.tobytes() + raw[HEADER_BYTES + records.nbytes :]
    header["records_sha256"] = hashlib.sha256(content).hexdigest()
    path.write_bytes(raw[:8] + json.dumps(header).encode().ljust(HEADER_BYTES - 8) + content)
    with pytest.raises(CodecError, match=r"record 7 of view 1 is not what the teacher sees"):
        verify_store(KnowledgeStore(path), SpyTeacher(), IMAGES)


def test_teacher_without_features_is_refused(tmp_path):
    with pytest.raises(CodecError, match="a Sequential gives no features"):
        build(tmp_path / "store", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)))


def networks():
    torch.manual_seed(0)
    yield Teacher((3, 32, 32), 10, (4, 8, 8))
    yield build_teacher("wide-resnet", image_shape=(3, 32, 32), classes=10, depth=10, widen=1)
    yield ResNet(8)
    yield Ensemble([ResNet(8), ResNet(14)])
    yield Foundation(torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten()), (32, 32), [0.5] * 3, [0.2] * 3, 10)
    yield Restricted(Ensemble([ResNet(8), ResNet(8)]), [7, 2])


@pytest.mark.parametrize("model", list(networks()), ids=lambda model: type(model).__name__)
def test_every_teacher_classifies_its_features(model):
    images = np.random.default_rng(1).integers(0, 256, (6, 3, 32, 32), np.uint8)
    logits, features = teacher_outputs(model, images, batch=4)
    with torch.inference_mode():
        whole = model(torch.from_numpy(images) / 255)
    assert np.allclose(logits, whole, atol=1e-4)
    assert len(features) == 6 and features.ndim == 2
    assert features.std(0).max() > 0


def test_ensemble_is_the_mean_of_its_members():
    torch.manual_seed(0)
    members = [ResNet(8).eval(), ResNet(14).eval()]
    images = torch.rand(5, 3, 32, 32)
    with torch.inference_mode():
        mean = torch.stack([torch.softmax(member(images), 1) for member in members]).mean(0)
        assert torch.allclose(torch.softmax(Ensemble(members).eval()(images), 1), mean, atol=1e-6)


def test_teacher_of_some_classes_shares_their_probability(tmp_path):
    """Braces after a teacher's name: the probabilities of these classes, given that it is one of them."""
    from semantic_models.checkpoint import write_tensors

    torch.manual_seed(0)
    model = Teacher((1, 28, 28), 10, (4, 8, 8)).eval()
    path = tmp_path / "teacher.safetensors"
    write_tensors(path, model.state_dict(), {"model": model.config})
    images = torch.from_numpy(IMAGES.images[:9]) / 255
    with torch.inference_mode():
        whole = torch.softmax(open_teacher(str(path))(images), 1)
        some = torch.softmax(open_teacher(f"{path}{{7,2}}")(images), 1)
    expected = whole[:, [7, 2]] / whole[:, [7, 2]].sum(1, keepdim=True)
    assert torch.allclose(some, expected, atol=1e-6)
