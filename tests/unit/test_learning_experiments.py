# SPDX-License-Identifier: GPL-3.0-or-later
"""Every experiment file can start: its fields are known, its student is as small as promised, it trains and resumes."""

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file

from gr_semantic.cli.main import main
from gr_semantic.paths import ROOT
from semantic_models import CodecError, ImageSet, SemanticCodec, load_images
from semantic_models.augmentation import Augmentation, view_seeds
from semantic_models.codec_folder import CodecConfig, read_codec, save_codec
from semantic_models.distill import distill, load_experiment
from semantic_models.evaluate import count_macs, count_parameters
from semantic_models.experiment_file import merged
from semantic_models.feature_distillation import load_teacher_trunk
from semantic_models.knowledge_store import KnowledgeStore, build_store
from semantic_models.publish import publish
from semantic_models.resnet import Ensemble, ResNet
from semantic_models.student import Student
from semantic_models.student_training import train_student
from semantic_models.teacher import build_teacher, teacher_logits, train_teacher
from semantic_models.teachers import open_teacher
from semantic_models.testing import tiny_codec
from semantic_models.wide_resnet import WideResNet

EXPERIMENTS = sorted((ROOT / "models" / "experiments").glob("*.yaml"))
COLOUR = (3, 32, 32)


def colour_images(count=8, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *COLOUR), np.uint8)
    return ImageSet(images, rng.integers(0, 10, count), tuple(f"class {k}" for k in range(10)), f"noise:{seed}")


def shape_of(experiment):
    return (1, 28, 28) if experiment["data"]["train"].startswith("fashion-mnist") else COLOUR


def classes_of(experiment):
    return 100 if experiment["data"]["train"].startswith("cifar100") else 10


def student_of(experiment):
    settings = experiment["student"]
    return Student(shape_of(experiment), classes_of(experiment), max(settings["budgets"]), **settings["model"])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_file_names_itself_and_small_students(path):
    experiment = load_experiment(path)
    assert experiment["name"] == path.stem
    assert set(experiment["data"]) == {"train", "validation", "test"}
    assert sum(experiment["student"]["training"]["channels"].values()) == pytest.approx(1)
    training, stored = experiment["student"]["training"], experiment.get("store")
    Augmentation(**(stored if isinstance(stored, dict) else training)["augmentation"])
    student = student_of(experiment)
    if training.get("trunk") == "teacher":
        first = experiment["teacher"]["training"]
        model = merged(first, first.get("rounds", [{}])[-1])["model"]  # of the last round
        load_teacher_trunk(
            student, build_teacher(image_shape=shape_of(experiment), classes=classes_of(experiment), **model)
        )
    parameters, macs = (2_900_000, 300_000_000) if path.stem.startswith("cifar100") else (500_000, 60_000_000)
    macs *= (2 if student.encoder.mirror else 1) * (2 if student.encoder.shift else 1)  # cifar100-...: none are asked
    assert count_parameters(student)["total"] <= parameters
    assert count_macs(student, shape_of(experiment))["total"] <= macs


def test_cifar10_experiment_takes_its_steps(tmp_path):
    """Its own settings on eight images of noise, two networks of random weights as teacher: store, student, codec."""
    torch.set_num_threads(1)
    experiment = load_experiment(ROOT / "models" / "experiments" / "cifar10.yaml")
    train, settings, store_settings = colour_images(), experiment["student"], experiment["store"]
    augmentation = Augmentation(**store_settings["augmentation"])
    teacher = Ensemble([ResNet(8).eval(), ResNet(8).eval()])
    build_store(
        tmp_path / "store",
        teacher,
        train,
        2,
        store_settings["kept"],
        augmentation,
        store_settings["seed"],
        bfloat16=True,
    )
    torch.manual_seed(0)
    student = student_of(experiment)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    budgets, range_db = tuple(settings["budgets"]), tuple(settings["snr_range_db"])
    student = train_student(
        settings["training"] | {"epochs": 1, "batch": 4},
        student,
        budgets,
        range_db,
        train,
        colour_images(4, 1),
        tmp_path / "student",
        KnowledgeStore(tmp_path / "store"),
    )
    after = student.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert not torch.equal(after["encoder.trunk.0.0.weight"], before["encoder.trunk.0.0.weight"])
    assert not torch.equal(after["decoder.body.0.weight"], before["decoder.body.0.weight"])
    publish(tmp_path / "codec", "noise", train.classes, COLOUR, settings, student, colour_images(6, 2), {})
    codec = SemanticCodec.load(tmp_path / "codec", "cpu")
    assert codec.image_shape == COLOUR
    assert codec.encode(train.images, 3.0, 8).shape == (8, 8)


