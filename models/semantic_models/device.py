# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a device, as a user gives it, to a torch device."""

from __future__ import annotations

import torch

from .errors import CodecError


def choose_device(name: str) -> torch.device:
    """name: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1". CodecError if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise CodecError(f"device {name!r}: unknown; use auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise CodecError(f"device {name!r}: not on this machine; use auto or cpu")
    return device
