# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends agree on which images a frame carries."""

import numpy as np
import pytest

from gr_semantic.errors import UserError
from gr_semantic.link.image_schedule import ImageSchedule


def test_each_pass_shows_every_image_once():
    schedule = ImageSchedule(50, 16, seed=3)
    shown = np.concatenate([schedule.indices(slot) for slot in range(25)])  # 400 = 8 passes
    for images in shown.reshape(8, 50):
        assert sorted(images) == list(range(50))


def test_passes_differ_and_so_do_seeds():
    shown = np.concatenate([ImageSchedule(64, 64, seed=3).indices(slot) for slot in range(2)]).reshape(2, 64)
    assert not np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], ImageSchedule(64, 64, seed=4).indices(0))


def test_order_of_asking_does_not_matter():
    forward, backward = ImageSchedule(7, 16, seed=1), ImageSchedule(7, 16, seed=1)
    wanted = {slot: forward.indices(slot) for slot in range(100)}
    for slot in reversed(range(100)):
        np.testing.assert_array_equal(backward.indices(slot), wanted[slot])


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17])
def test_a_set_smaller_than_a_frame_repeats(count):
    indices = ImageSchedule(count, 16, seed=1).indices(1000)
    assert indices.shape == (16,)
    assert indices.dtype == np.int32
    assert set(indices.tolist()) <= set(range(count))


def test_an_empty_set_is_a_user_error():
    with pytest.raises(UserError, match="empty"):
        ImageSchedule(0, 16, seed=1)
