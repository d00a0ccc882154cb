# SPDX-License-Identifier: GPL-3.0-or-later
"""The free-running loop over simulated radios, with a codec that knows nothing: the link around it is tested."""

import math
import time

import numpy as np
import pytest
from bench import wait_until

from gr_semantic.errors import UserError
from gr_semantic.link.image_schedule import ImageSchedule
from gr_semantic.link.ota import OtaFlowgraph
from gr_semantic.link.ota_config import OtaConfig
from gr_semantic.link.ota_recording import OtaRecording
from gr_semantic.radio import RadioKeeper
from gr_semantic.radio.simulated import SimulatedMedium
from gr_semantic.recording.namespace import own_fields
from gr_semantic.recording.sigmf_file import Recording

PAIR = {
    "radios": {"a": {"kind": "simulated"}, "b": {"kind": "simulated"}},
    "forward": {"transmitter": "a", "receiver": "b", "lo_hz": 2.40e9},
    "feedback": {"transmitter": "b", "receiver": "a", "lo_hz": 2.42e9},
    "images_per_frame": 4,
    "seconds": 0.6,
}
SLOW = 0.5  # of real time: leaves time to others


class Run:
    """An OtaFlowgraph, its radios and its rows; everything is closed at the end."""

    def __init__(self, codec, images, medium=None, first_slot=0, **changes):
        self.config = OtaConfig.from_dict(PAIR | changes, "test")
        self.medium = medium or SimulatedMedium({2.40e9: {"snr_db": 15}, 2.42e9: {"snr_db": 15}}, speed=SLOW)
        settings = self.config.radio_configs()
        self.radios = {name: RadioKeeper(name, fields, self.medium).open() for name, fields in settings.items()}
        self.rows, self.said = [], []
        for radio in self.radios.values():
            radio.on_event.append(self.said.append)
        self.loop = OtaFlowgraph(
            self.config, codec, images, self.radios, self.rows.append, on_symbols=None, first_slot=first_slot
        )

    def __enter__(self):
        self.loop.start()
        return self

    def __exit__(self, *failure):
        for radio in self.radios.values():
            radio.close()
        self.loop.stop_and_wait()

    def finish(self):
        assert self.loop.wait_finished(120)
        self.loop.drain()
        return self.rows


def check_loop(run, images):
    rows = run.rows
    assert run.loop.error is None
    assert [row.slot for row in rows] == list(range(run.config.slots))
    schedule = ImageSchedule(len(images), 4, seed=1)
    for row in rows:
        assert row.received and row.gap_samples == 0 and row.images == tuple(schedule.indices(row.slot))
        assert row.true == tuple(images.labels[list(row.images)]) and len(row.predicted) == 4
        assert row.snr_measured_db == pytest.approx(15, abs=3)
    # Of reports that come close together the older is dropped, and the last have no time to come back.
    assert sum(row.feedback_sent and row.feedback_used for row in rows) > len(rows) / 2
    reported = [row for row in rows if not math.isnan(row.snr_reported_db)]
    assert len(reported) > len(rows) / 2
    for row in reported:
        assert row.snr_reported_db == pytest.approx(rows[row.measured_slot].snr_measured_db, abs=0.126)
        assert 0 <= row.measured_slot < row.slot
    assert any(row.report_delay_s > 0 for row in rows)


def test_the_loop_over_two_radios(codec, images):
    with Run(codec, images) as run:
        run.finish()
        assert all(run.medium.state(f"ip:{name}")["transmitting"] for name in "ab")
    check_loop(run, images)
    assert not any(run.medium.state(f"ip:{name}")["transmitting"] for name in "ab")


def test_the_loop_over_one_radio_that_hears_itself(codec, images):
    itself = {"transmitter": "a", "receiver": "a", "lo_hz": 2.40e9}
    with Run(codec, images, radios={"a": {"kind": "simulated"}}, forward=itself, feedback=itself) as run:
        run.finish()
    check_loop(run, images)


def test_the_loop_follows_what_the_other_end_measures(codec, images):
    snr_db = [(0.0, 20.0), (0.3, 20.0), (0.3, 2.0)]
    medium = SimulatedMedium({2.40e9: {"snr_db": snr_db}, 2.42e9: {"snr_db": 15}}, speed=SLOW)
    with Run(codec, images, medium) as run:
        rows = run.finish()
    used = [row.snr_used_db for row in rows]
    assert used[0] == codec.snr_range_db[0]  # nothing was reported yet
    assert max(used) > 15 and used[-1] < 8


def test_an_unplugged_radio_comes_back_and_the_run_goes_on(codec, images):
    fields = {"kind": "simulated", "reconnect_s": 60}
    with Run(codec, images, radios={"a": fields, "b": fields}, seconds=4) as run:
        wait_until(lambda: len(run.rows) >= 5)
        run.medium.unplug("ip:b")
        wait_until(lambda: any("lost" in text for text in run.said))
        run.medium.plug("ip:b")
        rows = run.finish()
    assert run.loop.error is None and any("radio b is back" in text for text in run.said)
    assert [row.slot for row in rows] == list(range(run.config.slots)) and rows[-1].received
    assert run.radios["b"].counters.reconnects == 1


