# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from gr_semantic.blocks.slot_clock import SlotClock, shortest_slot
from gr_semantic.modem import Header, Waveform, frame_len


def test_ends_come_a_sixteenth_early():
    clock = SlotClock(1600)
    assert (clock.slot, clock.end) == (0, 1500)
    clock.advance()
    assert (clock.slot, clock.end) == (1, 3100)


def test_frames_near_their_place_align_the_slots_and_others_do_not():
    clock = SlotClock(1600)
    clock.align(-20)
    assert clock.end == 1480
    clock.align(31)
    assert clock.end == 1480  # more than a thirty-second of a slot away from -20
    clock.advance()
    clock.align(1600)
    assert clock.end == 3100


def test_drift_is_followed_without_limit():
    clock = SlotClock(1600)
    for slot in range(1000):
        clock.align(slot * 1610)
        clock.advance()
    assert clock.end == 999 * 1610 + 1600 + 1500


@pytest.mark.parametrize("name", Waveform.names())
def test_the_shortest_slot_has_room_for_frame_and_look_ahead(name):
    wf = Waveform.load(name)
    length = frame_len(wf, Header(kind="data", image_count=16, budget=32))
    slot = shortest_slot(wf, length)
    assert slot - slot // 16 - length > 4096 + wf.symbol_len * (2 * wf.preamble_symbols + wf.header_symbols)
    assert slot < 20480  # the default slot carries 16 images of 32 symbols
