# SPDX-License-Identifier: GPL-3.0-or-later
"""The knowledge store gives back what the teacher saw and said, and refuses every file that is not whole."""

import hashlib
import json
import threading
import time

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from learning_settings import TEACHER_TRAINING

from gr_semantic.cli.main import main
from semantic_models import CodecError, knowledge_store, load_images
from semantic_models.augmentation import Augmentation
from semantic_models.knowledge_store import HEADER_BYTES, KnowledgeStore, build_store, record_dtype, verify_store

IMAGES = load_images("synthetic:60")
VIEWS, KEPT = 3, 4


class SpyTeacher(torch.nn.Module):
    """A fixed random linear teacher that remembers what it was shown; it can be made to die in the middle."""

    def __init__(self, calls=None, seed=4):
        super().__init__()
        self.linear = torch.nn.Linear(784, 10)
        with torch.no_grad():
            self.linear.weight.copy_(0.3 * torch.randn(10, 784, generator=torch.Generator().manual_seed(seed)))
        torch.nn.init.zeros_(self.linear.bias)
        self.seen, self.said, self.calls = [], [], calls

    def forward(self, images):
        if self.calls is not None and len(self.seen) == self.calls:
            raise KeyboardInterrupt
        logits = self.linear(images.flatten(1))
        self.seen.append((images * 255).round().to(torch.uint8).numpy())
        self.said.append(torch.softmax(logits.double(), 1).numpy())
        return logits


def build(path, teacher=None, **changes):
    settings = {"views": VIEWS, "kept": KEPT, "augmentation": Augmentation(), "seed": 5} | changes
    teacher = teacher or SpyTeacher()
    build_store(path, teacher, IMAGES, **settings)
    return teacher


def test_student_sees_the_teachers_inputs_and_distribution(tmp_path):
    teacher = build(tmp_path / "store")
    store = KnowledgeStore(tmp_path / "store")
    store.matches(IMAGES)
    chosen = np.array([59, 0, 17])
    for view in range(VIEWS):
        images, probabilities = store.view(IMAGES.images, view, chosen)
        assert np.array_equal(images, teacher.seen[view][chosen])
        said = teacher.said[view][chosen]
        top = np.argsort(-said, 1)[:, :KEPT]
        kept = np.take_along_axis(said, top, 1)
        expected = np.repeat((1 - kept.sum(1, keepdims=True)) / (10 - KEPT), 10, 1)
        np.put_along_axis(expected, top, kept, 1)
        assert np.abs(probabilities - expected).max() < 1e-4
        assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
    assert np.array_equal(teacher.seen[0], IMAGES.images)
    assert not np.array_equal(teacher.seen[1], teacher.seen[2])


def test_all_classes_kept(tmp_path):
    teacher = build(tmp_path / "store", kept=10)
    _, probabilities = KnowledgeStore(tmp_path / "store").view(IMAGES.images, 1, np.arange(60))
    assert np.abs(probabilities - teacher.said[1]).max() < 10 * 0.5 / 65535  # ten roundings, then scaled to sum 1


def test_file_is_packed(tmp_path):
    build(tmp_path / "store")
    assert record_dtype(KEPT, 10).itemsize == 4 + KEPT + 2 * KEPT
    assert (tmp_path / "store").stat().st_size == HEADER_BYTES + VIEWS * 60 * (4 + KEPT + 2 * KEPT)
    assert record_dtype(5, 1000).itemsize == 4 + 2 * 5 + 2 * 5


def test_killed_build_goes_on(tmp_path):
    whole = build(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "store", SpyTeacher(calls=2))
    assert not (tmp_path / "store").exists()
    rest = build(tmp_path / "store")
    assert len(whole.seen) == VIEWS
    assert len(rest.seen) == VIEWS - 2
    assert (tmp_path / "store").read_bytes() == (tmp_path / "whole").read_bytes()


def test_killed_build_goes_on_within_a_view(tmp_path, monkeypatch):
    """Blocks of 25 of 60 records: 3 calls a view; killed in the middle of view 1, behind half a record too."""
    monkeypatch.setattr(knowledge_store, "BLOCK", 25)
    whole = build(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "store", SpyTeacher(calls=4))
    part = np.memmap(tmp_path / "store.part", record_dtype(KEPT, 10), "r+", HEADER_BYTES, (VIEWS, 60))
    part[1, 25:40] = part[0, :15]  # half a block
    part.flush()
    reports = []
    rest = build(tmp_path / "store", report=lambda view, views: reports.append((view, views)))
    assert (len(whole.seen), len(rest.seen)) == (3 * VIEWS, 3 * VIEWS - 4)
    assert reports == [(2, VIEWS), (3, VIEWS)]
    assert (tmp_path / "store").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("first", [0, 1])
def test_several_processes_write_one_store(tmp_path, monkeypatch, first):
    """Whichever begins, each asks the teacher about its own blocks, and the file is the one that one process writes."""
    monkeypatch.setattr(knowledge_store, "BLOCK", 25)
    whole = build(tmp_path / "whole")
    teachers = [SpyTeacher(), SpyTeacher()]

    def work(rank):
        ranks.rank = rank
        build(tmp_path / "store", teachers[rank])

    ranks = threading.local()
    monkeypatch.setattr(knowledge_store, "process_rank", lambda: (getattr(ranks, "rank", 0), 2))
    threads = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in (first, 1 - first)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join(60)
    assert len(teachers[0].seen) + len(teachers[1].seen) == len(whole.seen) == 3 * VIEWS
    assert min(len(teacher.seen) for teacher in teachers) >= 4
    assert (tmp_path / "store").read_bytes() == (tmp_path / "whole").read_bytes()


