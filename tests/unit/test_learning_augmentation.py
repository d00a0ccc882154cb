# SPDX-License-Identifier: GPL-3.0-or-later
"""A view is a function of its image and its seed, and of nothing else."""

import numpy as np

from semantic_models import load_images
from semantic_models.augmentation import Augmentation, view_seeds

IMAGES = load_images("synthetic:64").images


def test_same_seed_same_view_whatever_the_batch():
    augmentation, seeds = Augmentation(), view_seeds(1, 2, np.arange(64))
    views = augmentation.apply(IMAGES, seeds)
    for chosen in ([5], [63, 0, 5], list(range(10, 30))):
        assert np.array_equal(augmentation.apply(IMAGES[chosen], seeds[chosen]), views[chosen])


def test_other_seeds_give_other_views():
    augmentation = Augmentation()
    views = [augmentation.apply(IMAGES[:1].repeat(64, 0), view_seeds(1, view, np.arange(64))) for view in (0, 1)]
    assert len({image.tobytes() for batch in views for image in batch}) > 100


def test_seed_zero_is_the_image_and_is_never_drawn():
    assert np.array_equal(Augmentation(erase=1.0).apply(IMAGES, np.zeros(64, np.uint32)), IMAGES)
    assert view_seeds(0, 0, np.arange(200_000)).min() > 0


def test_a_view_without_erasing_is_a_shifted_or_mirrored_image():
    padded = np.pad(IMAGES[7, 0], 2)
    windows = [padded[row : row + 28, column : column + 28] for row in range(5) for column in range(5)]
    known = {part.tobytes() for window in windows for part in (window, window[:, ::-1])}
    views = Augmentation(erase=0.0).apply(IMAGES[7:8].repeat(100, 0), view_seeds(3, 0, np.arange(100)))
    found = {view.tobytes() for view in views[:, 0]}
    assert found <= known
    assert len(found) > 30


def test_erased_share():
    seeds = view_seeds(3, 0, np.arange(2000))
    plain = np.full((2000, 1, 28, 28), 77, np.uint8)
    views = Augmentation(pad=0, mirror=False, erase=0.25, erase_min=4, erase_max=9).apply(plain, seeds)
    painted = (views != 77).sum((1, 2, 3))
    assert 0.2 < (painted > 0).mean() < 0.3
    assert set(painted[painted > 0]) <= {tall * wide for tall in range(4, 10) for wide in range(4, 10)}