def test_a_radio_that_stays_away_ends_the_run_with_a_clear_message(codec, images):
    fields = {"kind": "simulated", "reconnect_s": 0.5}
    with Run(codec, images, radios={"a": fields, "b": fields}, seconds=1000) as run:
        wait_until(lambda: len(run.rows) >= 5)
        run.medium.unplug("ip:a")
        wait_until(run.loop.finished)
    assert "unplugged" in run.loop.error and "did not come back within 0.5 s" in run.loop.error


def test_a_resumed_run_goes_on_with_its_images(codec, images):
    with Run(codec, images, first_slot=10) as run:
        rows = run.finish()
    assert len(rows) == run.config.slots - 10
    assert rows[0].from_slot(10, run.config.slot_s).slot == 10
    assert rows[0].images == tuple(ImageSchedule(len(images), 4, seed=1).indices(10))


@pytest.mark.parametrize("inside_a_frame", [False, True])
def test_samples_that_were_lost_are_a_gap_in_the_recording(codec, images, tmp_path, monkeypatch, inside_a_frame):
    path, missing = tmp_path / "air.sigmf-meta", 5000
    heard, place = [0], []  # samples that came from the radio; where the loss begins among them
    receive = RadioKeeper.receive

    def receive_and_lose(self, count, timeout_s=0.1):
        samples = receive(self, count, timeout_s)
        if self.name != "b" or not len(samples):
            return samples
        at = heard[0] + np.arange(len(samples))
        heard[0] += len(samples)
        power = np.convolve(np.abs(samples) ** 2, np.full(64, 1 / 64), "same")
        begins = np.flatnonzero(np.diff((power > 5 * np.median(power)).astype(int)) > 0)
        if len(run.rows) >= 8 and not place and len(begins):
            place.append(at[begins[0]] + (300 if inside_a_frame else 3000))  # a frame has about 1000 samples
        return samples[(at < place[0]) | (at >= place[0] + missing)] if place else samples

    monkeypatch.setattr(RadioKeeper, "receive", receive_and_lose)
    quiet = SimulatedMedium({2.40e9: {"snr_db": 15}, 2.42e9: {"snr_db": 15}}, speed=SLOW / 4)  # no transmitter runs dry
    run = Run(codec, images, quiet)
    recording = OtaRecording(run.loop, path, images)
    run.loop.sink.on_row = lambda row: (recording.take(row), run.rows.append(row))
    with run:
        rows = run.finish()
        recording.finish()
    (after,) = [row for row in rows if row.gap_samples < 0]
    before = [row for row in rows if row.received and row.slot < after.slot][-1]
    assert after.gap_samples == pytest.approx(-missing, abs=40)
    assert len([row for row in rows if not row.received]) == after.slot - before.slot - 1 == int(inside_a_frame)
    with Recording(path) as recorded:
        assert [segment.gap for segment in recorded.segments] == [False, True]
        _, second = recorded.metadata["captures"]
        gap, index = second["core:sample_start"], second["core:global_index"]
        assert before.rx_sample < gap < after.rx_sample and index - gap == -after.gap_samples
        frames = {own_fields(a)["sequence"]: a for a in recorded.metadata["annotations"]}
        cut = [a for a in frames.values() if 0 < gap - a["core:sample_start"] < a["core:sample_count"]]
    assert len(frames) == len(rows)
    assert all("measured_snr_db" not in own_fields(annotation) for annotation in cut)  # found frames are whole


def test_one_way_through_a_file(codec, images, tmp_path):
    path = str(tmp_path / "air.sigmf-meta")
    forward = {"transmitter": "a", "receiver": "b", "lo_hz": 2.40e9}
    one_way = {"forward": forward, "feedback": None, "snr_db": 12.0}
    radios = {"a": {"kind": "file", "output": path}}
    with Run(codec, images, mode="tx", radios=radios, **one_way) as run:
        sent = run.finish()
    assert len(sent) == run.config.slots and {row.snr_used_db for row in sent} == {12.0}
    radios = {"b": {"kind": "file", "recording": path}}
    with Run(codec, images, mode="rx", radios=radios, **one_way) as run:
        received = run.finish()
    assert run.loop.error is None and [row.slot for row in received] == [row.slot for row in sent]
    for there, here in zip(sent, received, strict=True):
        assert here.received and here.images == there.images and here.true == there.true
        assert here.snr_used_db == 12.0 and here.budget == there.budget


def test_stop_at_any_time(codec, images):
    for run_s in (0.0, 0.05, 0.5):
        with Run(codec, images, seconds=1000) as run:
            time.sleep(run_s)
        run.loop.stop_and_wait()
        assert run.loop.error is None


@pytest.mark.parametrize(
    "changes, text",
    [({"slot_len": 1500}, "slot_len is 1500"), ({"images_per_frame": 256}, "images_per_frame is 256")],
)
def test_settings_that_do_not_fit_are_one_clear_error(codec, images, changes, text):
    with pytest.raises(UserError, match=text):
        Run(codec, images, **changes)
