# SPDX-License-Identifier: GPL-3.0-or-later
"""An ADALM-Pluto: pyadi-iio for its settings, libiio's buffers for the samples."""

import contextlib
import errno
import logging
import re
import threading
import time

import numpy as np

from gr_semantic.radio import off_switch
from gr_semantic.radio.config import RadioConfig
from gr_semantic.radio.iio_buffer import DATA_DEVICES, open_buffer
from gr_semantic.radio.interface import Counters, RadioError, RadioLost
from gr_semantic.radio.scaling import from_int16, to_int16

_LOG = logging.getLogger("gr_semantic.radio")
_FLAGS, _UNDERFLOW, _OVERFLOW = 0x80000088, 1, 4  # status register of both data devices: write a one to clear
_LOOPBACK = {"none": "0", "digital": "1", "rf": "2"}
_FRESH_DROP = 2  # buffers after a start that may still be from before it
_WATCH_S = 0.1
_FLAGS_EVERY_S = 1.0
_CLOSE_CALMLY_S, _CLOSE_WAIT_S = 0.5, 3.0
_NOMINAL_XO_HZ = 40e6


class Pluto:
    """A Pluto with everything set, read back and compared; nothing is sent before ``transmit`` is called.

    Args:
        config: its settings; ``uri`` is required.

    Raises:
        RadioError: nobody answers, another program uses it, its firmware lacks an attribute, a value is out of its
            range, or it did not take a value. The text names the URI and what to check.
    """

    def __init__(self, config: RadioConfig):
        self.config = config
        self.counters = Counters()
        self.settings = {}
        self._lost = None  # why, once it is lost
        self._closed = False
        self._sending = self._in_burst = False
        self._pushed = 0  # buffers of the burst
        self._since = {"tx": None, "rx": None}  # when the transfer that is going on began
        self._locks = {"tx": threading.RLock(), "rx": threading.RLock()}  # a signal's handler may close in mid-call
        self._attributes = threading.RLock()
        self._buffers = {"tx": None, "rx": None}
        self._feed = None
        self._pending = np.zeros(0, np.int16)
        self._spare = np.zeros(0, np.complex64)
        self._stop = threading.Event()
        self.uri = find_uri(config.uri)
        self._sdr = _connect(self.uri)
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._watch, name=f"watchdog of {self.uri}", daemon=True).start()

    # Settings

    def _set_up(self):
        off_switch.guard(self)
        context, config = self._sdr.ctx, self.config
        context.set_timeout(max(200, round(1000 * config.stall_s)))
        self._phy = self._device("ad9361-phy")
        self._data = {side: self._device(name) for side, name in DATA_DEVICES.items()}
        serial = context.attrs.get("hw_serial")
        if config.serial is not None and serial != config.serial:
            raise RadioError(f"{self.uri}: the radio there has serial {serial}, not {config.serial}: mixed up?")
        self._silence()
        if config.loopback != "none" or "loopback" in self._phy.debug_attrs:
            self._write(self._phy.debug_attrs, "loopback", _LOOPBACK[config.loopback])
        if config.xo_ppm is not None:
            self._set_xo(config.xo_ppm)
        self._set_sample_rate(config.sample_rate_hz)
        if config.rx_lo_hz is not None:
            self._set_lo("altvoltage0", "rx_lo_hz", config.rx_lo_hz)
            self._write(self._channel("voltage0", False).attrs, "gain_control_mode", config.rx_gain_mode)
            if config.rx_gain_mode == "manual":
                self._set_gain("voltage0", False, "rx_gain_db", config.rx_gain_db, 1.0)
        if config.tx_lo_hz is not None:
            self._set_lo("altvoltage1", "tx_lo_hz", config.tx_lo_hz)
            self._set_gain("voltage0", True, "tx_attenuation_db", -config.tx_attenuation_db, 0.25)
        self._set_bandwidth()
        self._read_back(serial)
        for side in ("rx", "tx"):
            if getattr(config, f"{side}_lo_hz") is not None:
                self._open_buffer(side)
        self._stale = True
        for side in self._data:
            self._clear_flag(side, _UNDERFLOW | _OVERFLOW)

    def _device(self, name):
        device = self._sdr.ctx.find_device(name)
        if device is None:
            raise RadioError(f"{self.uri}: has no device {name}: is that a Pluto?")
        return device

    def _channel(self, name, output):
        channel = self._phy.find_channel(name, output)
        if channel is None:
            raise RadioError(
                f"{self.uri}: its firmware has no channel {name} of ad9361-phy: update the Pluto's firmware"
            )
        return channel

    def _set_xo(self, ppm):
        low, _, high = self._range(self._phy.attrs, "xo_correction_available", (0.0, 1.0, 1e12))
        wanted = round(_NOMINAL_XO_HZ * (1 + ppm * 1e-6))
        if not low <= wanted <= high:
            limits = [1e6 * (value / _NOMINAL_XO_HZ - 1) for value in (low, high)]
            raise RadioError(f"{self.uri}: xo_ppm is {ppm:g}, this radio takes {limits[0]:.0f} to {limits[1]:.0f}")
        self._write(self._phy.attrs, "xo_correction", str(wanted))
        self._compare("xo_ppm", ppm, 1e6 * (self._read(self._phy.attrs, "xo_correction") / _NOMINAL_XO_HZ - 1), 0.1)

    def _set_sample_rate(self, rate_hz):
        attributes = self._channel("voltage0", False).attrs
        low, _, high = self._range(attributes, "sampling_frequency_available", (2_083_333, 1, 61_440_000))
        low = max(521e3, low / 4)  # the FIR filter, which pyadi-iio loads, divides by 4
        if not low <= rate_hz <= high:
            raise RadioError(f"{self.uri}: sample_rate_hz is {rate_hz:.0f}, this radio takes {low:.0f} to {high:.0f}")
        try:
            self._sdr.sample_rate = round(rate_hz)
        except Exception as error:  # pyadi-iio raises whatever comes
            raise self._failure(error, "sampling_frequency", f"{rate_hz:.0f}") from error
        self._compare("sample_rate_hz", rate_hz, self._read(attributes, "sampling_frequency"), rate_hz * 1e-5)

    def _set_lo(self, channel, name, lo_hz):
        attributes = self._channel(channel, True).attrs
        low, _, high = self._range(attributes, "frequency_available", (70e6, 1, 6e9))
        if not low <= lo_hz <= high:
            raise RadioError(
                f"{self.uri}: {name} is {lo_hz / 1e6:g} MHz, this radio takes {low / 1e6:g} to {high / 1e6:g} MHz"
            )
        self._write(attributes, "frequency", str(round(lo_hz)))
        self._compare(name, lo_hz, self._read(attributes, "frequency"), 20.0)

    def _set_gain(self, channel, output, name, gain_db, tolerance_db):
        attributes = self._channel(channel, output).attrs
        low, _, high = self._range(attributes, "hardwaregain_available", (-89.75, 0.25, 0) if output else (-3, 1, 71))
        if not low <= gain_db <= high:
            shown = (0.0 - high, -low, -gain_db) if output else (low, high, gain_db)
            raise RadioError(f"{self.uri}: {name} is {shown[2]:g}, this radio takes {shown[0]:g} to {shown[1]:g}")
        self._write(attributes, "hardwaregain", f"{gain_db:.2f}")
        self._compare(name, gain_db, self._read(attributes, "hardwaregain"), tolerance_db)

    def _set_bandwidth(self):
        bandwidth_hz = self.config.bandwidth_hz or max(200e3, self.config.sample_rate_hz)
        for output in (False, True):
            attributes = self._channel("voltage0", output).attrs
            low, _, high = self._range(attributes, "rf_bandwidth_available", (200e3, 1, 56e6))
            self._write(attributes, "rf_bandwidth", str(round(min(max(bandwidth_hz, low), high))))

    def set_tx_attenuation_db(self, attenuation_db: float) -> None:
        with self._attributes:
            self._set_gain("voltage0", True, "tx_attenuation_db", -float(attenuation_db), 0.25)
            self.settings["tx_attenuation_db"] = -self._read(self._channel("voltage0", True).attrs, "hardwaregain")

    def set_rx_gain_db(self, gain_db: float) -> None:
        with self._attributes:
            self._set_gain("voltage0", False, "rx_gain_db", float(gain_db), 1.0)
            self.settings["rx_gain_db"] = self._read(self._channel("voltage0", False).attrs, "hardwaregain")

    def _read_back(self, serial):
        """What the radio says of itself, for the manifest."""
        context, config = self._sdr.ctx, self.config
        receive, send = self._channel("voltage0", False).attrs, self._channel("voltage0", True).attrs
        self.settings = {
            "kind": "pluto",
            "uri": self.uri,
            "serial": serial,
            "model": context.attrs.get("hw_model"),
            "firmware": context.attrs.get("fw_version"),
            "sample_rate_hz": self._read(receive, "sampling_frequency"),
            "rx_bandwidth_hz": self._read(receive, "rf_bandwidth"),
            "tx_bandwidth_hz": self._read(send, "rf_bandwidth"),
            "loopback": config.loopback,
        }
        if "xo_correction" in self._phy.attrs:
            self.settings["xo_correction_hz"] = self._read(self._phy.attrs, "xo_correction")
        if config.rx_lo_hz is not None:
            self.settings |= {
                "rx_lo_hz": self._read(self._channel("altvoltage0", True).attrs, "frequency"),
                "rx_gain_mode": receive["gain_control_mode"].value,
                "rx_gain_db": self._read(receive, "hardwaregain"),
            }
        if config.tx_lo_hz is not None:
            self.settings |= {
                "tx_lo_hz": self._read(self._channel("altvoltage1", True).attrs, "frequency"),
                "tx_attenuation_db": -self._read(send, "hardwaregain"),
            }

    def _compare(self, name, wanted, really, tolerance):
        if abs(wanted - really) > tolerance:
            raise RadioError(f"{self.uri}: {name} was set to {wanted:.10g}, but the radio says {really:.10g}")

    def _range(self, attributes, name, otherwise):
        """(low, step, high) of an attribute such as "[70000000 1 6000000000]"; ``otherwise`` on old firmware."""
        if name not in attributes:
            return otherwise
        numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*", attributes[name].value)]
        return tuple(numbers) if len(numbers) == 3 else otherwise

    def _read(self, attributes, name) -> float:
        """The number of an attribute; some have a unit behind it."""
        try:
            return float(attributes[name].value.split()[0])
        except (KeyError, OSError) as error:
            raise self._failure(error, name) from error

    def _write(self, attributes, name, value):
        try:
            attributes[name].value = value
        except (KeyError, OSError) as error:
            raise self._failure(error, name, value) from error

    def _failure(self, error, name, value=None):
        if isinstance(error, KeyError) or getattr(error, "errno", None) == errno.ENOENT:
            return RadioError(f"{self.uri}: its firmware has no attribute '{name}': update the Pluto's firmware")
        what = f"attribute '{name}'" + ("" if value is None else f" cannot be set to {value}")
        if getattr(error, "errno", None) in (errno.EINVAL, errno.ERANGE):
            return RadioError(f"{self.uri}: {what}: out of the radio's range")
        return RadioError(f"{self.uri}: {what}: {getattr(error, 'strerror', None) or error}; is it still there?")

    # Samples

    def transmit(self, samples: np.ndarray) -> None:
        values, clipped = to_int16(samples)
        with self._locks["tx"]:
            self._check_alive("tx")
            self._switch_on()
            self.counters.clipped += clipped
            if len(self._pending):
                values = np.concatenate([self._pending, values])
            size = 2 * self.config.tx_len
            whole = len(values) // size * size
            for first in range(0, whole, size):
                self._push(values[first : first + size])
                self._pushed += 1
                if self._pushed == self.config.tx_buffers:
                    self._queue_is_full()
            self._pending = values[whole:].copy()

    def feed(self, feed) -> None:
        """Gives the transmitter to a Feed; ``transmit`` is not to be called any more.

        Raises:
            RadioLost, RadioError: the radio has gone, or its transmitter is not set up.
        """
        with self._locks["tx"]:
            self._check_alive("tx")
            _destroy(self._buffers["tx"])
            self._buffers["tx"] = None
            self._switch_on()
            self._feed = feed
        names = ("sample_rate_hz", "tx_buffers", "tx_len", "stall_s")
        settings = {"uri": self.uri} | {name: getattr(self.config, name) for name in names}
        feed.start(settings, self.counters, self._queue_is_full, self._lose)

    def _switch_on(self):
        if not self._sending:
            self._write(self._channel("altvoltage1", True).attrs, "powerdown", "0")
            self._sending = True

    def _queue_is_full(self):
        """Until now the queue has filled, or there was nothing to send: from now on it may not run dry."""
        self._clear_flag("tx", _UNDERFLOW)
        self._in_burst = True

    def flush(self) -> None:
        with self._locks["tx"]:
            if len(self._pending):
                self._check_alive("tx")
                rest = np.zeros(2 * self.config.tx_len, np.int16)
                rest[: len(self._pending)] = self._pending
                self._pending = self._pending[:0]
                self._push(rest)
            self._in_burst, self._pushed = False, 0

    def receive(self, count: int) -> np.ndarray:
        parts, got = [self._spare] if len(self._spare) else [], len(self._spare)
        with self._locks["rx"]:
            while got < count:
                self._check_alive("rx")
                if self._stale:
                    self._refresh()
                parts.append(from_int16(self._refill()))
                got += len(parts[-1])
        samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._spare = samples[count:]
        return samples[:count]

    def _push(self, values):
        buffer = self._buffers["tx"]
        with self._transfer("tx"):
            buffer.write(bytearray(values))
            buffer.push()

    def _refill(self):
        buffer = self._buffers["rx"]
        with self._transfer("rx"):
            buffer.refill()
            return np.frombuffer(buffer.read(), np.int16)

    def _refresh(self):
        """A new buffer: what lies in the kernel's was received long ago, or on another frequency."""
        self._stale = False
        self._buffers["rx"] = None
        try:
            self._open_buffer("rx")
        except RadioError as error:  # it was open before: the link has gone meanwhile
            self._lose("its buffer cannot be opened again")
            raise RadioLost(str(error)) from None
        self._spare = self._spare[:0]
        for _ in range(_FRESH_DROP):
            self._refill()

    @contextlib.contextmanager
    def _transfer(self, side):
        self._since[side] = time.monotonic()
        try:
            yield
        except OSError as error:
            self._lose(f"{error.strerror or error}")
            raise RadioLost(f"{self.uri}: {self._lost}") from error
        finally:
            self._since[side] = None

    def _open_buffer(self, side):
        config = self.config
        length = config.tx_len if side == "tx" else config.buffer_len
        try:
            self._buffers[side] = open_buffer(self._data[side], side, getattr(config, f"{side}_buffers"), length)
        except OSError as error:
            if error.errno == errno.EBUSY:
                part = "transmitter" if side == "tx" else "receiver"
                raise RadioError(f"{self.uri}: another program uses its {part}: end that one first") from None
            raise RadioError(f"{self.uri}: no buffer ({error.strerror}); is the radio still there?") from None

    def _check_alive(self, side):
        if self._closed:
            raise RadioLost(f"{self.uri}: closed")
        if self._lost:
            raise RadioLost(f"{self.uri}: {self._lost}")
        if self._buffers[side] is None:
            raise RadioError(f"{self.uri}: its {side}_lo_hz is not set: this direction is off")

    # Watching

    def _watch(self):
        """Ends a transfer that stalls, and asks for the flags of lost samples once a second."""
        asked_s = time.monotonic()
        while not self._stop.wait(_WATCH_S):
            now_s = time.monotonic()
            for side, since_s in self._since.items():
                if since_s is not None and now_s - since_s > self.config.stall_s:
                    self._lose(f"no {side} samples have passed for {self.config.stall_s:g} s")
            if self._lost:
                return
            if now_s - asked_s > _FLAGS_EVERY_S:
                asked_s = now_s
                with self._attributes, contextlib.suppress(OSError):
                    self._count_flags()

    def _count_flags(self):
        for side, flag, name in (("rx", _OVERFLOW, "overflows"), ("tx", _UNDERFLOW, "underflows")):
            counts = not self._stale if side == "rx" else self._sending and self._in_burst
            if not self._closed and self._data[side].reg_read(_FLAGS) & flag:
                self._clear_flag(side, flag)
                if counts:
                    setattr(self.counters, name, getattr(self.counters, name) + 1)

    def _clear_flag(self, side, flag):
        with contextlib.suppress(OSError):
            self._data[side].reg_write(_FLAGS, flag)

    def _lose(self, why):
        if self._lost is None and not self._closed:
            self._lost = why
            _LOG.warning("%s: %s", self.uri, why)
            self._cancel()

    def _cancel(self):
        for buffer in self._buffers.values():
            if buffer is not None:
                with contextlib.suppress(OSError):
                    buffer.cancel()

    # Off

    def _silence(self):
        """Whatever is set: tones off, TX LO off. Raises RadioError where the firmware cannot."""
        for channel in self._data["tx"].channels:
            if channel.output and "raw" in channel.attrs and "scale" in channel.attrs:
                self._write(channel.attrs, "raw", "0")
                self._write(channel.attrs, "scale", "0.0")
        self._write(self._channel("altvoltage1", True).attrs, "powerdown", "1")

    def close(self) -> None:
        if self._feed is not None:
            self._end_feed()
        with self._attributes:
            if self._closed:
                return
            self._closed = True
            self._stop.set()
            for side, lock in self._locks.items():
                if not lock.acquire(timeout=_CLOSE_CALMLY_S):  # a transfer that does not end: libiio complains
                    self._cancel()
                    if not lock.acquire(timeout=_CLOSE_WAIT_S):
                        continue
                _destroy(self._buffers[side])
                self._buffers[side] = None
                lock.release()
            if hasattr(self, "_data"):
                try:
                    self._silence()
                except (RadioError, OSError) as error:
                    if self._lost is None:
                        _LOG.error("the transmitter of %s could not be switched off: %s", self.uri, error)
            off_switch.release(self)
            self._phy = self._data = self._sdr = None

    def _end_feed(self):
        if self._in_burst and self._lost is None:
            with self._attributes, contextlib.suppress(OSError):
                self._count_flags()
        self._in_burst = False  # that the queue runs out now is no fault
        self._feed.stop()


