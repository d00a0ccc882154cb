# SPDX-License-Identifier: GPL-3.0-or-later
"""The server under clients that speak libiio's protocol by hand: well, badly, and not at all."""

import contextlib
import errno
import random
import socket
import threading
import time

import numpy as np
import pytest

from gr_semantic.errors import UserError
from gr_semantic.virtual_pluto import Unplug, VirtualPlutos

PHY, TX, RX = "iio:device0", "iio:device2", "iio:device3"


@pytest.fixture(scope="module")
def plutos():
    with VirtualPlutos().start() as plutos:
        yield plutos


class Client:
    """Requests as lines, answers as numbers and bytes."""

    def __init__(self, uri):
        _, host, port = uri.split(":")
        self.sock = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.file.close()
        self.sock.close()

    def send(self, text):
        self.sock.sendall(text.encode() if isinstance(text, str) else text)

    def number(self):
        return int(self.file.readline())

    def ask(self, line):
        self.send(line + "\r\n")
        return self.number()

    def value(self, line):
        data = self.file.read(self.ask(line) + 1)
        assert data.endswith(b"\0\n")
        return data[:-2].decode()

    def write(self, line, value):
        data = value.encode() + b"\0"
        self.send(f"{line} {len(data)}\r\n".encode() + data)
        return self.number()

    def read_samples(self, count):
        left, pieces = 4 * count, []
        self.send(f"READBUF {RX} {left}\r\n")
        while left:
            size = self.number()
            assert size > 0
            if not pieces:
                assert self.file.readline() == b"00000003\n"
            pieces.append(self.file.read(size))
            left -= size
        return np.frombuffer(b"".join(pieces), "<i2").reshape(-1, 2)

    def write_samples(self, values):
        data = values.astype("<i2").tobytes()
        assert self.ask(f"WRITEBUF {TX} {len(data)}") == 0
        self.send(data)
        return self.number()


def soon(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.fixture
def client(plutos):
    with Client(plutos.uris[0]) as client:
        assert client.ask("TIMEOUT 10000") == 0  # of all connections; tests may have shortened it
        yield client
    assert soon(lambda: not plutos.state(0).tx_buffer_open and not plutos.state(0).rx_buffer_open)


@pytest.fixture
def other(plutos):
    with Client(plutos.uris[0]) as client:
        yield client


def test_version_print_and_timeout(client):
    client.send("VERSION\r\n")
    assert client.file.readline() == b"0.24.v0.24  \n"
    length = client.ask("PRINT")
    xml = client.file.read(length + 1)
    assert xml.startswith(b"<?xml") and xml.endswith(b"</context>\n")
    assert client.ask("TIMEOUT 2500") == 0
    assert client.ask("ZPRINT") == -errno.EINVAL


def test_blank_lines_are_ignored_and_case_does_not_matter(client):
    client.send("\r\n\n \r\n")
    assert client.ask("timeout 100") == 0


def test_attributes_by_id_and_by_name(client):
    assert client.value(f"READ {PHY} OUTPUT altvoltage0 frequency") == "2400000000"
    assert client.value("READ ad9361-phy OUTPUT RX_LO frequency") == "2400000000"
    assert client.value(f"READ {PHY} INPUT voltage0 hardwaregain") == "71.000000 dB"
    assert client.value(f"READ {PHY} DEBUG loopback") == "0"
    assert client.value(f"READ {RX} BUFFER data_available") == "0"
    assert client.write(f"WRITE {PHY} OUTPUT altvoltage0 frequency", "2400000000") == 11


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("NONSENSE", errno.EINVAL),
        ("READ", errno.EINVAL),
        ("OPEN", errno.EINVAL),
        ("TIMEOUT soon", errno.EINVAL),
        ("TIMEOUT -1", errno.EINVAL),
        ("READ iio:device9 name", errno.ENODEV),
        (f"READ {PHY} nothing", errno.ENOENT),
        (f"READ {PHY} INPUT voltage9 raw", errno.ENODEV),
        (f"READ {PHY} INPUT voltage0 nothing", errno.ENOENT),
        (f"READ {PHY} INPUT voltage0 raw and more", errno.EINVAL),
        (f"READ {PHY} DEBUG nothing", errno.ENOENT),
        (f"READ {PHY} DEBUG initialize", errno.EACCES),
        (f"READ {PHY} dcxo_tune_fine", errno.ENODEV),
        (f"GETTRIG {PHY}", errno.ENOENT),
        (f"SETTRIG {PHY} iio:device1", errno.ENOENT),
        (f"READBUF {RX} 4096", errno.EBADF),
        (f"WRITEBUF {TX} 4096", errno.EBADF),
        (f"CLOSE {RX}", errno.EBADF),
        (f"OPEN {PHY} 1024 00000003", errno.EINVAL),
        (f"OPEN {RX} 1024 00000000", errno.EINVAL),
        (f"OPEN {RX} 1024 zz", errno.EINVAL),
        (f"OPEN {RX} 0 00000003", errno.EINVAL),
        (f"OPEN {RX} 99999999999 00000003", errno.EINVAL),
        (f"OPEN {RX} 1024 00000003 CYCLIC", errno.EINVAL),
        (f"OPEN {RX} 1024 00000003 SQUARE", errno.EINVAL),
        (f"SET {RX} BUFFERS_COUNT 0", errno.EINVAL),
        (f"SET {RX} COLOUR 4", errno.EINVAL),
        (f"SET {PHY} BUFFERS_COUNT 4", errno.EINVAL),
    ],
)
def test_wrong_requests_are_answered_with_their_errno(client, line, number):
    assert client.ask(line) == -number
    assert client.ask("TIMEOUT 1000") == 0  # and the connection lives on


