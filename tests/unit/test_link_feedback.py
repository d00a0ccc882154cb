# SPDX-License-Identifier: GPL-3.0-or-later
"""What B reports and what A believes."""

import math
import random

import pytest

from gr_semantic.link.feedback import FeedbackMonitor, FeedbackReporter
from gr_semantic.modem import Header

LINK = 7


def data(sequence, snr_db=10.0, link_id=LINK, kind="data"):
    return {"kind": kind, "link_id": link_id, "sequence": sequence % 65536, "measured_snr_db": snr_db}


def report(acked, snr_db=10.0, link_id=LINK, received=1, kind="feedback", sequence=0):
    return {
        "kind": kind,
        "link_id": link_id,
        "sequence": sequence,
        "snr_db": snr_db,
        "acked_sequence": acked % 65536,
        "received": received,
        "lost": 0,
    }


def test_reporter_reports_the_last_measurement():
    reporter = FeedbackReporter(LINK)
    assert reporter.on_tick(0)["received"] == 0
    reporter.on_frame(data(0, -3.5))
    reporter.on_frame(data(1, -5.0))
    assert reporter.on_tick(1) == {
        "kind": "feedback",
        "link_id": LINK,
        "sequence": 1,
        "snr_db": -5.0,
        "acked_sequence": 1,
        "received": 2,
        "lost": 0,
    }


def test_reporter_counts_losses_across_the_wrap():
    reporter = FeedbackReporter(LINK)
    for sequence in (65533, 65534, 65537, 65538, 65540):
        assert reporter.on_frame(data(sequence))
    assert (reporter.received, reporter.lost) == (5, 3)


@pytest.mark.parametrize(
    "frame",
    [
        data(11, link_id=LINK + 1),
        data(11, kind="feedback"),
        data(11, math.nan),
        data(11, math.inf),
        data(10),  # repeated
        data(8),  # late
        data(20000),  # absurd
    ],
)
def test_reporter_ignores(frame):
    reporter = FeedbackReporter(LINK)
    reporter.on_frame(data(10, 4.0))
    assert not reporter.on_frame(frame)
    fields = reporter.on_tick(0)
    assert (fields["snr_db"], fields["acked_sequence"], fields["received"], fields["lost"]) == (4.0, 10, 1, 0)
    assert reporter.on_frame(data(11))
    assert reporter.lost == 0


def test_a_repeated_frame_never_counts_as_a_restart():
    reporter = FeedbackReporter(LINK)
    reporter.on_frame(data(10))
    assert not any(reporter.on_frame(data(10)) for _ in range(5))
    assert not any(reporter.on_frame(data(5)) for _ in range(5))
    assert reporter.received == 1


def test_reporter_follows_a_sender_that_started_anew():
    reporter = FeedbackReporter(LINK)
    for sequence in range(5000, 5010):
        reporter.on_frame(data(sequence))
    assert not reporter.on_frame(data(0))
    assert reporter.on_frame(data(1))
    assert reporter.on_frame(data(2))
    assert reporter.on_tick(0)["acked_sequence"] == 2
    assert reporter.lost == 0


def test_reports_always_fit_the_header_and_only_zero_received_says_zero():
    reporter = FeedbackReporter(LINK)
    for count in range(1, 2000):
        reporter.on_frame(data(3 * count, -20.0))
        fields = reporter.on_tick(70000 + count)
        assert fields["received"] > 0
        assert Header(**fields).kind == "feedback"


def test_monitor_dates_the_measurement_by_the_acked_sequence():
    monitor = FeedbackMonitor(LINK, max_age_slots=12)
    accepted = monitor.on_frame(report(65536 + 8, snr_db=-2.25), slot=65536 + 10)
    assert (accepted.slot, accepted.measured_slot, accepted.snr_db) == (65546, 65544, -2.25)


@pytest.mark.parametrize(
    ("frame", "counts_as_received"),
    [
        (report(100), True),  # repeated
        (report(99), True),  # reordered
        (report(80), True),  # stale
        (report(105), True),  # acknowledges a frame of the future
        (report(102, received=0), True),  # nothing was measured
        (report(102, snr_db=math.nan), True),
        (report(102, link_id=LINK + 1), False),  # foreign
        (report(102, kind="data"), False),
        ({"kind": "feedback", "link_id": LINK}, True),  # fields missing
        ({}, False),
    ],
)
def test_monitor_refuses(frame, counts_as_received):
    monitor = FeedbackMonitor(LINK, max_age_slots=12)
    assert monitor.on_frame(report(100), slot=101)
    assert monitor.on_frame(frame, slot=103) is None
    assert (monitor.received, monitor.used) == (1 + counts_as_received, 1)
    assert monitor.on_frame(report(102), slot=103), "the loop goes on"


def test_monitor_survives_a_restart_of_b():
    monitor = FeedbackMonitor(LINK, max_age_slots=12)
    assert monitor.on_frame(report(1000, sequence=500, received=200), slot=1001)
    assert monitor.on_frame(report(1001, sequence=0, received=1), slot=1002)


@pytest.mark.parametrize("seed", range(20))
def test_random_garbage_never_gets_through(seed):
    """Whatever arrives in whatever order, accepted reports are ours, newer each time, and not too old."""
    rng = random.Random(seed)
    monitor = FeedbackMonitor(LINK, max_age_slots=12)
    newest = -1
    history = []
    for slot in range(65000, 67000):
        genuine = report(slot - rng.randint(0, 3), rng.uniform(-10, 30))
        history.append(genuine)
        arriving = [genuine] if rng.random() > 0.3 else []
        arriving += rng.choices(history[-200:], k=rng.randint(0, 2))
        arriving.append(report(rng.randrange(65536), rng.choice([math.nan, 1e9, -math.inf, 3.0]), rng.randrange(256)))
        rng.shuffle(arriving)
        for frame in arriving:
            accepted = monitor.on_frame(frame, slot)
            if accepted:
                assert frame["link_id"] == LINK
                assert math.isfinite(accepted.snr_db)
                assert newest < accepted.measured_slot <= slot
                assert slot - accepted.measured_slot <= 12
                newest = accepted.measured_slot
    assert monitor.used > 500
