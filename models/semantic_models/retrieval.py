# SPDX-License-Identifier: GPL-3.0-or-later
"""Nearest neighbours by cosine, and how good they are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

NEIGHBOURS = 10
_QUERIES = 500  # that are compared with the gallery together


@torch.inference_mode()
def nearest(queries: np.ndarray, gallery: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """Indices of the gallery vectors with the largest cosine to each query, the best first: int64, Q x count.

    queries: Q x D; gallery: N x D, Q <= N. Query i belongs to the image of gallery vector i, which it never finds.
    """
    wanted = F.normalize(torch.from_numpy(np.asarray(queries, np.float32)), dim=1)
    held = F.normalize(torch.from_numpy(np.asarray(gallery, np.float32)), dim=1)
    found = []
    for start in range(0, len(wanted), _QUERIES):
        cosine = wanted[start : start + _QUERIES] @ held.T
        rows = torch.arange(len(cosine))
        cosine[rows, start + rows] = -torch.inf
        found.append(cosine.topk(count, 1).indices)
    return torch.cat(found).numpy()


def shares_found(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Of each query's true neighbours, the share that is among those found: float64, Q. Both: Q x count."""
    return (found[:, :, None] == true[:, None, :]).any(1).mean(1)


def label_precision(found: np.ndarray, labels: np.ndarray) -> float:
    """Share of the found images that have their query's label. found: Q x count; labels of the gallery: N."""
    return float((labels[found] == labels[: len(found), None]).mean())
