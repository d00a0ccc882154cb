# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent when: slots on demand, bursts between, and how it goes on in another process."""

import numpy as np
import pytest

from gr_semantic.radio.sample_schedule import SampleSchedule

SLOT = 100


def frame(value, count=10):
    return np.full(count, value, np.int32)


def schedule(**changes):
    said = []
    settings = {"slot_len": SLOT, "on_demand": True, "gap_len": 5, "dtype": np.int32, "notify": said.append}
    return SampleSchedule(**(settings | changes)), said


def runs(samples):
    """(value, count) of each run of equal samples."""
    edges = np.flatnonzero(np.diff(samples)) + 1
    return [(int(part[0]), len(part)) for part in np.split(samples, edges)]


def test_each_slot_holds_its_frame_at_its_start_however_samples_are_taken():
    whole, _ = schedule()
    cut, said = schedule()
    for one in (whole, cut):
        for slot in (1, 0, 2):
            one.put(slot, frame(slot + 1))
    samples = whole.take(3 * SLOT)
    assert runs(samples) == [(1, 10), (0, 90), (2, 10), (0, 90), (3, 10), (0, 90)]
    np.testing.assert_array_equal(np.concatenate([cut.take(7) for _ in range(43)])[: 3 * SLOT], samples)
    assert said == [{"kind": "tick", "slot": slot, "sample": slot * SLOT} for slot in range(3)]


def test_a_late_frame_makes_its_slot_begin_later():
    one, said = schedule()
    one.put(0, frame(1))
    one.take(SLOT)
    assert not one.take(50).any()
    one.put(1, frame(2))
    assert runs(one.take(SLOT)) == [(2, 10), (0, 90)]
    assert said[-1] == {"kind": "tick", "slot": 1, "sample": SLOT + 50} and one.late_samples == 50


def test_the_next_frame_is_called_for_in_time_and_once():
    one, said = schedule(call_len=30)
    one.put(0, frame(1))
    for _ in range(6):
        one.take(10)
    assert [message["kind"] for message in said] == ["tick"]
    one.take(15)  # up to 25 samples before slot 1
    assert said[1:] == [{"kind": "call", "slot": 1}]
    one.take(600)
    assert len(said) == 2


def test_bursts_go_where_a_slot_has_room():
    one, _ = schedule()
    one.put(0, frame(1, 90))
    one.put(1, frame(2))
    one.put_burst(frame(7, 20))
    assert runs(one.take(2 * SLOT)) == [(1, 90), (0, 10), (2, 10), (7, 20), (0, 70)]


def test_without_slots_there_are_bursts_only():
    one, _ = schedule(slot_len=0, lead_len=50)
    assert len(one.take(10)) == 0  # nothing at all before the first one
    one.put_burst(frame(7))
    assert runs(one.take(100)) == [(0, 50), (7, 10), (0, 40)]


def test_the_oldest_burst_is_dropped():
    one, _ = schedule(slot_len=0, queue_frames=2)
    one.put_burst(frame(1))
    one.put_burst(frame(2))
    with pytest.raises(ValueError, match="dropped its oldest"):
        one.put_burst(frame(3))
    assert runs(one.take(40)) == [(2, 10), (0, 5), (3, 10), (0, 15)]


@pytest.mark.parametrize(
    "slot, samples, text",
    [(0, 10, "sent before"), (3, 10, "filled already"), (2, 101, "the frame has 101"), (257, 10, "faster")],
)
def test_a_frame_that_cannot_be_sent_is_refused(slot, samples, text):
    one, _ = schedule()
    one.put(0, frame(1))
    one.put(3, frame(4))
    one.take(1)
    with pytest.raises(ValueError, match=text):
        one.put(slot, frame(9, samples))
    one.put(1, frame(2))
    if slot != 2:
        one.put(2, None)
    sent = one.take(4 * SLOT)
    assert 9 not in sent and {1, 2, 4} <= set(sent)


def test_it_goes_on_where_another_has_ended():
    one, said = schedule(call_len=30, first_slot=7, first_sample=1234)
    assert not one.take(10).any()
    assert said == [{"kind": "call", "slot": 7}]  # perhaps nobody has been asked for that frame
    one.put(7, frame(8))
    one.take(500)
    assert said[1] == {"kind": "tick", "slot": 7, "sample": 1234 + 10}


def test_nothing_comes_after_the_end():
    one, _ = schedule()
    one.ended = True
    assert len(one.take(10)) == 0