@pytest.mark.parametrize(
    ("attribute", "value", "number"),
    [
        ("OUTPUT altvoltage0 frequency", "324999999", errno.EINVAL),
        ("OUTPUT altvoltage0 frequency", "3800000001", errno.EINVAL),
        ("OUTPUT altvoltage0 frequency", "many", errno.EINVAL),
        ("OUTPUT altvoltage0 frequency", "2.4e9", errno.EINVAL),
        ("OUTPUT altvoltage0 frequency", "1" * 5000, errno.EINVAL),
        ("INPUT voltage0 rf_bandwidth", "1" * 400, errno.EINVAL),
        ("INPUT voltage0 sampling_frequency", "1000000", errno.EINVAL),  # without the FIR
        ("INPUT voltage0 sampling_frequency", "61440001", errno.EINVAL),
        ("INPUT voltage0 hardwaregain", "50", errno.EOPNOTSUPP),  # automatic gain
        ("INPUT voltage0 gain_control_mode", "psychic", errno.EINVAL),
        ("OUTPUT voltage0 hardwaregain", "0.25", errno.EINVAL),
        ("OUTPUT voltage0 hardwaregain", "-90", errno.EINVAL),
        ("OUTPUT voltage0 hardwaregain", "nan", errno.EINVAL),
        ("INPUT voltage0 rssi", "3", errno.EACCES),
        ("INPUT out voltage_filter_fir_en", "1", errno.EINVAL),  # no filter is loaded
        ("xo_correction", "39000000", errno.EINVAL),
        ("filter_fir_config", "rubbish", errno.EINVAL),
        ("ensm_mode", "party", errno.EINVAL),
        ("DEBUG loopback", "3", errno.EINVAL),
    ],
)
def test_wrong_values_are_refused_and_change_nothing(client, attribute, value, number):
    line = f"{PHY} {attribute}"
    before = client.value(f"READ {line}")
    assert client.write(f"WRITE {line}", value) == -number
    assert client.value(f"READ {line}") == before


