# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaling, simulated radios, file radios and what a keeper does when a radio is lost."""

import threading
import time

import numpy as np
import pytest

from gr_semantic.errors import UserError
from gr_semantic.radio import RadioConfig, RadioError, RadioKeeper, RadioLost, open_radio
from gr_semantic.radio import keeper as keeper_module
from gr_semantic.radio.interface import Counters
from gr_semantic.radio.scaling import from_int16, to_int16
from gr_semantic.radio.simulated import SimulatedMedium
from gr_semantic.recording.sigmf_file import Recording, RecordingWriter

WAIT_S = 30


def wait_until(condition):
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_integers_and_back():
    samples = np.array([0, 0.5 - 0.25j, 1 + 1j, -1 - 1j], np.complex64)
    values, clipped = to_int16(samples)
    assert values.dtype == np.int16 and clipped == 0
    assert values.tolist() == [0, 0, 16384, -8192, 32767, 32767, -32767, -32767]
    np.testing.assert_array_equal(from_int16(np.array([2048, -1024], np.int16)), np.array([1 - 0.5j], np.complex64))


def test_what_is_too_loud_is_clipped_and_counted():
    values, clipped = to_int16(np.array([1.5 - 3j, 0.1 + 1.01j, 0.2j], np.complex64))
    assert clipped == 3 and values.tolist() == [32767, -32767, 3277, 32767, 0, 6553]


def test_a_simulated_medium_delivers_what_is_sent_to_who_listens():
    medium = SimulatedMedium(speed=20)
    a = medium.radio(RadioConfig(kind="simulated", uri="ip:a", tx_lo_hz=1e9, rx_lo_hz=2e9))
    b = medium.radio(RadioConfig(kind="simulated", uri="ip:b", tx_lo_hz=2e9, rx_lo_hz=1e9))
    sent = (np.arange(1, 1001) / 2000).astype(np.complex64)
    a.transmit(sent)
    a.flush()
    heard = b.receive(4000)
    place = int(np.flatnonzero(heard)[0])
    scale = 0.1 * 10 ** (a.config.backoff_db / 20)  # at the back-off: unit power on the medium, 20 dB below full scale
    np.testing.assert_allclose(heard[place : place + 1000], sent * scale, rtol=1e-5)
    assert not np.any(a.receive(1000)) and medium.state("ip:a")["transmitting"]
    a.close()
    assert medium.state("ip:a") == {"transmitting": False, "open": False}
    with pytest.raises(RadioLost):
        a.transmit(sent)
    b.close()


def test_a_file_radio_receives_one_recording_and_writes_another(tmp_path):
    samples = (np.arange(10_000) % 7 - 3j).astype(np.complex64)
    with RecordingWriter(tmp_path / "in.sigmf-meta") as writer:
        writer.write(samples)
        writer.finish(2e6, {}, [])
    paths = {"recording": str(tmp_path / "in.sigmf-meta"), "output": str(tmp_path / "out.sigmf-meta")}
    radio = open_radio(RadioConfig(kind="file", **paths))
    assert radio.settings["sample_rate_hz"] == 2e6
    parts = [radio.receive(4096) for _ in range(4)]
    assert [len(part) for part in parts] == [4096, 4096, 1808, 0]
    np.testing.assert_array_equal(np.concatenate(parts), samples)
    radio.transmit(samples[:100])
    radio.close()
    radio.close()
    with Recording(tmp_path / "out.sigmf-meta") as written:
        np.testing.assert_array_equal(next(written.chunks()), samples[:100])


def test_a_reader_that_is_slow_loses_nothing_of_a_recording(tmp_path):
    """It takes less than a buffer at a time, so the keeper's queue is full in the midst of one."""
    samples = np.arange(100_000).astype(np.complex64)
    with RecordingWriter(tmp_path / "in.sigmf-meta") as writer:
        writer.write(samples)
        writer.finish(1e6, {}, [])
    radio = RadioKeeper("a", RadioConfig(kind="file", recording=str(tmp_path / "in.sigmf-meta"))).open()
    parts = []
    while not radio.ended or len(parts[-1]):
        time.sleep(0.01 * (len(parts) % 4 == 0))
        parts.append(radio.receive(3000))
    radio.close()
    assert radio.counters.dropped == 0
    np.testing.assert_array_equal(np.concatenate(parts), samples)


def test_a_missing_recording_is_named(tmp_path):
    with pytest.raises(RadioError, match=r"none.sigmf-meta: cannot be read"):
        open_radio(RadioConfig(kind="file", recording=str(tmp_path / "none.sigmf-meta")))


