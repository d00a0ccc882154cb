# SPDX-License-Identifier: GPL-3.0-or-later
"""More than a label: the receiver rebuilds the teacher's embedding; what is measured on it is what it says."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from learning_settings import EXPERIMENT, MODEL, TRAINING

from gr_semantic.cli.main import main
from semantic_models import CodecError, SemanticCodec, load_images
from semantic_models.augmentation import Augmentation
from semantic_models.codec_folder import read_codec
from semantic_models.distill import distill
from semantic_models.embedding_evaluation import evaluate_embedding, evaluate_probe
from semantic_models.embedding_reference import EmbeddingReference, read_reference
from semantic_models.evaluate import count_macs, count_parameters
from semantic_models.knowledge_store import KnowledgeStore, build_store
from semantic_models.linear_probe import fit_linear_probe
from semantic_models.losses import embedding_term
from semantic_models.retrieval import label_precision, nearest, shares_found
from semantic_models.student import Student
from semantic_models.student_training import train_student
from semantic_models.teacher import Teacher
from semantic_models.testing import tiny_codec

TRAIN, VALIDATION = load_images("synthetic:400"), load_images("synthetic:100")
BUDGETS, RANGE_DB = (4, 8), (-6.0, 24.0)
WITH = MODEL | {"embedding": 6, "embedding_hidden": [16, 16]}
EXPERIMENT = EXPERIMENT | {
    "store": EXPERIMENT["store"] | {"features": {"kind": "pca", "width": 6}},
    "student": EXPERIMENT["student"] | {"model": WITH, "training": TRAINING | {"embedding_weight": 1.0}},
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same teacher's answers without and with features."""
    folder = tmp_path_factory.mktemp("stores")
    torch.manual_seed(0)
    teacher = Teacher((1, 28, 28), 10, (4, 8, 8)).eval()
    for name, features in (("without", None), ("with", {"kind": "pca", "width": 6})):
        build_store(folder / name, teacher, TRAIN, 2, 3, Augmentation(), 5, features=features)
    return {name: KnowledgeStore(folder / name) for name in ("without", "with")}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A codec with embeddings from its experiment file."""
    folder = tmp_path_factory.mktemp("published")
    torch.set_num_threads(1)
    (folder / "small.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    distill(folder / "small.yaml", folder / "codec", folder / "work", "cpu")
    return folder / "codec"


def student(model):
    torch.manual_seed(0)
    return Student((1, 28, 28), 10, max(BUDGETS), **model)


def train(folder, model, config, store):
    return train_student(config, student(model), BUDGETS, RANGE_DB, TRAIN, VALIDATION, folder, store)


def test_training_without_embedding_does_not_notice_the_features(tmp_path, stores):
    """The store's checksum is another, the weights are the same to the last bit; no key of the head is there."""
    one = train(tmp_path / "one", MODEL, TRAINING, stores["without"]).state_dict()
    other = train(tmp_path / "other", MODEL, TRAINING, stores["with"]).state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert {key.split(".")[0] for key in one} == {"encoder", "adapt", "decoder"}


def test_head_changes_no_draw_of_the_rest():
    plain, more = student(MODEL).state_dict(), student(WITH).state_dict()
    assert all(torch.equal(value, more[key]) for key, value in plain.items())
    assert {key.split(".")[0] for key in set(more) - set(plain)} == {"embedder"}


def test_embedding_is_learnt_and_a_resumed_training_ends_the_same(tmp_path, stores, monkeypatch):
    config = TRAINING | {"embedding_weight": 3.0, "epochs": 3}
    whole = train(tmp_path / "whole", WITH, config, stores["with"])

    def cosine(network):
        images, _ = stores["with"].view(TRAIN.images, 0, np.arange(400))
        with torch.inference_mode():
            sent = network.eval().encode(torch.from_numpy(images) / 255, torch.full((400,), 20.0), 8)
            rebuilt = network.rebuild(sent, torch.full(sent.shape, 0.01))
        teacher = torch.from_numpy(stores["with"].embedding(0, np.arange(400)))
        assert torch.allclose(rebuilt.norm(dim=1), torch.ones(400), atol=1e-5)
        return torch.nn.functional.cosine_similarity(rebuilt, teacher, 1).mean()

    assert cosine(whole) > cosine(student(WITH)) + 0.2

    from semantic_models import student_training

    class DyingLog(student_training.Log):
        def __call__(self, **fields):
            super().__call__(**fields)
            if fields["epoch"] == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(student_training, "Log", DyingLog)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", WITH, config, stores["with"])
    monkeypatch.undo()
    resumed = train(tmp_path / "killed", WITH, config, stores["with"]).state_dict()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize(
    ("model", "changes", "store", "reason"),
    [
        (MODEL, {"embedding_weight": 1.0}, "with", "go together"),
        (WITH, {}, "with", "go together"),
        (WITH, {"embedding_weight": 1.0}, "without", "the store's embeddings have 0 numbers"),
        (WITH, {"embedding_weight": 1.0}, None, "have 0 numbers"),
        (WITH | {"embedding": 5}, {"embedding_weight": 1.0}, "with", "is 5, the store's embeddings have 6"),
        (WITH, {"embedding_weight": 1.0, "own_views": True}, "with", "own_views"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, stores, model, changes, store, reason):
    with pytest.raises(CodecError, match=reason):
        train(tmp_path, model, TRAINING | changes, stores.get(store))


def test_term_is_one_minus_cosine_and_survives_zeros():
    one, other = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, -5.0]])
    assert embedding_term(one, other) == pytest.approx(1 - (2**-0.5 - 1) / 2, abs=1e-6)
    zero = torch.zeros(2, 2, requires_grad=True)
    embedding_term(zero, other).backward()
    assert torch.isfinite(zero.grad).all()


