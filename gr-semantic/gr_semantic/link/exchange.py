# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a piece of signal from one radio to another and returns what was heard meanwhile."""

import threading
import time
from dataclasses import dataclass

import numpy as np

from gr_semantic.errors import UserError
from gr_semantic.radio import RadioKeeper

_BEFORE_S, _AFTER_S = 0.05, 0.25
_STUCK_S = 20.0


@dataclass(frozen=True)
class Heard:
    """samples (complex64, full scale 1.0). arrived: (samples until then, monotonic wall clock), rising. sent_s: when
    the transmitter was given the signal."""

    samples: np.ndarray
    arrived: list[tuple[int, float]]
    sent_s: float

    def arrival_s(self, sample: int) -> float:
        """When that sample was here."""
        return next((time_s for count, time_s in self.arrived if count > sample), self.arrived[-1][1])


def exchange(
    sender: RadioKeeper | None,
    receiver: RadioKeeper,
    samples: np.ndarray,
    stop=lambda: False,
    zeros_follow: bool = False,
) -> Heard:
    """Send ``samples`` (complex64, unit mean power: it leaves at the radio's back-off) and receive until a quarter of a
    second after their end. The two may be one radio. sender None: only listen, for as long.

    Args:
        stop: asked now and then; True: give up with what was heard.
        zeros_follow: the transmitter goes on with zeros until all is heard: a patient air (docs/virtual-pluto.md) takes
            the end for a sender that is late, and stands still.

    Raises:
        UserError: a radio is lost for good, or nothing passes.
    """
    rate_hz = receiver.config.sample_rate_hz
    parts, got, arrived, sent_s = [], 0, [], []
    sent, heard_all = threading.Event(), threading.Event()
    receiver.drop_received()

    def send():
        time.sleep(_BEFORE_S)
        sent_s.append(time.monotonic())
        scale, size = np.float32(10 ** (-sender.config.backoff_db / 20)), sender.config.tx_len
        for first in range(0, len(samples), size):
            if stop() or not sender.transmit(samples[first : first + size] * scale):
                break
        if zeros_follow:
            sent.set()
            while not heard_all.is_set() and sender.transmit(np.zeros(size, np.complex64)):
                pass
        sender.flush()
        sent.set()

    thread = threading.Thread(target=send, name="exchange", daemon=True)
    if sender is not None:
        thread.start()
    wanted, heard_s = None, time.monotonic()
    try:
        while wanted is None or got < wanted:
            if stop():
                break
            part = receiver.receive(1 << 16)
            now_s = time.monotonic()
            if len(part):
                heard_s = now_s
                parts.append(part)
                got += len(part)
                arrived.append((got, now_s))
            failed = receiver.failed or (sender.failed if sender else None)
            if failed:
                raise UserError(f"the radio was lost: {failed}")
            if now_s - heard_s > _STUCK_S:
                raise UserError(f"radio {receiver.name} has given no samples for {_STUCK_S:.0f} s")
            if wanted is None and sender is None:
                wanted = len(samples)
            elif wanted is None and sent.is_set():
                # What the transmitter still holds, and what is on its way.
                wanted = got + round(_AFTER_S * rate_hz) + sender.config.tx_buffers * sender.config.tx_len
    finally:
        heard_all.set()
        if zeros_follow:
            thread.join(_STUCK_S)  # its zeros must not get among the samples of a next call
    heard = np.concatenate(parts) if parts else np.zeros(0, np.complex64)
    return Heard(heard, arrived, sent_s[0] if sent_s else heard_s)