def test_rates_depend_on_the_filter(client):
    line = f"{PHY} INPUT voltage0 sampling_frequency"
    fir = "RX 3 GAIN -6 DEC 4\nTX 3 GAIN 0 INT 4\n" + "1,1\n" * 128
    assert client.write(f"WRITE {PHY} filter_fir_config", fir) > 0
    assert client.value(f"READ {PHY} filter_fir_config") == "FIR Rx: 128,4 Tx: 128,4"
    assert client.write(f"WRITE {PHY} INPUT out voltage_filter_fir_en", "1") > 0
    assert client.value(f"READ {line}_available") == "[520833 1 61440000]"
    assert client.write(f"WRITE {line}", "1000000") > 0
    assert client.value(f"READ {PHY} OUTPUT voltage0 sampling_frequency") == "1000000"
    assert client.value(f"READ {TX} OUTPUT voltage0 sampling_frequency_available") == "1000000 125000 "
    assert client.write(f"WRITE {PHY} filter_fir_config", fir) == -errno.EBUSY
    assert client.write(f"WRITE {PHY} INPUT out voltage_filter_fir_en", "0") == -errno.EINVAL  # too slow without it
    assert client.write(f"WRITE {line}", "3000000") > 0
    assert client.write(f"WRITE {PHY} INPUT out voltage_filter_fir_en", "0") > 0


def test_gain_range_depends_on_the_carrier(client):
    available = f"READ {PHY} INPUT voltage0 hardwaregain_available"
    assert client.value(available) == "[-3 1 71]"
    assert client.write(f"WRITE {PHY} OUTPUT altvoltage0 frequency", "900000000") > 0
    assert client.value(available) == "[-1 1 73]"
    assert client.write(f"WRITE {PHY} OUTPUT altvoltage0 frequency", "2400000000") > 0


def test_all_attributes_at_once(client):
    """Lengths and padding, errors in place of values, and writing them back."""
    data = client.file.read(client.ask(f"READ {PHY}") + 1)[:-1]
    values, place = [], 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big", signed=True)
        values.append(length if length < 0 else data[place + 4 : place + 4 + length])
        place += 4 + (length + -length % 4 if length > 0 else 0)
    assert values[0] == b"auto\0" and values[2] == -errno.ENODEV and len(values) == 17
    mode = b"manual\0"
    written = len(mode).to_bytes(4, "big") + mode + b"\0" + bytes(4) * 16
    client.send(f"WRITE {PHY} {len(written)}\r\n".encode() + written)
    assert client.number() == len(written)
    assert client.value(f"READ {PHY} calib_mode") == "manual"


def test_a_buffer_is_open_once(client, other, plutos):
    for device in (TX, RX):
        assert client.ask(f"OPEN {device} 1024 00000003") == 0
        assert client.ask(f"OPEN {device} 1024 00000003") == -errno.EBUSY
        assert other.ask(f"OPEN {device} 1024 00000003") == -errno.EBUSY
        assert other.ask(f"SET {device} BUFFERS_COUNT 8") == -errno.EBUSY
        assert client.ask(f"CLOSE {device}") == 0
        assert other.ask(f"OPEN {device} 1024 00000003") == 0
        assert other.ask(f"CLOSE {device}") == 0
    assert not plutos.state(0).tx_buffer_open and not plutos.state(0).rx_buffer_open


def test_a_client_that_vanishes_frees_its_buffers(plutos):
    with Client(plutos.uris[0]) as client:
        assert client.ask(f"OPEN {TX} 1024 00000003") == 0
        assert client.ask(f"OPEN {RX} 1048576 00000003") == 0
        client.send(f"READBUF {RX} 4194304\r\n")  # is waited for when the client goes
        assert plutos.state(0).tx_buffer_open
    assert soon(lambda: not plutos.state(0).tx_buffer_open and not plutos.state(0).rx_buffer_open)


def test_receive_one_channel(client):
    assert client.ask(f"OPEN {RX} 512 00000002") == 0
    client.send(f"READBUF {RX} 1024\r\n")
    assert client.number() == 1024 and client.file.readline() == b"00000002\n"
    assert len(client.file.read(1024)) == 1024


