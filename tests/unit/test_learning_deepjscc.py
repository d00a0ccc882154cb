# SPDX-License-Identifier: GPL-3.0-or-later
"""DeepJSCC: a codec of the zoo like any other, whose receiver rebuilds a picture and asks a frozen teacher."""

import numpy as np
import pytest
import torch

from gr_semantic.paths import ROOT
from semantic_models import CodecError, SemanticCodec, load_images
from semantic_models.codec_folder import CodecConfig, read_codec, save_codec
from semantic_models.deepjscc import DeepJSCC, build_form, teacher_form
from semantic_models.deepjscc_training import is_deepjscc, train_deepjscc
from semantic_models.evaluate import count_parameters, evaluate_codec
from semantic_models.experiment_file import load_experiment
from semantic_models.resnet import Ensemble, ResNet
from semantic_models.teacher import Teacher

SHAPE, BUDGETS = (1, 28, 28), (4, 16)
CLASSES = tuple(f"class {k}" for k in range(10))
TRAINING = {
    "seed": 1,
    "epochs": 2,
    "batch": 16,
    "learning_rate": 5e-3,
    "weight_decay": 0.0,
    "average_decay": 0.5,
    "bfloat16": False,
    "report_error_db": 1.0,
    "budgets_a_step": 2,
    "channels": {"awgn": 0.5, "selective": 0.5},
    "augmentation": {"pad": 1, "mirror": True, "erase": 0.0, "erase_min": 1, "erase_max": 1},
}


def network(seed=0):
    torch.manual_seed(seed)
    teacher = Teacher(SHAPE, widths=(4, 4, 4))
    model = DeepJSCC(SHAPE, 10, max(BUDGETS), width=8, teacher=teacher_form(teacher))
    model.decoder.teacher.load_state_dict(teacher.state_dict())
    return model, teacher


@pytest.fixture
def codec(tmp_path):
    model, _ = network()
    form = {"kind": "deepjscc", "width": 8, "teacher": teacher_form(model.decoder.teacher)}
    rows = dict.fromkeys(BUDGETS, (0.1, 0.2))
    config = CodecConfig("jscc", SHAPE, CLASSES, BUDGETS, (-6.0, 24.0), form, 0.01, 10, 0.2, (0.0, 10.0), rows)
    save_codec(tmp_path / "jscc", config, model)
    return SemanticCodec.load(tmp_path / "jscc", "cpu")


def test_it_is_a_codec(codec):
    """Symbols of unit power, prefixes, logits, the same bits at batch 1 and batch N, errors as for any other."""
    images = load_images("fashion-mnist:test[0:7]").images
    symbols = codec.encode(images, 10.0, 16)
    assert symbols.shape == (7, 16) and np.allclose((np.abs(symbols) ** 2).mean(axis=1), 1, atol=1e-3)
    short = codec.encode(images, 10.0, 4)
    assert np.allclose(short / np.abs(short[:, :1]), symbols[:, :4] / np.abs(symbols[:, :1]), atol=1e-4)
    assert not np.allclose(codec.encode(images, 0.0, 16), symbols)  # the SNR counts
    noise_var = np.full(symbols.shape, 0.1, np.float32)
    logits = codec.decode(symbols, noise_var)
    assert logits.shape == (7, 10)
    one = np.concatenate([codec.decode(symbols[k : k + 1], noise_var[k : k + 1]) for k in range(7)])
    assert np.array_equal(one, logits)
    assert np.array_equal(np.concatenate([codec.encode(images[k : k + 1], 10.0, 16) for k in range(7)]), symbols)
    assert codec.encode(images[:0], 10.0, 4).shape == (0, 4)
    with pytest.raises(CodecError, match="unknown budget"):
        codec.encode(images, 10.0, 5)


