# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pluto behind the radio interface, against virtual Plutos: settings, errors, samples, the transmitter off."""

import os
import signal
import subprocess
import sys
import threading
import time

import adi
import numpy as np
import pytest
from bench import wait_until

from gr_semantic.link.exchange import exchange
from gr_semantic.link.ota import OtaFlowgraph
from gr_semantic.link.ota_config import OtaConfig
from gr_semantic.link.ota_transmitter import FedTransmitter
from gr_semantic.link.real_time import real_time
from gr_semantic.link.sounder import Sounder
from gr_semantic.modem import Waveform
from gr_semantic.radio import RadioConfig, RadioError, RadioKeeper, RadioLost
from gr_semantic.radio.pluto import Pluto
from gr_semantic.virtual_pluto import Unplug, VirtualPlutos

FORWARD_HZ, FEEDBACK_HZ = 2.40e9, 2.42e9
PATIENT = {"stall_s": 20}  # the machine may be busy: only a test of stalling is in a hurry


@pytest.fixture
def plutos():
    """Two radios, crystals 20 ppm apart, on air that waits: the machine may have better things to do."""
    with VirtualPlutos({"radios": [{"ppm": 10}, {"ppm": -10}], "patience_s": 1}).start() as running:
        yield running


def config(plutos, radio=0, **fields):
    carriers = (FORWARD_HZ, FEEDBACK_HZ) if radio == 0 else (FEEDBACK_HZ, FORWARD_HZ)
    return RadioConfig(
        **({"uri": plutos.uris[radio], "tx_lo_hz": carriers[0], "rx_lo_hz": carriers[1]} | PATIENT | fields)
    )


def is_off(state):
    return not (state.tx_buffer_open or any(state.dds_raw) or any(state.dds_scales)) and state.tx_lo_powerdown


def test_what_was_set_is_read_back(plutos):
    radio = Pluto(config(plutos, tx_attenuation_db=42.25, rx_gain_db=37, xo_ppm=-3.5, bandwidth_hz=1.5e6))
    try:
        settings = radio.settings
        assert settings["uri"] == plutos.uris[0] and settings["serial"] == plutos.serials[0]
        assert settings["sample_rate_hz"] == 1e6 and settings["tx_lo_hz"] == FORWARD_HZ
        assert settings["rx_lo_hz"] == FEEDBACK_HZ and settings["rx_gain_mode"] == "manual"
        assert settings["tx_attenuation_db"] == 42.25 and settings["rx_gain_db"] == 37
        assert settings["xo_correction_hz"] == 39_999_860 and settings["rx_bandwidth_hz"] == 1_500_000
        state = plutos.state(0)
        assert (state.tx_lo_hz, state.rx_lo_hz) == (FORWARD_HZ, FEEDBACK_HZ)
        assert (state.tx_gain_db, state.rx_gain_db) == (-42.25, 37) and state.tx_lo_powerdown
        radio.set_tx_attenuation_db(50)
        radio.set_rx_gain_db(20)
        assert (plutos.state(0).tx_gain_db, plutos.state(0).rx_gain_db) == (-50, 20)
        assert (radio.settings["tx_attenuation_db"], radio.settings["rx_gain_db"]) == (50, 20)
        with pytest.raises(RadioError, match=r"tx_attenuation_db is 90, this radio takes 0 to 89.75"):
            radio.set_tx_attenuation_db(90)
    finally:
        radio.close()


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"rx_lo_hz": 300e6}, r"rx_lo_hz is 300 MHz, this radio takes 325 to 3800 MHz"),
        ({"tx_lo_hz": 5.9e9}, r"tx_lo_hz is 5900 MHz, this radio takes 325 to 3800 MHz"),
        ({"serial": "10440000"}, r"has serial \w+, not 10440000"),
    ],
)
def test_a_setting_that_the_radio_does_not_take_is_named_with_its_range(plutos, fields, text):
    with pytest.raises(RadioError, match=text) as error:
        Pluto(config(plutos, **fields))
    assert plutos.uris[0] in str(error.value) and is_off(plutos.state(0))


def test_a_sample_rate_beyond_what_the_radio_offers(plutos, monkeypatch):
    monkeypatch.setattr(Pluto, "_range", lambda self, attributes, name, otherwise: (2_083_333.0, 1.0, 20e6))
    with pytest.raises(RadioError, match="sample_rate_hz is 30000000, this radio takes 521000 to 20000000"):
        Pluto(config(plutos, sample_rate_hz=30e6))


def test_firmware_without_an_attribute(plutos, monkeypatch):
    real = adi.Pluto

    def old_firmware(context):
        radio = real(context)
        monkeypatch.setattr("iio.Device.attrs", property(lambda device: {}))
        return radio

    monkeypatch.setattr(adi, "Pluto", old_firmware)
    with pytest.raises(RadioError, match="firmware has no attribute 'xo_correction'"):
        Pluto(config(plutos, xo_ppm=1.0))