def test_killed_build_with_other_settings_starts_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "store", SpyTeacher(calls=2))
    assert len(build(tmp_path / "store", seed=6).seen) == VIEWS


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: raw[:-1], "truncated"),
        (lambda raw: raw + b"\0", "truncated or extended"),
        (lambda raw: raw[:100], "truncated in its header"),
        (lambda raw: raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:], "altered"),
        (lambda raw: b"X" + raw[1:], "not a knowledge store"),
        (lambda raw: raw[:8] + b" " * (HEADER_BYTES - 8) + raw[HEADER_BYTES:], "header"),
        (lambda raw: raw.replace(b"records_sha256", b"records_sha257"), "unfinished"),
    ],
)
def test_damaged_file_is_refused(tmp_path, damage, reason):
    path = tmp_path / "store"
    build(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CodecError, match=reason) as caught:
        KnowledgeStore(path)
    assert str(path) in str(caught.value)


def test_other_data_set_is_refused(tmp_path):
    build(tmp_path / "store")
    with pytest.raises(CodecError, match="another data set"):
        KnowledgeStore(tmp_path / "store").matches(load_images("synthetic:61"))


def test_missing_store_and_wrong_width(tmp_path):
    with pytest.raises(CodecError, match="not found"):
        KnowledgeStore(tmp_path / "none")
    with pytest.raises(CodecError, match="kept is 11"):
        build(tmp_path / "store", kept=11)


def forge(path, change):
    """Change the records of a store and mend its checksum: only asking the teacher again can find that."""
    raw = path.read_bytes()
    header = json.loads(raw[8:HEADER_BYTES])
    records = np.frombuffer(raw[HEADER_BYTES:], record_dtype(header["kept"], header["classes"])).copy()
    change(records)
    header["records_sha256"] = hashlib.sha256(records.tobytes()).hexdigest()
    path.write_bytes(raw[:8] + json.dumps(header).encode().ljust(HEADER_BYTES - 8) + records.tobytes())


def test_verify_asks_the_teacher_again(tmp_path):
    build(tmp_path / "store")
    spy = SpyTeacher()
    result = verify_store(KnowledgeStore(tmp_path / "store"), spy, IMAGES, records=50)
    assert result["records"] == 50 == sum(map(len, spy.seen))
    assert result["largest_difference"] < 1e-4
    everything = verify_store(KnowledgeStore(tmp_path / "store"), spy, IMAGES, records=10_000)
    assert everything["records"] == VIEWS * len(IMAGES)


def _swap_two_classes(records):
    records["index"][:, :2] = records["index"][:, 1::-1].copy()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_swap_two_classes, "is not what the teacher says"),
        (lambda records: records["seed"].__iadd__(1), "has another seed"),
    ],
)
def test_verify_finds_forged_records(tmp_path, change, reason):
    build(tmp_path / "store")
    forge(tmp_path / "store", lambda records: None)
    verify_store(KnowledgeStore(tmp_path / "store"), SpyTeacher(), IMAGES)
    forge(tmp_path / "store", change)
    with pytest.raises(CodecError, match=reason):
        verify_store(KnowledgeStore(tmp_path / "store"), SpyTeacher(), IMAGES)


def test_verify_refuses_another_teacher_and_other_images(tmp_path):
    build(tmp_path / "store", teacher_name="somebody")
    store = KnowledgeStore(tmp_path / "store")
    with pytest.raises(CodecError, match=r"another teacher.*somebody"):
        verify_store(store, SpyTeacher(seed=5), IMAGES)
    with pytest.raises(CodecError, match="another data set"):
        verify_store(store, SpyTeacher(), load_images("synthetic:61"))


EXPERIMENT = {
    "name": "small",
    "data": {"train": "synthetic:120", "validation": "synthetic:40", "test": "synthetic:40"},
    "teacher": {"training": TEACHER_TRAINING | {"epochs": 1}},
    "store": {"views": 2, "kept": 3, "seed": 3, "bfloat16": False, "augmentation": {}},
    "student": {},
}


def invoke(*arguments):
    return CliRunner(mix_stderr=False).invoke(main, ["store", *map(str, arguments)])


def test_commands_build_show_and_verify(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    built = invoke("build", "small.yaml")
    assert built.exit_code == 0, built.stderr
    path = "work/small/teacher.store"
    assert path in built.stdout
    facts = json.loads(invoke("info", path, "--json").stdout)
    assert (facts["samples"], facts["views"], facts["kept"], facts["data"]) == (120, 2, 3, "synthetic:120")
    assert facts["bytes"] == HEADER_BYTES + 240 * facts["bytes_per_view"] == (tmp_path / path).stat().st_size
    verified = invoke("verify", path, "--json", "--records", "99")
    assert verified.exit_code == 0, verified.stderr
    assert json.loads(verified.stdout)["records"] == 99
    before = (tmp_path / path).read_bytes()
    assert invoke("build", "small.yaml").exit_code == 0
    assert (tmp_path / path).read_bytes() == before


def test_commands_end_with_one_line_and_code_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(tmp_path / "store")
    (tmp_path / "cut").write_bytes((tmp_path / "store").read_bytes()[:-1])
    labels = {key: EXPERIMENT[key] for key in ("name", "data", "student")}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    for arguments, reason in (
        (("info", "none"), "none: not found"),
        (("info", "cut"), "truncated"),
        (("verify", "cut"), "truncated"),
        (("verify", "store"), "names no teacher"),
        (("verify", "store", "--teacher", "socrates"), "teacher 'socrates': unknown"),
        (("build", "none.yaml"), "experiment none.yaml: not found"),
        (("build", "labels.yaml"), "no sections teacher and store"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, arguments
        assert reason in result.stderr
        assert result.stderr.count("\n") == 1