def test_colour_codec_does_not_depend_on_the_batch(tmp_path):
    codec = SemanticCodec.load(tiny_codec(tmp_path, image_shape=COLOUR), "cpu")
    images = colour_images(19).images
    symbols = codec.encode(images, 5.0, 16)
    assert all(np.array_equal(codec.encode(images[k : k + 1], 5.0, 16), symbols[k : k + 1]) for k in range(19))
    logits = codec.decode(symbols, np.float32(0.1))
    assert all(np.array_equal(codec.decode(symbols[k : k + 1], np.float32(0.1)), logits[k : k + 1]) for k in range(19))


def test_augmentation_moves_the_colours_of_a_pixel_together():
    """Each view's pixels are triples of its image, black (the border), or one grey (the erased rectangle)."""
    images = colour_images(20).images
    views = Augmentation(pad=4, erase=0.5).apply(images, view_seeds(1, 1, np.arange(20)))
    assert views.shape == images.shape
    assert not np.array_equal(views, images)
    for image, view in zip(images, views, strict=True):
        known = {tuple(pixel) for pixel in image.reshape(3, -1).T} | {(0, 0, 0)}
        new = {tuple(pixel) for pixel in view.reshape(3, -1).T} - known
        assert len(new) <= 1
        assert all(len(set(pixel)) == 1 for pixel in new)


@pytest.mark.parametrize("blocks", [["d", "r"], ["d", "x", "r"]])
def test_unknown_blocks_are_refused(blocks):
    with pytest.raises(CodecError, match="3 strings of the letters d g r"):
        Student(COLOUR, 10, 8, blocks=blocks)


@pytest.mark.parametrize("name", ["cifar100", "cifar10-wrn"])
def test_experiment_with_a_wide_resnet_takes_its_steps(name, tmp_path):
    """Its own settings on sixteen images of noise, the teacher at depth 10 and width 1: teacher, store, student."""
    torch.set_num_threads(1)
    experiment = load_experiment(ROOT / "models" / "experiments" / f"{name}.yaml")
    classes, settings, stored = classes_of(experiment), experiment["student"], experiment["store"]
    rng = np.random.default_rng(0)
    labels, names = rng.integers(0, classes, 16), tuple(f"class {k}" for k in range(classes))
    train = ImageSet(rng.integers(0, 256, (16, *COLOUR), np.uint8), labels, names, "noise")
    training = experiment["teacher"]["training"]
    assert training["model"]["kind"] == "wide-resnet"
    small = {"epochs": 2, "batch": 8, "model": training["model"] | {"depth": 10, "widen": 1}}
    train_teacher(training | small, train, train, tmp_path / "teacher")
    teacher = open_teacher(str(tmp_path / "teacher" / "teacher.safetensors"))
    assert isinstance(teacher, WideResNet)
    augmentation = Augmentation(**stored["augmentation"])
    build_store(tmp_path / "store", teacher, train, 2, stored["kept"], augmentation, stored["seed"], stored["bfloat16"])
    store = KnowledgeStore(tmp_path / "store")
    assert store.records.dtype.itemsize <= 40
    torch.manual_seed(0)
    config = settings["training"] | {"epochs": 1, "batch": 8}
    budgets, range_db = tuple(settings["budgets"]), tuple(settings["snr_range_db"])
    student = train_student(config, student_of(experiment), budgets, range_db, train, train, tmp_path / "s", store)
    assert all(torch.isfinite(value).all() for value in student.state_dict().values())


