# SPDX-License-Identifier: GPL-3.0-or-later
"""A transmitter that a process of its own feeds, against virtual Plutos: slots, lost radios, off on every way out."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from bench import wait_until

from gr_semantic.radio import RadioConfig, RadioKeeper
from gr_semantic.radio.feed import Feed
from gr_semantic.virtual_pluto import Unplug, VirtualPlutos

SLOT_LEN = 8192
SCHEDULE = {"slot_len": SLOT_LEN, "on_demand": True, "gap_len": 64, "call_len": 4096, "lead_len": 20_000}


@pytest.fixture
def plutos():
    """On air that waits: the machine may have better things to do."""
    with VirtualPlutos({"patience_s": 1}).start() as running:
        yield running


def is_off(state):
    return not (state.tx_buffer_open or any(state.dds_raw) or any(state.dds_scales)) and state.tx_lo_powerdown


def loud(slot, count=500):
    return np.full(count, 0.01 * (slot + 1), np.complex64)


class Slots:
    """A Feed that is given the frame of slot k + 1 as slot k begins, or when it is called for."""

    def __init__(self):
        self.ticks, self.given = [], {0}
        self.feed = Feed(SCHEDULE, self.heard)
        self.feed.put(0, loud(0))

    def heard(self, message):
        if message["kind"] == "tick":
            self.ticks.append((message["slot"], message["sample"]))
        slot = message["slot"] + (message["kind"] == "tick")
        if slot not in self.given:
            self.given.add(slot)
            self.feed.put(slot, loud(slot % 50))


def keeper(plutos, **fields):
    return RadioKeeper("a", RadioConfig(uri=plutos.uris[0], tx_lo_hz=2.4e9, rx_lo_hz=2.4e9, stall_s=20, **fields))


def test_frames_stand_in_their_slots_on_the_air(plutos):
    radio = keeper(plutos, loopback="digital", tx_buffer_len=2048, tx_buffers=6).open()
    try:
        slots = Slots()
        assert radio.feedable
        radio.drop_received()
        radio.feed(slots.feed)
        parts = []
        while len(slots.ticks) < 12:
            parts.append(radio.receive(1 << 16))
        heard = np.concatenate([*parts, radio.receive_exactly(3 * SLOT_LEN)])
    finally:
        radio.close()
    assert is_off(plutos.state(0)) and radio.counters.underflows == radio.counters.clipped == 0
    assert [slot for slot, _ in slots.ticks] == list(range(len(slots.ticks)))
    level = np.round(heard.real / 0.01).astype(int)
    starts = np.flatnonzero(np.diff(level) > 0) + 1
    assert [int(level[start]) for start in starts] == list(range(1, len(starts) + 1)) and len(starts) >= 8
    samples = [sample for _, sample in slots.ticks[: len(starts)]]
    assert samples[0] == SCHEDULE["lead_len"]
    np.testing.assert_array_equal(np.diff(starts), np.diff(samples))  # the ticks tell the truth


@contextlib.contextmanager
def patient_radio(plutos):
    """A keeper that waits for a lost radio and feeds its transmitter: keeper, its Slots, what it says."""
    said = []
    radio = keeper(plutos, reconnect_s=30)
    radio.on_event.append(said.append)
    radio.open()
    try:
        slots = Slots()
        radio.feed(slots.feed)
        yield radio, slots, said
    finally:
        radio.close()


def test_on_a_radio_that_comes_back_the_slots_go_on(plutos):
    with patient_radio(plutos) as (radio, slots, said):
        wait_until(lambda: len(slots.ticks) >= 5)
        plutos.apply(Unplug(radio=0, for_s=0.3))
        wait_until(lambda: any("back" in text for text in said))
        before = len(slots.ticks)
        wait_until(lambda: len(slots.ticks) >= before + 5)
        assert plutos.state(0).transmitting
    assert [slot for slot, _ in slots.ticks] == list(range(len(slots.ticks)))
    assert (np.diff([sample for _, sample in slots.ticks]) >= SLOT_LEN).all()
    assert radio.counters.reconnects == 1 and is_off(plutos.state(0))


def test_a_process_that_dies_is_a_lost_radio(plutos):
    with patient_radio(plutos) as (_, slots, said):
        wait_until(lambda: len(slots.ticks) >= 3)
        slots.feed._process._process.kill()
        wait_until(lambda: any("back" in text for text in said))
        assert "the process that feeds its transmitter has ended" in said[0]


# Feeds until a signal ends it.
SENDER = """
import signal, sys, time
import numpy as np
from gr_semantic.radio import RadioConfig, RadioKeeper
from gr_semantic.radio.feed import Feed

signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
radio = RadioKeeper("a", RadioConfig(uri=sys.argv[1], tx_lo_hz=2.4e9, rx_lo_hz=2.42e9, stall_s=20)).open()
feed = Feed({"slot_len": 0}, lambda message: None)
radio.feed(feed)
feed.put_burst(np.full(4096, 0.1, np.complex64))
print("sending", flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_sent_after_a_signal(plutos, number):
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, plutos.uris[0]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout.readline() == "sending\n"
        wait_until(lambda: plutos.state(0).transmitting)
        os.kill(process.pid, number)
        process.wait(60)
    finally:
        process.kill()
    if number == signal.SIGKILL:  # nobody is left to switch the LO off, but the buffer goes with its process
        wait_until(lambda: not plutos.state(0).tx_buffer_open)
    else:
        assert is_off(plutos.state(0))
