# SPDX-License-Identifier: GPL-3.0-or-later
"""The form in which a codec runs gives what the trained network gives, and counts as much work."""

import copy

import pytest
import torch
from torch import nn

from semantic_models.evaluate import count_macs, count_parameters
from semantic_models.inference_form import OneKernelConvolution, for_inference
from semantic_models.student import Student
from semantic_models.trunk import GatedResidual

SHAPE = (3, 32, 32)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(3)
    model = Student(SHAPE, 10, 8, widths=(8, 64, 64), blocks=("d", "r", "r"))
    images = torch.rand(16, *SHAPE)
    model.train()
    for _ in range(20):  # running means and variances that are not those of a new network
        model.encoder(images)
    return model.eval().requires_grad_(False)


def test_same_function(student):
    images = torch.rand(8, *SHAPE)
    expected = student.encoder(images)
    found = for_inference(copy.deepcopy(student), torch.device("cpu")).encoder(images)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_one_image_by_the_kernel_of_many(student):
    """On one thread nn.Conv2d would take another kernel for one image, which rounds differently."""
    form = for_inference(copy.deepcopy(student), torch.device("cpu"))
    assert any(isinstance(module, OneKernelConvolution) for module in form.modules())
    images = torch.rand(8, *SHAPE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        many = form.encoder.pooled(images)
        one_by_one = torch.cat([form.encoder.pooled(image[None]) for image in images])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one_by_one, many)


def test_counts_the_same_work(student):
    assert count_macs(for_inference(copy.deepcopy(student), torch.device("cpu")), SHAPE) == count_macs(student, SHAPE)
    assert count_macs(student, SHAPE)["edge"] > 1e6


def test_counts_the_same_parameters_but_for_the_folded_norms(student):
    norms = sum(p.numel() for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters())
    folded = sum(m.num_features for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d))  # biases instead
    form = for_inference(copy.deepcopy(student), torch.device("cpu"))
    assert count_parameters(form)["total"] == count_parameters(student)["total"] - norms + folded


def test_a_gated_block_gives_a_row_the_same_bits_alone_and_among_others():
    """112 channels, as in cifar100-cpu: no multiple of the 32 numbers that torch's sigmoid takes at a time."""
    torch.set_num_threads(1)
    torch.manual_seed(6)
    block = GatedResidual(112)
    nn.init.normal_(block.gate[-1].weight)
    block = for_inference(block, torch.device("cpu"))
    with torch.inference_mode():
        for _ in range(150):
            maps = torch.rand(1, 112, 4, 4).contiguous(memory_format=torch.channels_last)
            four = block(maps.expand(4, -1, -1, -1).contiguous(memory_format=torch.channels_last))
            assert torch.equal(four, block(maps).expand(4, -1, -1, -1))