def test_wide_resnet_has_the_papers_size_and_learns(tmp_path):
    """WRN-28-10 has 36.5 M parameters (arXiv 1605.07146, table 4); a small one fits a few images, and resumes."""
    with torch.device("meta"):
        assert round(sum(p.numel() for p in WideResNet(COLOUR, 10, 28, 10).parameters()) / 1e6, 1) == 36.5
    torch.set_num_threads(1)
    train = load_images("synthetic:80")
    config = {
        "seed": 1,
        "epochs": 6,
        "batch": 20,
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        "average_decay": 0.5,
        "bfloat16": True,
        "model": {"kind": "wide-resnet", "depth": 10, "widen": 1},
        "augmentation": {"pad": 1, "mirror": False, "erase": 0.0},  # a mirrored grating is of another class
    }
    network = train_teacher(config, train, train, tmp_path / "teacher")
    assert (teacher_logits(network, train.images).argmax(1) == train.labels).mean() > 0.6
    again = train_teacher(config, train, train, tmp_path / "teacher")
    for key, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"kind": "transformer"}, "known are residual, wide-resnet"),
        ({"kind": "wide-resnet", "depth": 27}, "10, 16, 22"),
        ({"kind": "wide-resnet", "wide": 2}, "wide"),
    ],
)
def test_unknown_teachers_are_refused(model, reason):
    with pytest.raises(CodecError, match=reason):
        build_teacher(image_shape=COLOUR, classes=10, **model)


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def test_experiments_inherit_from_files_beside_and_above(tmp_path):
    write(
        tmp_path,
        "first",
        "{name: first, title: t, data: {train: a, test: b}, teacher: {name: n}, store: {views: 2, kept: 3}, "
        "student: {budgets: [4, 8], training: {seed: 1, channels: {awgn: 0.5, selective: 0.5}}}}",
    )
    write(tmp_path / "rows", "second", "{base: first, name: second, store: {views: 9}, student: {budgets: [8]}}")
    third = write(
        tmp_path / "rows",
        "third",
        "{base: second, name: third, teacher: null, store: null, "
        "student: {training: {channels: {awgn: 1.0, selective: null}}}}",
    )
    second = load_experiment(tmp_path / "rows" / "second.yaml")
    assert second["name"] == "second"
    assert "title" not in second
    assert second["store"] == {"views": 9, "kept": 3}
    assert second["student"]["budgets"] == [8]
    assert load_experiment(third) == {
        "name": "third",
        "data": {"train": "a", "test": "b"},
        "student": {"budgets": [8], "training": {"seed": 1, "channels": {"awgn": 1.0}}},
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{base: nothing, name: x}", "is neither .*nothing.yaml"),
        ("{base: x, name: x}", "inherits from itself"),
        ("{base: y, name: x}", "inherits from itself"),
        ("{base: z}", "section name is missing"),
    ],
)
def test_wrong_inheritance_is_refused(tmp_path, text, reason):
    path = write(tmp_path, "x", text)
    write(tmp_path, "y", "{base: x, name: y}")
    write(tmp_path, "z", "{name: z, data: {}, student: {}}")
    with pytest.raises(CodecError, match=reason):
        load_experiment(path)


def two_stages(folder, **second):
    """Two experiments of a moment on synthetic images, the second of which starts from the first."""
    training = {"seed": 1, "epochs": 1, "batch": 20, "learning_rate": 1e-3, "weight_decay": 0.0, "average_decay": 0.5}
    training |= {"bfloat16": False, "distillation": 0.0, "rate_beta": 0.0, "channels": {"awgn": 1.0}}
    model = {"widths": [4, 8, 8], "phi_hidden": 8, "decoder_hidden": [8]}
    student = {"budgets": [4], "snr_range_db": [0, 10], "margin": 0.01, "model": model}
    student["training"] = training | {"report_error_db": 0.0, "augmentation": {"mirror": False, "erase": 0.0}}
    data = {"train": "synthetic:40", "validation": "synthetic:20", "test": "synthetic:20"}
    write(folder, "first", yaml.safe_dump({"name": "first", "data": data, "student": student}))
    still = {"base": "first", "name": "second", "start": "first", "student": {"training": {"learning_rate": 0.0}}}
    return write(folder, "second", yaml.safe_dump(merged(still, second)))