def _destroy(buffer):
    """Now, not when its last reference goes: a signal may have come in the midst of a transfer."""
    if buffer is not None:
        buffer.__del__()
        buffer._buffer = None


def load_libraries() -> None:
    """Import libiio and pyadi-iio now: later it would take seconds of a running flowgraph."""
    import adi  # noqa: F401
    import iio  # noqa: F401


def find_uri(uri: str) -> str:
    """The libiio URI; ``serial:NUMBER`` is looked for on USB.

    Raises:
        RadioError: no such radio is plugged in.
    """
    if not uri.startswith("serial:"):
        return uri
    import iio

    serial = uri.removeprefix("serial:")
    found = {uri: text for uri, text in iio.scan_contexts().items() if uri.startswith("usb:")}
    right = [uri for uri, text in found.items() if re.search(rf"serial={re.escape(serial)}$", text.strip())]
    if len(right) == 1:
        return right[0]
    plugged = "; ".join(f"{uri} ({text})" for uri, text in found.items()) or "none"
    raise RadioError(f"{uri}: no such radio on USB; plugged in: {plugged}")


def _connect(uri):
    import adi
    import iio

    try:
        context = iio.Context(uri)
    except OSError as error:
        raise RadioError(
            f"{uri}: no radio answers ({error.strerror or error}). Is it plugged in and has it started, is the address "
            f"right? Try: iio_info -u {uri} (iio_info -s lists those on USB)"
        ) from None
    try:
        return adi.Pluto(context)
    except Exception as error:  # pyadi-iio raises bare Exceptions
        raise RadioError(f"{uri}: answers, but is not a Pluto ({error})") from None
