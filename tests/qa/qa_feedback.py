# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
from bench import Bench

from gr_semantic.blocks.feedback_receiver import FeedbackReceiver
from gr_semantic.blocks.feedback_transmitter import FeedbackTransmitter
from gr_semantic.blocks.pdu import tick
from gr_semantic.modem import Header


def data(sequence, snr_db=6.5, **changes):
    return {"kind": "data", "link_id": 9, "sequence": sequence, "measured_snr_db": snr_db} | changes


def feedback(acked, snr_db=6.5, **changes):
    fields = {"kind": "feedback", "link_id": 9, "sequence": acked, "snr_db": snr_db, "acked_sequence": acked}
    return fields | {"received": 1, "lost": 0} | changes


def test_a_tick_gives_one_report_of_what_was_measured():
    with Bench(FeedbackTransmitter(link_id=9), "symbols") as bench:
        bench.post("frames", tick(0))
        bench.post("frames", data(1, -2.25))
        bench.post("frames", data(1, 20.0, link_id=4))
        bench.post("frames", tick(1))
        bench.post("frames", tick(2))
        nothing, first, again = [meta for meta, _ in bench["symbols"].wait_for(3)]
    assert [meta["slot"] for meta in (nothing, first, again)] == [0, 1, 2] and nothing["received"] == 0
    assert first["snr_db"] == again["snr_db"] == -2.25 and first["acked_sequence"] == 1 and first["received"] == 1
    for meta in (nothing, first, again):
        Header(**{key: value for key, value in meta.items() if key != "slot"})  # can be sent


def test_counters_fit_the_header_after_many_frames():
    with Bench(FeedbackTransmitter(link_id=9), "symbols") as bench:
        for number in range(300):
            bench.post("frames", data(3 * number))
        bench.post("frames", tick(900))
        (meta, _) = bench["symbols"].wait_for(1)[0]
    meta.pop("slot")
    assert Header(**meta).received > 0 and meta["acked_sequence"] == 897


def test_switched_off_it_leaves_its_slots_empty():
    transmitter = FeedbackTransmitter(link_id=9, enabled=False)
    with Bench(transmitter, "symbols") as bench:
        bench.post("frames", data(0))
        bench.post("frames", tick(0))
        bench["symbols"].wait_for(1)
        transmitter.set_enabled(True)
        bench.post("frames", tick(1))
        (off, on) = [meta for meta, _ in bench["symbols"].wait_for(2)]
    assert off == {"slot": 0} and on["kind"] == "feedback"


def test_without_ticks_every_nth_frame_is_reported():
    with Bench(FeedbackTransmitter(link_id=9, every_frames=2), "symbols") as bench:
        for number in range(6):
            bench.post("frames", data(number, float(number)))
        assert [meta["acked_sequence"] for meta, _ in bench["symbols"].wait_for(3)] == [1, 3, 5]


@pytest.mark.parametrize("change", [{"kind": None}, {"sequence": None}, {"sequence": 1.5}])
def test_the_transmitter_drops_corrupt_messages(change):
    with Bench(FeedbackTransmitter(link_id=9), "symbols") as bench:
        bench.post("frames", data(0) | change)
        bench.post("frames", tick(0))
        assert bench["symbols"].wait_for(1)[0][0]["received"] == 0
        assert bench["status"].wait_for(1)[0][0]["level"] == "warning"


def test_only_new_reports_of_this_link_pass_and_ticks_count_them():
    with Bench(FeedbackReceiver(link_id=9, max_age_slots=3), "feedback") as bench:
        frames = [
            [feedback(0)],
            [feedback(0)],  # repeated
            [feedback(2, -4.0), feedback(2, 30.0, link_id=8), data(2)],  # with a foreign one and a data frame
            [],  # lost
            [feedback(4), feedback(3)],  # late
            [feedback(5, received=0), feedback(5, math.nan)],  # measured nothing; corrupt
            [feedback(1)],  # stale
        ]
        for slot, arrived in enumerate(frames):
            for frame in arrived:
                bench.post("frames", frame)
            bench.post("frames", tick(slot))
        metas = [meta for meta, _ in bench["feedback"].wait_for(3 + len(frames))]
    ticks = [meta for meta in metas if meta.get("kind") == "tick"]
    assert [(meta["slot"], meta["snr_db"]) for meta in metas if "kind" not in meta] == [(0, 6.5), (2, -4.0), (4, 6.5)]
    assert [meta["slot"] for meta in ticks] == list(range(len(frames)))
    assert [meta["feedback_received"] for meta in ticks] == [1, 1, 1, 0, 2, 2, 1]
    assert [meta["feedback_used"] for meta in ticks] == [1, 0, 1, 0, 1, 0, 0]
    assert metas.index(ticks[2]) > metas.index(next(meta for meta in metas if meta.get("snr_db") == -4.0))


def test_the_receiver_drops_corrupt_messages():
    with Bench(FeedbackReceiver(link_id=9), "feedback") as bench:
        bench.post("frames", feedback(0, acked_sequence="zero"))
        bench.post("frames", {})
        bench.post("frames", {"kind": "tick"})
        bench.post("frames", feedback(0))
        assert bench["feedback"].wait_for(1)[0][0]["snr_db"] == 6.5
        assert len(bench["status"].wait_for(3)) == 3