def test_codec_rebuilds_the_same_bits_in_any_batch(published):
    codec = SemanticCodec.load(published, "cpu")
    symbols = codec.encode(VALIDATION.images[:23], 5.0, 8)
    rebuilt = codec.rebuild_embedding(symbols, np.float32(0.1))
    assert rebuilt.shape == (23, 6) and rebuilt.dtype == np.float32
    assert np.linalg.norm(rebuilt, axis=1) == pytest.approx(1, abs=1e-5)
    alone = np.concatenate([codec.rebuild_embedding(row[None], np.float32(0.1)) for row in symbols])
    assert np.array_equal(rebuilt, alone)
    with pytest.raises(CodecError, match="unknown budget 7"):
        codec.rebuild_embedding(symbols[:, :7], 0.1)


def test_codec_without_embedding_says_so(tmp_path):
    codec = SemanticCodec.load(tiny_codec(tmp_path), "cpu")
    with pytest.raises(CodecError, match="rebuilds no embedding"):
        codec.rebuild_embedding(np.zeros((1, 4), np.complex64), 0.1)
    with pytest.raises(CodecError, match="rebuilds no embedding"):
        read_reference(tmp_path, read_codec(tmp_path)[0])


def test_receivers_costs_include_the_second_head():
    plain, more = student(MODEL), student(WITH)
    head = 24 * 16 + 16 * 16 + 16 * 6
    assert count_macs(more, (1, 28, 28))["receiver"] - count_macs(plain, (1, 28, 28))["receiver"] == head
    assert count_parameters(more)["receiver"] - count_parameters(plain)["receiver"] == head + 16 + 16 + 6
    assert count_parameters(more)["edge"] == count_parameters(plain)["edge"]


def test_nearest_are_those_with_the_largest_cosine_but_oneself():
    draw = np.random.default_rng(0)
    gallery = draw.normal(size=(700, 5)).astype(np.float32)
    queries = gallery[:600] + draw.normal(0, 0.3, (600, 5)).astype(np.float32)
    found = nearest(queries, gallery, 4)
    for row in (0, 499, 500, 599):
        cosine = gallery @ queries[row] / np.linalg.norm(gallery, axis=1)
        cosine[row] = -np.inf
        assert found[row].tolist() == np.argsort(-cosine)[:4].tolist()


def test_shares_and_precision_count_what_they_say():
    found, true = np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([[4, 1, 9, 0], [0, 1, 2, 3]])
    assert shares_found(found, true).tolist() == [0.5, 0.0]
    labels = np.array([7, 3, 7, 7, 0, 3, 3, 3, 0, 0])
    assert label_precision(found, labels) == (2 + 3) / 8


def test_probe_separates_what_is_separable_and_nothing_else():
    draw = torch.Generator().manual_seed(0)
    centres = 4 * torch.randn(3, 8, generator=draw)
    labels = torch.arange(300) % 3
    features = centres[labels] + torch.randn(300, 8, generator=draw)
    probe = fit_linear_probe(features[:150], labels[:150], 3)
    assert (probe(features[150:]).argmax(1) == labels[150:]).float().mean() > 0.95
    noise = torch.randn(600, 8, generator=draw)
    blind = fit_linear_probe(noise[:300], labels, 3)
    assert (blind(noise[300:]).argmax(1) == labels).float().mean() < 0.5
    again = fit_linear_probe(features[:150], labels[:150], 3)
    assert torch.equal(again.head.weight, probe.head.weight)


def test_reference_belongs_to_the_codec_and_is_refused_when_altered(published, tmp_path):
    config = read_codec(published)[0]
    reference = read_reference(published, config)
    assert reference.embeddings.shape == (200, 6)
    assert reference.neighbours.shape == (200, 10)
    assert (reference.neighbours != np.arange(200)[:, None]).all()
    folder = tmp_path / "codec"
    shutil.copytree(published, folder)
    raw = (folder / "embedding.safetensors").read_bytes()
    (folder / "embedding.safetensors").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(CodecError, match="sha256 differs"):
        read_reference(folder, config)
    (folder / "embedding.safetensors").unlink()
    with pytest.raises(CodecError, match="is missing"):
        read_reference(folder, config)


class _Oracle(torch.nn.Module):
    """Rebuilds given vectors, whatever was received."""

    def __init__(self, vectors):
        super().__init__()
        self.vectors = torch.from_numpy(vectors)

    def forward(self, received, noise_var):
        return self.vectors


