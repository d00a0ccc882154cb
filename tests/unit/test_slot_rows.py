# SPDX-License-Identifier: GPL-3.0-or-later
import contextlib
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


@pytest.mark.parametrize("key", ["sequence", "snr_db", "budget", "images"])
def test_an_images_message_that_lacks_a_field_is_refused_at_once(name, key):
    assembler = SlotRows(0.01, 1e6, with_feedback=False)
    (_, _, (sent, indices)), *_ = events(name, 0, lost=True)
    with pytest.raises(PduError, match=key):
        assembler.images({k: value for k, value in sent.items() if k != key}, indices)
    assembler.images(sent, indices)
    assert [row.slot for row in assembler.result(tick(0), None)] == [0]


@pytest.mark.parametrize("key", ["start_sample", "frame_len", "measured_snr_db", "cfo_hz", "sro_ppm"])
def test_a_result_that_lacks_a_measurement_is_refused_at_once(name, key):
    assembler = SlotRows(0.01, 1e6, with_feedback=False)
    sent, (_, _, (result, predicted)), *_ = events(name, 0, lost=False)
    assembler.images(*sent[2])
    with pytest.raises(PduError, match=key):
        assembler.result({k: value for k, value in result.items() if k != key}, predicted)
    assert [row.received for row in assembler.result(tick(0), None)] == [False]


def test_one_slot_that_is_never_complete_does_not_hold_up_the_others_for_ever(name):
    assembler, rows = SlotRows(0.01, 1e6, with_feedback=False), []
    for slot in range(3000):
        with contextlib.suppress(PduError):  # says once what is missing
            rows += assembler.images(*events(name, slot, lost=True)[0][2])
        if slot != 5:
            with contextlib.suppress(PduError):
                rows += assembler.result(tick(slot), None)
    assert [row.slot for row in rows] == [slot for slot in range(3000) if slot != 5]


def test_memory_is_bounded_if_an_input_is_missing(name):
    assembler = SlotRows(0.01, 1e6, with_feedback=False)
    for slot in range(5000):
        with contextlib.suppress(PduError):
            assembler.images(*events(name, slot, lost=True)[0][2])
    assert len(assembler._known) <= 1024


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