def test_receive_in_parts_of_a_buffer(client):
    assert client.ask(f"OPEN {RX} 1000 00000003") == 0
    assert len(client.read_samples(300)) == 300
    assert len(client.read_samples(2000)) == 2000
    assert client.ask(f"READBUF {RX} 3") == -errno.EINVAL
    assert client.ask(f"READBUF {RX} 0") == -errno.EINVAL


def test_no_sample_is_lost_or_doubled():
    """A count in the transmit samples, through the digital loopback, written and read at the same time, by clients
    that are late now and then: the air waits for them."""
    block = 8192
    with (
        VirtualPlutos({"radios": [{}], "patience_s": 0.5}).start() as plutos,  # less than the client's timeout
        Client(plutos.uris[0]) as reader,
        Client(plutos.uris[0]) as writer,
    ):
        assert reader.write(f"WRITE {PHY} DEBUG loopback", "1") > 0
        assert reader.write(f"WRITE {PHY} INPUT voltage0 sampling_frequency", "2100000") > 0
        assert reader.ask(f"OPEN {RX} {block} 00000003") == 0
        assert writer.ask(f"OPEN {TX} {block} 00000003") == 0
        blocks = (np.arange(30 * block) % 1999 + 1).reshape(30, block)

        def write():
            for place, values in enumerate(blocks):
                time.sleep(0.1 * (place % 10 == 5))
                writer.write_samples(np.stack([values << 4, -(values << 4)], axis=1))

        thread = threading.Thread(target=write)
        thread.start()
        heard = [reader.read_samples(block)]
        while sum(map(np.count_nonzero, heard)) < 2 * blocks.size and len(heard) < 100:
            time.sleep(0.1 * (len(heard) % 10 == 0))
            heard.append(reader.read_samples(block))
        thread.join()
        assert plutos.state(0).overflows == 0
    heard = np.concatenate(heard).astype(int)
    assert np.array_equal(heard[:, 1], -heard[:, 0])
    values = np.trim_zeros(heard[:, 0])
    assert np.array_equal(values, blocks.ravel())


def test_who_never_comes_back_is_waited_for_only_once():
    """A reader that has stopped reading, and a burst that has ended: the air goes on without them."""
    with (
        VirtualPlutos({"radios": [{}, {}], "patience_s": 0.2}).start() as plutos,
        Client(plutos.uris[0]) as idle,
        Client(plutos.uris[1]) as busy,
        Client(plutos.uris[1]) as sender,
    ):
        assert idle.ask(f"OPEN {RX} 4096 00000003") == 0
        assert busy.ask(f"OPEN {RX} 4096 00000003") == 0
        assert sender.ask(f"OPEN {TX} 4096 00000003") == 0
        sender.write_samples(np.ones((4096, 2)))
        assert len(busy.read_samples(100 * 4096)) == 100 * 4096
        assert plutos.state(0).overflows > 0 and plutos.state(1).underflows > 0


def test_write_more_or_less_than_a_buffer(client):
    assert client.ask(f"OPEN {TX} 1024 00000003") == 0
    assert client.ask(f"WRITEBUF {TX} 4100") == -errno.EINVAL
    assert client.ask(f"WRITEBUF {TX} 6") == -errno.EINVAL
    assert client.write_samples(np.ones((10, 2))) == 40


def test_a_cyclic_buffer_is_filled_once(client, plutos):
    assert client.ask(f"OPEN {TX} 1024 00000003 CYCLIC") == 0
    assert client.write_samples(np.ones((1024, 2))) == 4096
    assert plutos.state(0).tx_cyclic
    assert client.ask(f"WRITEBUF {TX} 4096") == -errno.EBUSY