def test_logits_are_the_teachers_of_the_rebuilt_picture(codec):
    model, teacher = network()
    model.eval()
    received = torch.randn(3, 16, dtype=torch.complex64)
    noise_var = torch.rand(3, 16)
    with torch.no_grad():
        picture = model.reconstruct(received, noise_var)
        assert picture.shape == (3, *SHAPE) and picture.min() >= 0 and picture.max() <= 1
        assert torch.allclose(model.decode(received, noise_var), teacher.eval()(picture), atol=1e-5)


def test_it_can_be_evaluated_and_counted(codec):
    result = evaluate_codec(codec, load_images("fashion-mnist:test[0:20]"), snr_db=(0.0, 10.0))
    assert len(result["points"]) == 4 and result["macs"]["receiver"] > 0
    assert count_parameters(codec.model)["total"] == sum(value.numel() for value in codec.model.parameters())


def test_training_lowers_the_error_resumes_and_leaves_the_teacher_alone(tmp_path):
    train = load_images("fashion-mnist:train[0:320]")
    validation = load_images("fashion-mnist:train[320:340]")

    def error(model):
        model.eval()
        images = torch.tensor(validation.images).float() / 255
        with torch.no_grad():
            symbols = model.encode(images, torch.full((20,), 20.0), 16)
            return float((model.reconstruct(symbols, torch.full(symbols.shape, 0.01)) - images).square().mean())

    model, teacher = network()
    before = error(model)
    whole = train_deepjscc(TRAINING, model, BUDGETS, (-6.0, 24.0), train, validation, tmp_path / "whole")
    assert error(whole) < 0.8 * before
    kept = whole.decoder.teacher.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in teacher.state_dict().items())

    class Killed(Exception):
        pass

    def log(self, **fields):
        raise Killed

    model, _ = network()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):  # after the first epoch's checkpoint
        patch.setattr("semantic_models.deepjscc_training.Log.__call__", log)
        train_deepjscc(TRAINING, model, BUDGETS, (-6.0, 24.0), train, validation, tmp_path / "cut")
    model, _ = network(5)
    resumed = train_deepjscc(TRAINING, model, BUDGETS, (-6.0, 24.0), train, validation, tmp_path / "cut")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_forms_of_teachers():
    for teacher in (ResNet(8), Ensemble([ResNet(8), ResNet(14)])):
        again = build_form(teacher_form(teacher), 10)
        again.load_state_dict(teacher.state_dict())
    with pytest.raises(CodecError, match="cannot be put into a codec"):
        teacher_form(torch.nn.Linear(2, 2))
    with pytest.raises(CodecError, match="divisible"):
        DeepJSCC((1, 30, 30), 10, 4, teacher={"widths": [4, 4, 4]})
    with pytest.raises(CodecError, match="section teacher"):
        DeepJSCC(SHAPE, 10, 4)


def test_unknown_kind_in_codec_toml(tmp_path, codec):
    folder = tmp_path / "jscc"
    text = (folder / "codec.toml").read_text().replace('"deepjscc"', '"magic"')
    (folder / "codec.toml").write_text(text)
    assert read_codec(folder)[0].model["kind"] == "magic"
    with pytest.raises(CodecError, match="magic"):
        SemanticCodec.load(folder, "cpu")


@pytest.mark.parametrize("path", sorted((ROOT / "models" / "experiments" / "baselines").glob("*.yaml")), ids=str)
def test_experiment_files(path):
    experiment = load_experiment(path)
    assert experiment["name"] == path.stem and is_deepjscc(experiment)
    settings = experiment["student"]
    assert set(TRAINING) <= set(settings["training"])
    form = {key: value for key, value in settings["model"].items() if key != "kind"}
    shape = (3, 32, 32) if path.stem.startswith("cifar10") else SHAPE
    DeepJSCC(shape, 10, max(settings["budgets"]), teacher=teacher_form(Teacher(shape, widths=(4, 4, 4))), **form)


def test_other_experiments_are_no_deepjscc():
    assert not is_deepjscc(load_experiment(ROOT / "models" / "experiments" / "fashion-mnist.yaml"))