class FakeRadio:
    """Counts up, until it is told to fail."""

    opened = 0
    broken = False
    missing = False

    def __init__(self, config, medium=None):
        if FakeRadio.missing:
            raise RadioError("fake: no radio answers")
        FakeRadio.opened += 1
        self.config, self.counters, self.settings = config, Counters(clipped=1), {"number": FakeRadio.opened}
        self.closed, self.sent, self.fail_at = False, [], None

    def receive(self, count):
        time.sleep(0.002)
        self._check()
        return np.full(count, FakeRadio.opened, np.complex64)

    def transmit(self, samples):
        self._check()
        self.sent.append(samples)

    def flush(self):
        self._check()

    def set_tx_attenuation_db(self, attenuation_db):
        self.settings["tx_attenuation_db"] = attenuation_db

    def close(self):
        self.closed = True

    def _check(self):
        if self.closed or FakeRadio.broken is self:
            raise RadioLost("fake: unplugged")


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(FakeRadio, "opened", 0)
    monkeypatch.setattr(FakeRadio, "broken", False)
    monkeypatch.setattr(FakeRadio, "missing", False)
    monkeypatch.setattr(keeper_module, "open_radio", FakeRadio)


def keep(**fields):
    keeper = RadioKeeper("a", RadioConfig(uri="ip:x", tx_lo_hz=1e9, rx_lo_hz=2e9, buffer_len=512, **fields))
    said = []
    keeper.on_event.append(said.append)
    return keeper.open(), said


def test_a_lost_radio_is_opened_anew_with_the_settings_of_now(fake):
    keeper, said = keep(reconnect_s=WAIT_S)
    keeper.set_tx_attenuation_db(55)
    first = keeper._radio
    assert first.settings["tx_attenuation_db"] == 55
    FakeRadio.missing, FakeRadio.broken = True, first
    wait_until(lambda: said)
    answers = []
    sender = threading.Thread(target=lambda: answers.append(keeper.transmit(np.ones(3, np.complex64))))
    sender.start()
    sender.join(0.3)
    assert sender.is_alive() and first.closed  # waits while the radio is away
    FakeRadio.missing = False
    sender.join(WAIT_S)
    assert answers == [True] and len(keeper._radio.sent) == 1
    assert keeper._radio.config.tx_attenuation_db == 55 and keeper.settings == {"number": 2}
    wait_until(lambda: keeper.receive(512)[:1] == 2)
    assert "lost" in said[0] and "is back after" in said[1] and len(said) == 2
    assert keeper.counters.reconnects == 1 and keeper.counters.clipped == 2  # of both
    keeper.close()
    assert keeper._radio.closed


def test_a_radio_that_stays_away_is_given_up(fake):
    keeper, said = keep(reconnect_s=0.3)
    FakeRadio.missing, FakeRadio.broken = True, keeper._radio
    wait_until(lambda: keeper.failed)
    assert keeper.failed == "fake: unplugged; it did not come back within 0.3 s"
    wait_until(lambda: len(said) == 2)
    assert "given up" in said[1] and keeper.transmit(np.ones(3, np.complex64)) is False
    with pytest.raises(RadioError, match="did not come back"):
        keeper.receive_exactly(10_000_000)
    keeper.close()


def test_a_radio_that_was_closed_on_purpose_is_not_opened_anew(fake, monkeypatch):
    keeper, said = keep(reconnect_s=WAIT_S)
    monkeypatch.setattr("gr_semantic.radio.off_switch.ending", True)
    keeper._radio.close()  # as the off switch does when the process ends
    wait_until(lambda: keeper._closing)
    assert said == [] and FakeRadio.opened == 1


def test_samples_that_nobody_fetches_are_dropped_and_counted(fake, monkeypatch):
    monkeypatch.setattr(keeper_module, "_QUEUE_S", 0.005)
    keeper, _ = keep()
    wait_until(lambda: keeper.counters.dropped)
    assert keeper.counters.dropped % 512 == 0
    keeper.drop_received()
    assert len(keeper.receive_exactly(1000)) == 1000
    keeper.close()


def test_an_error_at_the_start_names_the_radio(fake):
    FakeRadio.missing = True
    with pytest.raises(RadioError, match="radio a: fake: no radio answers"):
        keep()


def test_a_wrong_setting_while_running_is_refused(fake):
    keeper, _ = keep()
    with pytest.raises(UserError, match=r"tx_attenuation_db is 99.0, expected 0 to 89.75"):
        keeper.set_tx_attenuation_db(99)
    keeper.close()