def test_overflow_drops_whole_blocks_and_sets_the_flag(client, other):
    """Nobody reads: four blocks are kept, the oldest; the gap after them is a whole number of blocks."""
    register = f"{RX} DEBUG direct_reg_access"
    block, period = 65536, 2003
    assert client.write(f"WRITE {PHY} DEBUG loopback", "1") > 0
    assert client.ask(f"OPEN {TX} {period} 00000003 CYCLIC") == 0
    ramp = np.arange(period) << 4
    assert client.write_samples(np.stack([ramp, ramp], axis=1)) == 4 * period
    assert other.ask(f"SET {RX} BUFFERS_COUNT 4") == 0
    assert other.ask(f"OPEN {RX} {block} 00000003") == 0
    assert client.write(f"WRITE {register}", "0x80000088 0x4") > 0  # of tests before
    assert soon(lambda: int(client.value(f"READ {register}"), 0) & 4)
    heard = np.concatenate([other.read_samples(block) for _ in range(5)])[:, 0].astype(int)
    gaps = (np.diff(heard) - 1) % period
    assert set(np.flatnonzero(gaps) + 1) == {4 * block}
    dropped = [count for count in range(period) if count * block % period == gaps[4 * block - 1]]
    assert len(dropped) == 1 and dropped[0] >= 1
    assert client.write(f"WRITE {register}", "0x80000088 0x4") > 0
    assert client.ask(f"CLOSE {TX}") == 0
    assert client.write(f"WRITE {PHY} DEBUG loopback", "0") > 0


def test_underflow_sets_the_flag(client):
    register = f"{TX} DEBUG direct_reg_access"
    assert client.write(f"WRITE {register}", "0x80000088 0x1") > 0
    assert client.ask(f"OPEN {TX} 1024 00000003") == 0
    time.sleep(0.02)
    assert client.value(f"READ {register}") == "0x0"  # open, but nothing was sent yet
    assert client.write_samples(np.ones((1024, 2))) == 4096
    assert soon(lambda: client.value(f"READ {register}") == "0x1")
    assert client.ask(f"CLOSE {TX}") == 0
    assert client.write(f"WRITE {register}", "0x80000088 0x1") > 0
    assert client.value(f"READ {register}") == "0x0"


def test_read_times_out_as_another_connection_of_the_context_has_asked(client, other):
    assert other.ask("TIMEOUT 50") == 0
    assert client.ask(f"OPEN {RX} 16777216 00000003") == 0
    assert client.ask(f"READBUF {RX} 67108864") == -errno.ETIMEDOUT
    assert other.ask("TIMEOUT 2500") == 0


def test_a_client_that_cancelled_its_buffer_may_come_back_at_once(client, plutos):
    with Client(plutos.uris[0]) as cancelled:
        assert cancelled.ask(f"OPEN {RX} 16777216 00000003") == 0
        cancelled.send(f"READBUF {RX} 67108864\r\n")
    assert client.ask(f"OPEN {RX} 1024 00000003") == 0


