# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the loop: every mistake is one line that names the field."""

import json

import pytest

from gr_semantic.errors import UserError
from gr_semantic.link.config import LoopConfig, RateControllerConfig


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"second": 3}, "second"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seed": 1.5}, "seed"),
        ({"slot_len": 10}, "slot_len"),
        ({"images_per_frame": 257}, "images_per_frame"),
        ({"link_id": 256}, "link_id"),
        ({"rate_controller": {"smoothing": 3}}, "smoothing"),
        ({"rate_controller": {"smooth": 3}}, "smooth"),
        ({"rate_controller": 3}, "rate_controller"),
        ({"trajectory": [(1, 2), (0, 3)]}, "trajectory"),
        ({"trajectory": []}, "trajectory"),
        ({"trajectory": [(0, float("inf"))]}, "trajectory"),
        ({"forward": {"cfo": 3}}, "cfo"),
        ({"reverse": {"sro_ppm": "x"}}, "sro_ppm"),
        ({"forward": {"snr_db": 3}}, "trajectory"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(fields, named):
    with pytest.raises(UserError) as caught:
        LoopConfig(**fields)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rate_controller_config_alone_raises_the_same_error():
    with pytest.raises(UserError, match="max_age_s"):
        RateControllerConfig(max_age_s=0)


def test_config_survives_json():
    config = LoopConfig(seconds=3, trajectory=[(0, 20), (1, 20), (1, -5)], rate_controller={"delay_slots": 2})
    assert LoopConfig(**json.loads(config.model_dump_json())) == config


def test_slots_and_link_time():
    config = LoopConfig(seconds=2.048, slot_len=20480, sample_rate_hz=1e6)
    assert config.slots == 100
    assert config.slot_s == pytest.approx(0.02048)


@pytest.mark.parametrize("seconds", [1, 3.3, 10, 30])
def test_demo_trajectory_fades_and_drops_between_two_frames(seconds):
    config = LoopConfig(seconds=seconds)
    at = config.snr_trajectory.at
    end_s = config.slots * config.slot_s
    assert at(0) == 24
    assert at(0.4 * end_s) == pytest.approx(-4)
    assert at(0.8 * end_s) == pytest.approx(24)
    drop_s = config.drop_s
    assert at(drop_s - 1e-9) == pytest.approx(24)
    assert at(drop_s) == 9
    assert at(end_s) == 9
    assert drop_s / config.slot_s % 1 == pytest.approx(0.75)
    assert drop_s < end_s


def test_drop_is_the_deepest_jump_and_rises_do_not_count():
    points = [(0, 20), (1, 20), (1, 12), (2, 12), (2, 25), (3, 25), (3, 5)]
    assert LoopConfig(trajectory=points).drop_s == 3
    assert LoopConfig(trajectory=[(0, 5), (1, 5), (1, 25)]).drop_s is None
    assert LoopConfig(trajectory=[(0, 25), (1, 0)]).drop_s is None
