# SPDX-License-Identifier: GPL-3.0-or-later
"""Every radio that is open is closed, transmitter off, on whichever way the process ends; only kill -9 is faster."""

import atexit
import contextlib
import os
import signal
import threading
import weakref

_RADIOS = weakref.WeakSet()
_LOCK = threading.Lock()
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_armed = False
ending = False  # no radio is opened any more


def guard(radio) -> None:
    """From now on ``radio.close()`` is called when the process ends: exit, exception, Ctrl-C, SIGTERM, SIGHUP.

    A signal's default action would end the process at once, so a handler takes its place, where nobody else has
    installed one. Python allows that in the main thread only: a program that opens radios elsewhere must handle its
    signals (the ``gr-semantic`` commands do).
    """
    with _LOCK:
        _RADIOS.add(radio)
    arm()


def arm() -> None:
    """Install what closes radios; ``guard`` does it too."""
    global _armed
    with _LOCK:
        if not _armed:
            _armed = True
            atexit.register(close_all)
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _end)


def release(radio) -> None:
    """``radio`` is closed."""
    with _LOCK:
        _RADIOS.discard(radio)


def close_all() -> None:
    """Close every radio that is open; one that fails does not keep the others on."""
    global ending
    ending = True
    with _LOCK:
        radios = list(_RADIOS)
    for radio in radios:
        with contextlib.suppress(Exception):
            radio.close()


def _end(number, _frame):
    close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