def test_evaluation_knows_a_perfect_embedding_a_random_one_and_a_label(published):
    """The head is replaced: the teacher's whole vectors find every neighbour, random ones 10 of 199 by chance; class
    means that are all the same vector are worth as little."""
    codec = SemanticCodec.load(published, "cpu")
    images = load_images("synthetic:200")
    draw = np.random.default_rng(0)
    teacher = draw.normal(size=(200, 6)).astype(np.float32)
    reference = EmbeddingReference(teacher, None, nearest(teacher, teacher), np.ones((10, 6), np.float32))
    codec.model.embedder = _Oracle(2.5 * teacher)
    (point,) = evaluate_embedding(codec, images, reference, (10.0,), budgets=(8,))["points"]
    assert point["recall_at_10"] == 1.0
    assert point["cosine"] == pytest.approx(1, abs=1e-6)
    codec.model.embedder = _Oracle(draw.normal(size=(200, 6)).astype(np.float32))
    result = evaluate_embedding(codec, images, reference, (10.0,), budgets=(8,))
    (point,) = result["points"]
    assert point["recall_at_10"] < 0.12
    assert point["recall_ci95"][0] < point["recall_at_10"] < point["recall_ci95"][1]
    assert abs(point["cosine"]) < 0.2
    assert point["from_label"]["recall_at_10"] < 0.15
    assert result["perfect"]["recall_at_10"] == 1.0
    assert point["accuracy"] == pytest.approx(
        (codec.decode(codec.encode(images.images, 10.0, 8), np.float32(0.1)).argmax(1) == images.labels).mean(), abs=0.1
    )


def test_probe_of_a_codec_without_embedding_has_logits_and_symbols(tmp_path):
    codec = SemanticCodec.load(tiny_codec(tmp_path), "cpu")
    train, test = load_images("synthetic:300{1,4}"), load_images("synthetic:120{1,4}")
    result = evaluate_probe(codec, train, test, (20.0,), budgets=(4, 32))
    assert [(p["probe"], p["budget"], p["images"]) for p in result["points"]] == [
        (probe, budget, 24) for budget in (4, 32) for probe in ("logits", "symbols")
    ]
    assert result["classes"] == ["grating 1", "grating 4"]
    best = max(point["accuracy"] for point in result["points"])
    assert best > 0.8  # two gratings of different directions: even random convolutions tell them apart
    assert evaluate_probe(codec, train, test, (20.0,), budgets=(4, 32)) == result
    with pytest.raises(CodecError, match="labels of the same classes"):
        evaluate_probe(codec, train, load_images("synthetic:120{1,5}"))


def invoke(*arguments):
    return CliRunner(mix_stderr=False).invoke(main, [str(argument) for argument in arguments])


def test_command_for_a_program_and_for_a_person(published, tmp_path):
    probe = ("--probe", "synthetic:200{0,3,6}", "synthetic:90{0,3,6}")
    options = ("--snr-db", "0", "--snr-db", "20", "--budget", "8", *probe)
    machine = invoke("embedding", published, *options, "--json", "--figure", tmp_path / "e.png")
    assert machine.exit_code == 0, machine.stderr
    result = json.loads(machine.stdout)
    assert [(point["snr_db"], point["budget"]) for point in result["points"]] == [(0.0, 8), (20.0, 8)]
    assert {"cosine", "recall_at_10", "label_precision_at_10", "from_label", "accuracy", "ci95"} < set(
        result["points"][0]
    )
    assert (result["queries"], result["gallery"], result["embedding"]) == (200, 200, 6)
    assert {point["probe"] for point in result["probe"]["points"]} == {"embedding", "logits", "symbols"}
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    person = invoke("embedding", published, *options)
    assert sum(line.startswith("| ") for line in person.stdout.splitlines()) == 2 * (2 + 2)
    assert "recall@10" in person.stdout


def test_command_on_a_codec_without_embedding(tmp_path):
    tiny_codec(tmp_path / "codec")
    refused = invoke("embedding", tmp_path / "codec")
    assert refused.exit_code == 2
    assert "rebuilds no embedding" in refused.stderr and refused.stderr.count("\n") == 1
    probe = ("--probe", "synthetic:100{0,1}", "synthetic:50{0,1}", "--snr-db", "5", "--figure", tmp_path / "p.png")
    done = invoke("embedding", tmp_path / "codec", *probe)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_model_card_and_zoo_files_of_a_codec_with_embeddings(published):
    assert (published / "embedding.safetensors").stat().st_size < 20_000
    assert "embedding" in (published / "README.md").read_text()


def test_store_commands_show_and_verify_the_features(published):
    store = published.parent / "work" / "teacher.store"
    facts = json.loads(invoke("store", "info", store, "--json").stdout)
    assert (facts["features"]["kind"], facts["features"]["width"]) == ("pca", 6)
    assert facts["bytes_per_view"] == 4 + 3 + 2 * 3 + 6
    verified = invoke("store", "verify", store, "--records", "60")
    assert verified.exit_code == 0, verified.stderr
    assert "embeddings at most" in verified.stdout
