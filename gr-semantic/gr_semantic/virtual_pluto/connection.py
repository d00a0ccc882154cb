# SPDX-License-Identifier: GPL-3.0-or-later
"""One client's connection: the text protocol of libiio 0.x.

A request is a line; the answer begins with a line that holds a number, negative for an errno.
"""

import contextlib
import errno
import inspect
import select
import socket
import threading
import time

from gr_semantic.virtual_pluto.attributes import Attributes, whole
from gr_semantic.virtual_pluto.buffers import RxBuffer, TxBuffer
from gr_semantic.virtual_pluto.context_xml import VERSION
from gr_semantic.virtual_pluto.iio_errors import IioError

_MAX_LINE = 4096
_MAX_ATTRIBUTE_BYTES = 1 << 20
_MAX_BUFFER_BYTES = 1 << 28
_RECEIVE_BYTES = 1 << 16
_BUSY_S, _BUSY_POLL_S = 0.2, 0.01


class _Gone(Exception):
    """The client has closed the connection, or speaks nonsense too long to go on."""


class Connection:
    """Serves one socket until the client goes. The buffers that it opened are closed then.

    Args:
        sock: connected; closed at the end.
        pluto: Pluto.
    """

    def __init__(self, sock: socket.socket, pluto):
        self._sock, self._pluto = sock, pluto
        self._silent, self._ended = False, threading.Event()
        self._received = bytearray()
        self._buffers: dict[str, TxBuffer | RxBuffer] = {}
        self._commands = {
            "HELP": self._help,
            "VERSION": self._version,
            "PRINT": self._print,
            "TIMEOUT": self._timeout,
            "READ": self._read,
            "WRITE": self._write,
            "OPEN": self._open,
            "CLOSE": self._close,
            "READBUF": self._readbuf,
            "WRITEBUF": self._writebuf,
            "GETTRIG": self._trigger,
            "SETTRIG": self._trigger,
            "SET": self._set,
        }
        self._signatures = {name: inspect.signature(handler) for name, handler in self._commands.items()}

    def serve(self) -> None:
        """Returns when the connection has ended, in whatever way."""
        try:
            while True:
                words = self._line().split()
                if words and not self._answer(words):
                    return
        except (OSError, _Gone):
            return
        finally:
            for buffer in self._buffers.values():
                self._pluto.close_buffer(buffer)
            self.end()
            self._sock.close()

    def end(self) -> None:
        """From another thread: makes ``serve`` return soon."""
        self._ended.set()
        with contextlib.suppress(OSError):  # the client was faster
            self._sock.shutdown(socket.SHUT_RDWR)

    def fall_silent(self) -> None:
        """From another thread: no more answers, but the connection stays open."""
        self._silent = True

    def _answer(self, words):
        """Whether the connection goes on."""
        command = words[0].upper()
        if command == "EXIT":
            return False
        try:
            if command not in self._commands:
                raise IioError(errno.EINVAL)
            try:
                self._signatures[command].bind(*words[1:])
            except TypeError:  # too few or too many words
                raise IioError(errno.EINVAL) from None
            self._commands[command](*words[1:])
        except IioError as error:
            self._send_number(-error.number)
            return error.number != errno.EPIPE
        return True

    # ---- the wire

    def _line(self):
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > _MAX_LINE:
                self._send_number(-errno.EINVAL)
                raise _Gone
            self._receive()
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line.decode("latin-1").strip("\r\n \0")

    def _bytes(self, count):
        data = bytearray(count)
        view, filled = memoryview(data), min(count, len(self._received))
        view[:filled] = self._received[:filled]
        del self._received[:filled]
        while filled < count:
            received = self._sock.recv_into(view[filled:])
            if not received:
                raise _Gone
            filled += received
        return data

    def _receive(self):
        data = self._sock.recv(_RECEIVE_BYTES)
        if not data:
            raise _Gone
        self._received += data

    def _gone(self):
        """Whether the client has closed its end; asked while it waits for samples."""
        readable, _, _ = select.select([self._sock], [], [], 0)
        if not readable:
            return False
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _send(self, data: bytes):
        if self._silent:
            self._ended.wait()
            raise _Gone
        self._sock.sendall(data)

    def _send_number(self, value):
        self._send(b"%d\n" % value)

    def _send_text(self, text: bytes):
        self._send(b"%d\n%s\n" % (len(text), text))

    # ---- commands without a device

    def _help(self):
        self._send((" ".join([*self._commands, "EXIT"]) + "\n").encode())

    def _version(self):
        major, minor, git = VERSION
        self._send(f"{major}.{minor}.{git:<7}\n".encode())

    def _print(self):
        self._send_text(self._pluto.xml)

    def _timeout(self, milliseconds):
        value = whole(milliseconds)
        if value < 0:
            raise IioError(errno.EINVAL)
        self._pluto.timeout_s = value / 1000 if value else None
        self._send_number(0)

    # ---- attributes

    def _attributes(self, device, words, data_follows=False):
        """The attributes meant by [INPUT CHANNEL | OUTPUT CHANNEL | DEBUG | BUFFER] and the words after that."""
        device = self._pluto.device(device)
        kind = words[0].upper() if words else ""
        if kind in ("INPUT", "OUTPUT") and len(words) >= 2:
            return device.channel(kind == "OUTPUT", words[1]).attributes, words[2:]
        if kind == "DEBUG":
            return device.debug_attributes, words[1:]
        if kind == "BUFFER":
            return device.buffer_attributes, words[1:]
        return device.attributes, words

    def _read(self, device, *words):
        attributes, names = self._attributes(device, words)
        if len(names) > 1:
            raise IioError(errno.EINVAL)
        if names:
            self._send_text(attributes.find(names[0]).get().encode() + b"\0")
        else:
            self._send_text(_read_all(attributes))

    def _write(self, device, *words):
        if not words:
            raise IioError(errno.EINVAL)
        count = whole(words[-1])
        if not 0 <= count <= _MAX_ATTRIBUTE_BYTES:
            self._send_number(-errno.EINVAL)
            raise _Gone  # what follows cannot be told from requests
        data = bytes(self._bytes(count))
        attributes, names = self._attributes(device, words[:-1])
        if len(names) > 1:
            raise IioError(errno.EINVAL)
        if names:
            attributes.find(names[0]).set(_text(data))
        else:
            _write_all(attributes, data)
        self._send_number(count)

    # ---- buffers

    def _open(self, device, samples, mask, cyclic=None):
        device = self._pluto.device(device)
        if cyclic not in (None, "CYCLIC") or device.id in self._buffers:
            raise IioError(errno.EBUSY if device.id in self._buffers else errno.EINVAL)
        try:
            bits = int(mask, 16)
        except ValueError:
            raise IioError(errno.EINVAL) from None
        end = time.monotonic() + _BUSY_S
        while device.id not in self._buffers:
            try:
                self._buffers[device.id] = self._pluto.open_buffer(device, whole(samples), bits, cyclic is not None)
            except IioError as error:
                # A client that cancels its buffer drops the connection, and may be back before that has been noticed.
                if error.number != errno.EBUSY or time.monotonic() >= end:
                    raise
                time.sleep(_BUSY_POLL_S)
        self._send_number(0)

    def _close(self, device):
        device = self._pluto.device(device)
        if device.id not in self._buffers:
            raise IioError(errno.EBADF)
        self._pluto.close_buffer(self._buffers.pop(device.id))
        self._send_number(0)

    def _buffer(self, device, kind):
        buffer = self._buffers.get(self._pluto.device(device).id)
        if not isinstance(buffer, kind):
            raise IioError(errno.EBADF)
        return buffer

    def _readbuf(self, device, count):
        buffer = self._buffer(device, RxBuffer)
        left, mask = whole(count), b"%08x\n" % buffer.mask  # the mask stands before the first samples only
        if not 0 < left <= _MAX_BUFFER_BYTES or left % buffer.sample_bytes:
            raise IioError(errno.EINVAL)
        while left:
            data = buffer.read(left, self._pluto.timeout_s, self._gone)
            self._send(b"%d\n%s%s" % (len(data), mask, data))  # in one piece: the client wakes once
            left, mask = left - len(data), b""

    def _writebuf(self, device, count):
        buffer = self._buffer(device, TxBuffer)
        buffer.check_writable()
        count = whole(count)
        if not 0 < count <= buffer.samples * buffer.sample_bytes or count % buffer.sample_bytes:
            raise IioError(errno.EINVAL)
        self._send_number(0)
        buffer.write(self._bytes(count), self._pluto.timeout_s, self._gone)
        self._send_number(count)

    def _trigger(self, device, *_):
        self._pluto.device(device)
        raise IioError(errno.ENOENT)

    def _set(self, device, what, count):
        if what.upper() != "BUFFERS_COUNT":
            raise IioError(errno.EINVAL)
        self._pluto.set_depth(self._pluto.device(device), whole(count))
        self._send_number(0)


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("latin-1")


def _read_all(attributes: Attributes) -> bytes:
    """Each value with its length before it (big-endian, 4 bytes; -errno if it cannot be read), padded to 4 bytes."""
    out = bytearray()
    for attribute in attributes.values():
        try:
            value = attribute.get().encode() + b"\0"
        except IioError as error:
            out += (-error.number).to_bytes(4, "big", signed=True)
            continue
        out += len(value).to_bytes(4, "big") + value + bytes(-len(value) % 4)
    return bytes(out)


def _write_all(attributes: Attributes, data: bytes) -> None:
    """The reverse of ``_read_all``; values of length 0 are left alone."""
    for attribute in attributes.values():
        length = int.from_bytes(data[:4], "big", signed=True)
        if len(data) < 4 or length > len(data) - 4:
            raise IioError(errno.EINVAL)
        if length > 0:
            attribute.set(_text(data[4 : 4 + length]))
            data = data[4 + length + -length % 4 :]
        else:
            data = data[4:]