def test_nobody_answers():
    with pytest.raises(RadioError, match=r"ip:127.0.0.1:1: no radio answers .*iio_info -u ip:127.0.0.1:1"):
        Pluto(RadioConfig(uri="ip:127.0.0.1:1", rx_lo_hz=FORWARD_HZ))


def test_a_serial_that_is_not_plugged_in(monkeypatch):
    found = {"usb:1.5.5": "0456:b673 (Analog Devices Inc. PlutoSDR (ADALM-PLUTO)), serial=1044AB"}
    monkeypatch.setattr("iio.scan_contexts", lambda: found)
    with pytest.raises(RadioError, match=r"serial:1044CD: no such radio on USB; plugged in: usb:1.5.5 .*1044AB"):
        Pluto(RadioConfig(uri="serial:1044CD", rx_lo_hz=FORWARD_HZ))
    opened = []
    monkeypatch.setattr("iio.Context", lambda uri: opened.append(uri) or (_ for _ in ()).throw(OSError(19, "gone")))
    with pytest.raises(RadioError, match="gone"):
        Pluto(RadioConfig(uri="serial:1044AB", rx_lo_hz=FORWARD_HZ))
    assert opened == ["usb:1.5.5"]


@pytest.mark.parametrize("side, text", [("tx_lo_hz", "receiver"), ("rx_lo_hz", "transmitter")])
def test_a_busy_radio(plutos, side, text):
    first = Pluto(config(plutos))
    try:
        with pytest.raises(RadioError, match=f"another program uses its {text}"):
            Pluto(config(plutos, **{side: None}))
    finally:
        first.close()


def test_an_idle_transmitter_has_not_run_dry(plutos):
    radio = Pluto(config(plutos))
    try:
        for expected in (0, 0, 1):
            radio.transmit(np.full(radio.config.tx_buffers * radio.config.buffer_len, 0.1, np.complex64))
            if expected:
                plutos._plutos[0].note_underflow()
            radio._count_flags()
            assert radio.counters.underflows == expected
            radio.flush()
            plutos._plutos[0].note_underflow()  # as the air does once the queue is empty
    finally:
        radio.close()


def test_samples_travel_and_clipping_is_counted(plutos):
    quiet = {"tx_attenuation_db": 30, "rx_gain_db": 60}
    a, b = (RadioKeeper(name, config(plutos, n, **quiet)).open() for n, name in enumerate("ab"))
    try:
        sounder = Sounder(Waveform.load("ofdm64"), 7, 3, 1e6, FORWARD_HZ)
        heard = exchange(a, b, sounder.samples)
        sounding = sounder.evaluate(heard.samples)
        assert sounding.frames == 3 and sounding.cfo_hz == pytest.approx(20e-6 * FORWARD_HZ, abs=300)
        assert a.counters.clipped == 0
        a.transmit(np.full(5000, 1.5 + 0j, np.complex64))
        assert a.counters.clipped == 5000
    finally:
        a.close()
        b.close()
    assert is_off(plutos.state(0)) and is_off(plutos.state(1))


def test_receiving_alone_never_switches_the_transmitter_on(plutos):
    radio = Pluto(config(plutos, tx_lo_hz=None))
    try:
        assert len(radio.receive(10_000)) == 10_000 and is_off(plutos.state(0))
        with pytest.raises(RadioError, match="tx_lo_hz is not set"):
            radio.transmit(np.zeros(10, np.complex64))
        assert is_off(plutos.state(0))
    finally:
        radio.close()


def test_the_tail_of_a_burst_is_padded_to_a_whole_buffer(plutos, monkeypatch):
    radio, pushed = Pluto(config(plutos)), []
    monkeypatch.setattr(radio, "_push", lambda values: pushed.append(values.copy()))
    radio.transmit(np.full(5000, 0.5, np.complex64))
    radio.flush()
    radio.flush()
    radio.close()
    assert [len(values) for values in pushed] == [2 * 4096, 2 * 4096]
    assert np.concatenate(pushed)[::2].tolist() == [16384] * 5000 + [0] * 3192


def test_a_transfer_that_stalls_is_noticed(plutos):
    radio = Pluto(config(plutos, stall_s=0.5))
    plutos.apply(Unplug(radio=0, silent=True))
    try:
        with pytest.raises(RadioLost, match=plutos.uris[0]):
            for _ in range(10_000):
                radio.receive(4096)
    finally:
        radio.close()