def test_an_experiment_starts_from_the_student_of_another(tmp_path):
    """At a learning rate of 0 the weights that come out are those that went in."""
    torch.set_num_threads(1)
    distill(two_stages(tmp_path), tmp_path / "out", tmp_path / "work", "cpu")
    first, second = (
        load_file(tmp_path / "work" / folder / "student" / "checkpoint.safetensors") for folder in ("start", ".")
    )
    names = [name for name in first if name.startswith("average.") and name.endswith(".weight")]
    assert names and all(torch.equal(first[name], second[name]) for name in names if "running" not in name)
    origin = read_codec(tmp_path / "out")[0].origin
    assert origin["start"] == "first" and origin["student_epochs"] == 1


def test_an_experiment_starts_from_a_codec(tmp_path):
    """At a learning rate of 0 the codec that comes out has the weights of the one that went in."""
    torch.set_num_threads(1)
    path = two_stages(tmp_path, start=None, start_codec="out/first")
    distill(tmp_path / "first.yaml", tmp_path / "out" / "first", tmp_path / "work" / "first", "cpu")
    distill(path, tmp_path / "out" / "second", tmp_path / "work" / "second", "cpu")
    (_, first, _), (config, second, _) = (read_codec(tmp_path / "out" / name) for name in ("first", "second"))
    names = [name for name in first if name.endswith(".weight")]
    assert names and all(torch.equal(first[name], second[name]) for name in names)
    assert config.origin["start"] == "first"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": "first", "start_codec": "zoo/first"}, "both start and start_codec"),
        ({"start": None, "start_codec": "zoo/nobody"}, "nobody: no such folder"),
        (
            {"start": None, "start_codec": "zoo/first", "student": {"budgets": [4, 8]}},
            "another student.model or longest",
        ),
        ({"start": None, "start_codec": "zoo/digits"}, "digits has other classes"),
    ],
)
def test_a_codec_that_does_not_fit_is_refused(tmp_path, changes, reason):
    classes = tuple(f"grating {k}" for k in range(10))
    model = {"widths": [4, 8, 8], "phi_hidden": 8, "decoder_hidden": [8]}
    for name, names in (("first", classes), ("digits", tuple("0123456789"))):
        rows = {4: (0.1, 0.2)}
        config = CodecConfig(name, (1, 28, 28), names, (4,), (0.0, 10.0), model, 0.01, 10, 0.2, (0.0, 10.0), rows)
        save_codec(tmp_path / "zoo" / name, config, config.build())
    with pytest.raises(CodecError, match=reason):
        distill(two_stages(tmp_path, **changes), tmp_path / "out", tmp_path / "work", "cpu")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": "nobody"}, "start 'nobody' is neither .*nobody.yaml"),
        ({"start": "second"}, "start second has a start itself"),
        ({"student": {"model": {"phi_hidden": 16}}}, "start first has another student.model"),
        ({"data": {"train": "synthetic:60"}}, "start first has another data"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(tmp_path, changes, reason):
    path = two_stages(tmp_path, **changes)
    with pytest.raises(CodecError, match=reason):
        distill(path, tmp_path / "out", tmp_path / "work", "cpu")
    assert not (tmp_path / "work" / "start" / "student").exists()


def test_teacher_command_trains_only_the_teacher(tmp_path):
    training = {
        "seed": 1,
        "epochs": 1,
        "batch": 20,
        "learning_rate": 0.05,
        "weight_decay": 5e-4,
        "average_decay": 0.5,
        "bfloat16": False,
        "model": {"kind": "wide-resnet", "depth": 10, "widen": 1},
    }
    experiment = {
        "name": "small",
        "data": {"train": "synthetic:40", "validation": "synthetic:20", "test": "synthetic:20"},
        "teacher": {"training": training},
        "store": {},
        "student": {},
    }
    path, work = tmp_path / "small.yaml", tmp_path / "work"
    path.write_text(yaml.safe_dump(experiment))
    done = CliRunner().invoke(main, ["store", "teacher", str(path), "--work", str(work), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert isinstance(open_teacher(str(work / "teacher" / "teacher.safetensors")), WideResNet)
    assert {file.name for file in work.iterdir()} == {"teacher"}
    path.write_text(yaml.safe_dump(experiment | {"teacher": {"name": "cifar10-resnet20"}}))
    done = CliRunner().invoke(main, ["store", "teacher", str(path), "--work", str(work)])
    assert done.exit_code == 2
    assert "has no training" in done.output
