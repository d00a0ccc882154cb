# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes for one job, as torchrun starts them."""

from __future__ import annotations

import os


def process_rank() -> tuple[int, int]:
    """This process's number and how many there are; (0, 1) without torchrun."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
