# SPDX-License-Identifier: GPL-3.0-or-later
import random

import numpy as np
import pytest
from PIL import Image

from gr_semantic.blocks.image_sets import find_images, register_images
from gr_semantic.blocks.pdu import PduError, tick
from gr_semantic.blocks.slot_rows import SlotRows
from gr_semantic.errors import UserError
from semantic_models import load_images

SLOTS = 40
INDICES = np.array([1, 2], np.int32)


@pytest.fixture(scope="module")
def name():
    return register_images("synthetic:16")


def events(name, slot, lost):
    """The messages of a slot as (queue, method, arguments); within a queue their order is kept."""
    sent = {"slot": slot, "sequence": slot, "snr_db": 4.0, "budget": 8, "images": name}
    result = {"sequence": slot, "start_sample": 0, "frame_len": 9, "measured_snr_db": 5.0, "cfo_hz": 0, "sro_ppm": 0}
    return [
        ("images", "images", (sent, INDICES)),
        *([] if lost else [("results", "result", (result, INDICES))]),
        ("results", "result", (tick(slot), None)),
        ("b", "feedback", ({"slot": slot, "kind": "feedback"},)),
        ("a", "feedback", (tick(slot) | {"feedback_received": 1, "feedback_used": 1},)),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_rows_do_not_depend_on_the_order_between_the_ports(name, seed):
    rng = random.Random(seed)
    queues = {}
    for slot in range(SLOTS):
        for queue, method, arguments in events(name, slot, lost=slot % 7 == 3):
            queues.setdefault(queue, []).append((method, arguments))
    rows, assembler = [], SlotRows(0.01, 1e6)
    while queues:
        queue = rng.choice(sorted(queues))
        method, arguments = queues[queue].pop(0)
        if not queues[queue]:
            del queues[queue]
        rows += getattr(assembler, method)(*arguments)
    assert [row.slot for row in rows] == list(range(SLOTS))
    assert [row.received for row in rows] == [slot % 7 != 3 for slot in range(SLOTS)]


def test_a_second_frame_in_a_slot_is_refused(name):
    assembler = SlotRows(0.01, 1e6)
    result = events(name, 0, lost=False)[1][2]
    assert assembler.result(*result) == []
    with pytest.raises(PduError, match="does not belong"):
        assembler.result(*result)


def test_image_sets_are_found_by_name_and_reloaded_for_another_shape(name, tmp_path):
    assert find_images(name).images.shape == (16, 1, 28, 28)
    with pytest.raises(UserError, match="nothing like it"):
        find_images("nothing like it")

    class Like:
        classes = ("a", "b")

        def __init__(self, size):
            self.image_shape = (1, size, size)

    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "black.png")
    folder = str(tmp_path)
    for size in (8, 12):
        assert find_images(register_images(folder, like=Like(size))).images.shape[2:] == (size, size)
    assert register_images(load_images("synthetic:16")) == name