def test_unplugged_and_plugged_in_again_the_radio_goes_on(plutos):
    said = []
    radio = RadioKeeper("a", config(plutos, reconnect_s=30))
    radio.on_event.append(said.append)
    radio.open()
    try:
        radio.transmit(np.zeros(4096, np.complex64))
        radio.receive_exactly(20_000)
        plutos.apply(Unplug(radio=0, for_s=0.5))
        wait_until(lambda: any("lost" in text for text in said))
        wait_until(lambda: any("back" in text for text in said))
        radio.drop_received()
        radio.receive_exactly(20_000, 30)
        assert radio.transmit(np.zeros(4096, np.complex64))
        assert plutos.state(0).tx_lo_hz == FORWARD_HZ and plutos.state(0).tx_gain_db == -30  # set anew
        assert radio.counters.reconnects == 1 and radio.failed is None
    finally:
        radio.close()
    assert is_off(plutos.state(0))


def test_unplugged_for_good_it_is_given_up_and_says_so(plutos):
    said = []
    radio = RadioKeeper("a", config(plutos, reconnect_s=1))
    radio.on_event.append(said.append)
    radio.open()
    try:
        radio.receive_exactly(4096)
        plutos.apply(Unplug(radio=0))
        wait_until(lambda: radio.failed)
        assert "did not come back within 1 s" in radio.failed and "given up" in said[-1]
        assert not radio.transmit(np.zeros(4096, np.complex64))
    finally:
        radio.close()


# Sends until a signal or a line ends it; what a line does is its second argument.
SENDER = """
import select, signal, sys
import numpy as np
from gr_semantic.radio import RadioConfig, open_radio

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and stays so
signal.signal(signal.SIGINT, signal.default_int_handler)  # and this in a shell's background

radio = open_radio(RadioConfig(uri=sys.argv[1], tx_lo_hz=2.4e9, rx_lo_hz=2.42e9, stall_s=20))
for n in range(10**9):
    radio.transmit(np.full(4096, 0.1, np.complex64))
    if n == 3:
        print("sending", flush=True)
    if select.select([sys.stdin], [], [], 0)[0]:
        if sys.argv[2] == "exception":
            raise RuntimeError("a mistake")
        break
"""


@pytest.mark.parametrize("way", ["end", "exception", "SIGINT", "SIGTERM", "SIGHUP"])
def test_the_transmitter_is_off_on_every_way_out(plutos, way):
    command = [sys.executable, "-c", SENDER, plutos.uris[0], way]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    seen = []

    def look():
        while process.poll() is None:
            seen.append(plutos.state(0).transmitting)
            time.sleep(0.02)

    try:
        assert process.stdout.readline() == "sending\n"
        watcher = threading.Thread(target=look)
        watcher.start()
        wait_until(lambda: any(seen))
        if way.startswith("SIG"):
            os.kill(process.pid, getattr(signal, way))
        else:
            process.communicate("end\n", timeout=60)
        process.wait(60)
        watcher.join()
    finally:
        process.kill()
    assert process.returncode == {"end": 0, "exception": 1}.get(way, process.returncode)
    if way in ("SIGTERM", "SIGHUP"):
        assert process.returncode == -getattr(signal, way)  # it ended by the signal, as its parent expects
    assert is_off(plutos.state(0))


@pytest.fixture
def slow_plutos():
    """A tenth of real time: reports come back within the run, however late the machine is."""
    with VirtualPlutos({"radios": [{"ppm": 10}, {"ppm": -10}], "patience_s": 1, "speed": 0.1}).start() as running:
        yield running


def test_the_loop_with_receivers_and_transmitters_in_processes_of_their_own(slow_plutos, codec, images):
    plutos, rows = slow_plutos, []
    fields = {"rx_gain_db": 60, "buffer_len": 8192, "tx_buffers": 3} | PATIENT
    settings = OtaConfig.from_dict(
        {
            "radios": {name: {"uri": uri} | fields for name, uri in zip("ab", plutos.uris, strict=True)},
            "forward": {"transmitter": "a", "receiver": "b", "lo_hz": FORWARD_HZ},
            "feedback": {"transmitter": "b", "receiver": "a", "lo_hz": FEEDBACK_HZ},
            "images_per_frame": 4,
            "seconds": 0.4,
        },
        "test",
    )
    radios = {name: RadioKeeper(name, one).open() for name, one in settings.radio_configs().items()}
    try:
        loop = OtaFlowgraph(settings, codec, images, radios, rows.append)
        receivers, transmitters = [loop.receiver, loop.reverse_receiver], [loop.transmitter, loop.reverse_transmitter]
        assert all(isinstance(transmitter, FedTransmitter) for transmitter in transmitters)
        try:
            with real_time():
                loop.start()
                assert loop.wait_finished(120) and loop.error is None
        finally:
            for radio in radios.values():
                radio.close()
            loop.stop_and_wait()
    finally:
        for radio in radios.values():
            radio.close()
    assert [row.slot for row in rows] == list(range(settings.slots))
    assert sum(row.received for row in rows) >= 12 and any(row.measured_slot >= 0 for row in rows)
    assert all(receiver._process._process.poll() is not None for receiver in receivers)
    assert all(is_off(plutos.state(n)) for n in range(2))
