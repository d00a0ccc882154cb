# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes for one job, as torchrun starts them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

PATIENCE = timedelta(days=7)  # the others may wait for process 0 while it trains a teacher's head


def process_rank() -> tuple[int, int]:
    """This process's number and how many there are; (0, 1) without torchrun."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process where several share a machine ("cuda" without a number); other devices as they are."""
    if device.type == "cuda" and device.index is None and process_rank()[1] > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


@contextmanager
def process_group(device: torch.device):
    """Connect the processes that torchrun started (nccl on GPUs, gloo on CPUs); nothing to do for a single one."""
    if process_rank()[1] == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def first_process_first():
    """What process 0 did before this call is done for all after it."""
    if dist.is_initialized():
        dist.barrier()


def average_gradients(model: nn.Module) -> None:
    """Replace every gradient by its mean over the processes; one exchange for all of them."""
    if not dist.is_initialized():
        return
    gradients = [value.grad for value in model.parameters() if value.grad is not None]
    flat = average_over_processes(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def average_over_processes(value: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over the processes; NaN or infinite if one of them is."""
    if dist.is_initialized():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value
