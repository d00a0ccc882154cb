# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from bench import Bench

from gr_semantic.blocks.image_source import ImageSource
from gr_semantic.errors import UserError
from gr_semantic.link.image_schedule import ImageSchedule
from semantic_models import CodecError


def test_each_profile_gives_the_scheduled_images(images):
    schedule = ImageSchedule(len(images), 5, seed=3)
    with Bench(ImageSource(images, images_per_frame=5, seed=3), "images") as bench:
        for slot in range(20):
            bench.post("profile", {"slot": slot, "sequence": slot, "snr_db": 3.0, "budget": 8, "reported_snr_db": 2.5})
        for slot, (meta, indices) in enumerate(bench["images"].wait_for(20)):
            assert meta == {
                "slot": slot,
                "sequence": slot,
                "snr_db": 3.0,
                "budget": 8,
                "reported_snr_db": 2.5,
                "images": images.name,
            }
            np.testing.assert_array_equal(indices, schedule.indices(slot))


def test_self_timed_frames_follow_changes_while_running(images):
    source = ImageSource(images, images_per_frame=4, period_s=0.005, snr_db=7.0, budget=4)
    with Bench(source, "images") as bench:
        bench["images"].wait_for(3)
        source.set_snr_db(-2)
        source.set_budget(32)
        bench["images"].wait_for(len(bench["images"].pdus) + 3)
    metas = bench["images"].metas
    assert [meta["sequence"] for meta in metas] == list(range(len(metas)))
    assert (metas[0]["snr_db"], metas[0]["budget"]) == (7.0, 4) and (metas[-1]["snr_db"], metas[-1]["budget"]) == (
        -2.0,
        32,
    )


@pytest.mark.parametrize("profile", [{}, {"slot": -1}, {"slot": "a"}, {"slot": None}])
def test_a_wrong_profile_is_dropped_with_a_warning(images, profile):
    with Bench(ImageSource(images), "images") as bench:
        bench.post("profile", profile)
        bench.post("profile", {"slot": 4})
        assert bench["images"].wait_for(1)[0][0]["slot"] == 4
        assert bench["status"].wait_for(1)[0][0]["level"] == "warning"


def test_settings_are_checked(images, tmp_path):
    with pytest.raises(UserError, match="images_per_frame is 0"):
        ImageSource(images, images_per_frame=0)
    with pytest.raises(UserError, match="period_s"):
        ImageSource(images, period_s=-1)
    with pytest.raises(CodecError, match="no such"):
        ImageSource(str(tmp_path / "no such"))
    with pytest.raises(CodecError):
        ImageSource(str(tmp_path))  # a folder without images