def test_lines_without_an_end_and_half_closed_connections(plutos):
    with Client(plutos.uris[0]) as client:
        client.send("X" * 10_000)
        assert client.number() == -errno.EINVAL
        with contextlib.suppress(ConnectionError):
            assert client.file.read() == b""
    with Client(plutos.uris[0]) as client:
        client.send(f"WRITE {PHY} calib_mode 100000000000\r\n")
        assert client.number() == -errno.EINVAL
    with Client(plutos.uris[0]) as client:
        client.send("VERSION\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.file.read() == b"0.24.v0.24  \n"
    for half in (f"WRITE {PHY} calib_mode 50\r\nab", f"OPEN {TX} 64 3\r\nWRITEBUF {TX} 256\r\nabc", "PRI"):
        with Client(plutos.uris[0]) as client:
            client.send(half)
    assert soon(lambda: not plutos.state(0).tx_buffer_open)


def test_random_requests_neither_crash_nor_leak(plutos):
    words = ["READ", "WRITE", "OPEN", "CLOSE", "READBUF", "SET", "EXIT", PHY, TX, RX, "INPUT", "OUTPUT", "DEBUG"]
    words += [
        "voltage0",
        "hardwaregain",
        "0",
        "-1",
        "16",
        "00000003",
        "\x00",
        "\xff\xfe",
        "CYCLIC",
        "BUFFERS_COUNT",
        "\n",
    ]
    draw = random.Random(1)
    before = threading.active_count()
    for _ in range(60):
        with Client(plutos.uris[0]) as client, contextlib.suppress(OSError):
            client.send("TIMEOUT 20\r\n")
            for _ in range(20):
                client.send(" ".join(draw.choices(words, k=draw.randint(1, 6))) + "\r\n")
            client.sock.shutdown(socket.SHUT_WR)
            client.file.read()
    assert soon(lambda: threading.active_count() <= before)
    assert soon(lambda: not plutos.state(0).rx_buffer_open and not plutos.state(0).tx_buffer_open)
    with Client(plutos.uris[0]) as client:
        assert client.ask("PRINT") > 1000
    plutos.check()


def test_unplugged_and_plugged_in_again():
    with VirtualPlutos().start() as plutos:
        with Client(plutos.uris[0]) as client:
            assert client.write(f"WRITE {PHY} OUTPUT altvoltage0 frequency", "900000000") > 0
            assert client.ask(f"OPEN {TX} 1024 00000003") == 0
            plutos.apply(Unplug(radio=0, for_s=0.3))
            with contextlib.suppress(ConnectionError):
                assert client.file.read() == b""
            assert soon(lambda: not plutos.state(0).plugged)
            with pytest.raises(ConnectionRefusedError):
                Client(plutos.uris[0])
        assert plutos.state(0).tx_lo_powerdown and not plutos.state(0).tx_buffer_open
        assert soon(lambda: plutos.state(0).plugged)
        with Client(plutos.uris[0]) as client:  # same port, settings of a fresh power-on
            assert client.value(f"READ {PHY} OUTPUT altvoltage0 frequency") == "2400000000"
        with Client(plutos.uris[1]) as client:  # the other radio has noticed nothing
            assert client.ask("TIMEOUT 100") == 0


def test_a_dead_network_does_not_answer():
    with VirtualPlutos({"radios": [{}]}).start() as plutos, Client(plutos.uris[0]) as client:
        plutos.apply(Unplug(radio=0, silent=True))
        assert soon(lambda: not plutos.state(0).plugged)
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.ask("TIMEOUT 100")
        plutos.plug_in(0)
        assert soon(lambda: plutos.state(0).plugged)
        with Client(plutos.uris[0]) as again:
            assert again.ask("TIMEOUT 100") == 0


def test_firmware_without_an_attribute():
    with VirtualPlutos({"radios": [{"without": ["xo_correction", "rssi"]}, {}]}).start() as plutos:
        for uri, number in zip(plutos.uris, (-errno.ENOENT, len("40000000") + 1), strict=True):
            with Client(uri) as client:
                assert client.ask(f"READ {PHY} xo_correction") == number
    with pytest.raises(UserError, match="tea"):
        VirtualPlutos({"radios": [{"without": ["tea"]}]}).start()


def test_stop_ends_all_threads_with_clients_waiting():
    before = threading.active_count()
    plutos = VirtualPlutos().start()
    with Client(plutos.uris[0]) as reading, Client(plutos.uris[1]) as writing:
        assert reading.ask(f"OPEN {RX} 16777216 00000003") == 0
        reading.send(f"READBUF {RX} 67108864\r\n")
        assert writing.ask(f"OPEN {TX} 1048576 00000003") == 0
        writing.send(f"WRITEBUF {TX} 4194304\r\n")
        plutos.stop()
        plutos.stop()
        assert threading.active_count() == before


def test_a_taken_port_is_named():
    with VirtualPlutos({"radios": [{}]}).start() as plutos:
        port = int(plutos.uris[0].split(":")[2])
        with pytest.raises(UserError, match=str(port)):
            VirtualPlutos({"radios": [{}], "port": port}).start()
