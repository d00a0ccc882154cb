# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that were written for real Plutos run against virtual ones: iio_info, iio_attr, pyadi-iio, iiod, gr-iio.

The server is a process of its own, and slower than life: the machine may be busy, and nothing here depends on time.
"""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from gr_semantic.virtual_pluto import VirtualPlutosProcess

adi = pytest.importorskip("adi")
RATE_HZ, LO_HZ, TONE_HZ, OFFSET_HZ = 600_000, 2_400_000_000, 100_000, 24_000
LIMIT_S = 60


@pytest.fixture(scope="module")
def plutos():
    with VirtualPlutosProcess({"radios": [{"ppm": 5}, {"ppm": -5}], "speed": 0.5, "patience_s": 1}).start() as plutos:
        yield plutos


@pytest.fixture
def proxy(plutos):
    """URI of Debian's iiod in front of radio 0."""
    program = shutil.which("iiod", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("iiod is not installed (Debian: apt-get install iiod)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([program, "-u", plutos.uris[0], "-p", str(port)])
    try:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
        yield f"ip:127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def run(*command):
    """stdout of a command that has to succeed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: apt-get install libiio-utils)")
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tuned(uri):
    """adi.Pluto at the tests' rate and carrier."""
    sdr = adi.Pluto(uri)
    sdr.sample_rate = RATE_HZ
    sdr.rx_lo = sdr.tx_lo = LO_HZ
    sdr.rx_rf_bandwidth = sdr.tx_rf_bandwidth = RATE_HZ
    sdr.gain_control_mode_chan0 = "manual"
    sdr.rx_hardwaregain_chan0 = 40
    sdr.tx_hardwaregain_chan0 = 0
    sdr.rx_buffer_size = 8192
    return sdr


def tone():
    """Whole periods, half of full scale, as pyadi-iio wants them."""
    return 2**14 * np.exp(2j * np.pi * TONE_HZ / RATE_HZ * np.arange(6000))


def strongest_hz(samples):
    spectrum = np.abs(np.fft.fft(samples * np.hanning(len(samples))))
    return np.fft.fftfreq(len(samples), 1 / RATE_HZ)[np.argmax(spectrum)]


def heard_tone(receive, attempts=200):
    """Whether the tone arrives with the carriers' offset within so many buffers."""
    for _ in range(attempts):
        samples = receive()
        bin_hz = RATE_HZ / len(samples)
        if np.std(samples) > 50 and abs(strongest_hz(samples) - TONE_HZ - OFFSET_HZ) < 2 * bin_hz:
            return True
    return False


def test_iio_info_prints_the_context(plutos):
    text = run("iio_info", "-u", plutos.uris[0])
    for line in (
        "hw_model: Analog Devices PlutoSDR Rev.C (Z7010-AD9363A)",
        f"hw_serial: {plutos.serials[0]}",
        "iio:device0: ad9361-phy",
        "cf-ad9361-dds-core-lpc (buffer capable)",
        "cf-ad9361-lpc (buffer capable)",
        "frequency_available value: [325000000 1 3800000000]",
        "hardwaregain value: 71.000000 dB",
        "TX1_I_F1",
        "dcxo_tune_fine ERROR: No such device (19)",
    ):
        assert line in text, line
    assert plutos.serials[0] != plutos.serials[1]


def test_iio_attr_reads_and_writes(plutos):
    attribute = ("iio_attr", "-u", plutos.uris[1], "-c", "ad9361-phy", "altvoltage0", "frequency")
    assert "433920000" in run(*attribute, "433920000")
    assert run(*attribute).strip() == "433920000"
    assert "ad9361-phy" in run("iio_attr", "-u", plutos.uris[1], "-d")
    assert "hw_serial" in run("iio_attr", "-u", plutos.uris[1], "-C")
    assert "0x" in run("iio_attr", "-u", plutos.uris[1], "-D", "cf-ad9361-lpc", "direct_reg_access")


def test_pyadi_cyclic_and_streaming(plutos):
    sender, receiver = tuned(plutos.uris[0]), tuned(plutos.uris[1])
    sender.tx_cyclic_buffer = True
    sender.tx(tone())
    assert plutos.state(0).tx_cyclic and plutos.state(0).transmitting
    assert heard_tone(receiver.rx)
    sender.tx_destroy_buffer()
    assert not plutos.state(0).tx_buffer_open and not plutos.state(0).transmitting
    sender.tx_cyclic_buffer = False

    def send_and_receive():
        sender.tx(tone())
        return receiver.rx()

    assert heard_tone(send_and_receive)
    with pytest.raises(OSError, match="16"):  # a second client finds the buffer busy
        adi.Pluto(plutos.uris[0]).tx(tone())
    sender.tx_destroy_buffer()
    receiver.rx_destroy_buffer()


def test_pyadi_dds(plutos):
    sender, receiver = tuned(plutos.uris[0]), tuned(plutos.uris[1])
    sender.dds_single_tone(TONE_HZ, 0.5)
    assert plutos.state(0).transmitting and not plutos.state(0).tx_buffer_open
    assert heard_tone(receiver.rx)
    sender.disable_dds()
    assert not plutos.state(0).transmitting


def test_iiod_as_a_proxy_in_front(plutos, proxy):
    assert f"hw_serial: {plutos.serials[0]}" in run("iio_info", "-u", proxy)
    sender, receiver = tuned(proxy), tuned(plutos.uris[1])
    sender.tx_cyclic_buffer = True
    sender.tx(tone())
    assert heard_tone(receiver.rx)
    sender.tx_destroy_buffer()
    receiver.rx_destroy_buffer()
    receiver.tx_cyclic_buffer = True
    receiver.tx(tone())
    sender.rx_buffer_size = 4096
    assert len(sender.rx()) == 4096
    sender.rx_destroy_buffer()
    receiver.tx_destroy_buffer()


def test_gr_iio_source_and_sink(plutos, tmp_path):
    """In a process of its own, which gr-iio ends when a radio goes away, and does not when it should."""
    script = tmp_path / "flowgraph.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, sys, time
        import numpy as np
        from gnuradio import analog, blocks, gr, iio

        class Duplex(gr.top_block):
            def __init__(self):
                super().__init__()
                self.tone = analog.sig_source_c({RATE_HZ}, analog.GR_COS_WAVE, {TONE_HZ}, 0.5)
                self.sink = iio.fmcomms2_sink_fc32(sys.argv[1], [True, True], 8192, False)
                self.sink.set_len_tag_key("")
                self.sink.set_samplerate({RATE_HZ})
                self.sink.set_bandwidth({RATE_HZ})
                self.sink.set_frequency({LO_HZ})
                self.sink.set_attenuation(0, 0.0)
                self.source = iio.fmcomms2_source_fc32(sys.argv[2], [True, True], 8192)
                self.source.set_len_tag_key("")
                self.source.set_samplerate({RATE_HZ})
                self.source.set_frequency({LO_HZ})
                for _ in range(2):  # in 3.10.5 the first call writes the mode before
                    self.source.set_gain_mode(0, "manual")
                self.source.set_gain(0, 40.0)
                self.source.set_quadrature(True)
                self.source.set_rfdc(True)
                self.source.set_bbdc(True)
                self.heard = blocks.vector_sink_c()
                self.connect(self.tone, self.sink)
                self.connect(self.source, self.heard)

        flowgraph = Duplex()
        flowgraph.start()
        end, found = time.monotonic() + {LIMIT_S}, None
        while time.monotonic() < end and not found:
            time.sleep(0.2)
            samples = np.array(flowgraph.heard.data()[-16384:])
            if len(samples) == 16384 and np.std(samples) > 0.03:
                spectrum = np.abs(np.fft.fft(samples * np.hanning(16384)))
                hz = np.fft.fftfreq(16384, 1 / {RATE_HZ})[np.argmax(spectrum)]
                found = bool(abs(hz - {TONE_HZ + OFFSET_HZ}) < 100)
        flowgraph.stop()
        flowgraph.wait()
        os._exit(0 if found else 3)  # gr-iio's destructors sometimes wait for a thread that nobody has told to end
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script), *plutos.uris], capture_output=True, text=True, timeout=2 * LIMIT_S
    )
    assert done.returncode == 0, done.stderr[-2000:]
    deadline = time.monotonic() + LIMIT_S
    while plutos.state(0).tx_buffer_open and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not plutos.state(0).tx_buffer_open and not plutos.state(1).rx_buffer_open


def test_the_server_has_not_failed(plutos):
    """Last: every client before has left it alive."""
    assert plutos.time_s > 0
    assert not any(plutos.state(radio).tx_buffer_open for radio in (0, 1))
