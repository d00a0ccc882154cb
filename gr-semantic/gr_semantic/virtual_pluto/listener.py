# SPDX-License-Identifier: GPL-3.0-or-later
"""The port of one virtual Pluto: accepts clients while it is plugged in."""

import contextlib
import socket
import struct
import threading

from gr_semantic.errors import UserError
from gr_semantic.virtual_pluto.connection import Connection

HOST = "127.0.0.1"
_MAX_CLIENTS = 32
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Listener:
    """One radio's port. The port stays the same when the radio is unplugged and plugged in again.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, port: int):
        self._lock = threading.Lock()
        self._connections: dict[Connection, tuple[socket.socket, threading.Thread]] = {}
        self._pluto = None
        self._silent = False
        self._socket = self._bind(port)
        self.port = self._socket.getsockname()[1]
        self._accepting = None

    def plug_in(self, pluto) -> None:
        """Serve this Pluto from now on."""
        with self._lock:
            before = list(self._connections.items())
            self._pluto, self._silent = pluto, False
        self._drop(before, reset=True)
        if self._accepting is None:
            self._socket.listen()
            self._accepting = threading.Thread(target=self._accept, args=(self._socket,), name=f"accept-{self.port}")
            self._accepting.start()

    def unplug(self, silent: bool) -> None:
        """Clients are thrown out and new ones refused; silent: they wait for answers that do not come."""
        with self._lock:
            self._pluto, self._silent = None, silent
            for connection in self._connections if silent else ():
                connection.fall_silent()
        if not silent:
            self._stop_accepting()
            self._drop_connections(reset=True)
            self._socket = self._bind(self.port)  # not listening, but nobody else's meanwhile

    def close(self) -> None:
        """Throws all clients out and frees the port; every thread has ended then."""
        self._pluto = None
        self._stop_accepting()
        self._drop_connections(reset=False)

    def _bind(self, port):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            listening.close()
            raise UserError(
                f"virtual-pluto: port {port} cannot be opened ({error.strerror}); "
                f"take another with --port, or 0 for a free one"
            ) from None
        return listening

    def _accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            self._start(sock)

    def _start(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            pluto = self._pluto
            if len(self._connections) >= _MAX_CLIENTS or (pluto is None and not self._silent):
                sock.close()
                return
            if pluto is None:
                self._connections[Connection(sock, None)] = (sock, None)
                return
            connection = Connection(sock, pluto)
            thread = threading.Thread(target=self._serve, args=(connection,), name=f"client-{self.port}")
            self._connections[connection] = (sock, thread)
            thread.start()

    def _serve(self, connection):
        connection.serve()
        with self._lock:
            self._connections.pop(connection, None)

    def _stop_accepting(self):
        if self._accepting is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._accepting.join()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._accepting = None

    def _drop_connections(self, reset):
        with self._lock:
            open_now = list(self._connections.items())
        self._drop(open_now, reset)

    def _drop(self, connections, reset):
        for connection, (sock, thread) in connections:
            with contextlib.suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.end()
            if thread is None:
                sock.close()
                with self._lock:
                    self._connections.pop(connection, None)
        for _, (_, thread) in connections:
            if thread is not None and thread is not threading.current_thread():
                thread.join()
