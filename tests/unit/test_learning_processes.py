# SPDX-License-Identifier: GPL-3.0-or-later
"""Two processes of torchrun train one student: the same weights in both, files from the first, a codec at the end."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from test_learning_training import EXPERIMENT

from semantic_models import SemanticCodec

SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
from semantic_models import distill as module
from semantic_models.processes import average_gradients, average_over_processes, process_rank

torch.set_num_threads(1)
folder, rank = Path(sys.argv[1]), process_rank()[0]
real = module.train_student

def train_and_keep(*arguments):
    student = real(*arguments)
    kept = {key: value.clone() for key, value in student.named_parameters()}
    inputs, targets = torch.arange(8.0).view(8, 1) ** 2, torch.linspace(-1, 3, 8).view(8, 1)
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 0.5)
    nn.init.zeros_(model.bias)
    nn.functional.mse_loss(model(inputs[rank::2]), targets[rank::2]).backward()
    average_gradients(model)
    kept["gradient"] = torch.cat([value.grad.reshape(-1) for value in model.parameters()])
    kept["bad"] = average_over_processes(torch.tensor([float("nan") if rank else 1.0]))
    torch.save(kept, folder / f"rank{rank}.pt")
    return student

module.train_student = train_and_keep
module.distill(folder / "small.yaml", folder / "codec", folder / "work", "cpu")
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchrun")
    (folder / "small.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    (folder / "script.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(folder / "script.py"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_both_processes_hold_the_same_student(two_processes):
    _, (first, second) = two_processes
    assert first.keys() == second.keys()
    for key in first.keys() - {"bad"}:
        assert torch.equal(first[key], second[key]), key


def test_gradients_are_the_whole_batchs(two_processes):
    _, (first, _) = two_processes
    inputs, targets = torch.arange(8.0).view(8, 1) ** 2, torch.linspace(-1, 3, 8).view(8, 1)
    weight, bias = torch.tensor([[0.5]], requires_grad=True), torch.zeros(1, requires_grad=True)
    torch.nn.functional.mse_loss(inputs @ weight + bias, targets).backward()
    assert torch.allclose(first["gradient"], torch.cat([weight.grad[0], bias.grad]))


def test_a_bad_loss_in_one_process_is_bad_in_all(two_processes):
    assert all(torch.isnan(kept["bad"]).all() for kept in two_processes[1])


def test_files_are_written_once(two_processes):
    folder, _ = two_processes
    for part, epochs in (("student", 3), ("teacher", 2)):
        lines = [json.loads(line) for line in (folder / "work" / part / "log.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == list(range(1, epochs + 1))
    assert SemanticCodec.load(folder / "codec", "cpu").clean_accuracy > 0.15
