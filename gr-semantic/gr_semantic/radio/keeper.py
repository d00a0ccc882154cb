# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps one radio at work: fetches its samples in time, and brings it back after it was unplugged."""

import threading
import time
from collections import deque
from dataclasses import asdict

import numpy as np

from gr_semantic.radio import off_switch
from gr_semantic.radio.config import RadioConfig
from gr_semantic.radio.interface import Counters, RadioError, RadioLost
from gr_semantic.radio.open import open_radio

_QUEUE_S = 4.0  # of samples that may wait to be fetched here
_PATIENT, _QUEUE_BUFFERS = ("file", "simulated"), 4  # these wait themselves
_RETRY_S = 0.25
_WAIT_S = 0.1


class RadioKeeper:
    """One radio, whose samples a thread fetches as they come, so that a busy reader loses none.

    A radio that is lost (unplugged, stalled) is opened anew with the same settings. Meanwhile ``transmit`` waits and
    ``receive`` gives nothing. After ``config.reconnect_s`` it is given up: ``failed`` says why.

    Args:
        name: for messages: "a".
        config: settings of the radio.
        medium: of simulated radios.

    Attributes:
        failed: why the radio was given up, or None.
        ended: whether the recording of a file radio has been read.
        on_event: called with a line of text when the radio is lost, comes back, or is given up; from any thread.
    """

    def __init__(self, name: str, config: RadioConfig, medium=None):
        self.name, self.config, self.medium = name, config, medium
        self.failed = None
        self.ended = False
        self.on_event = []
        self._radio = None
        self._history = Counters()  # of the radios that were lost
        self._changed = threading.Condition()
        self._waiting = deque()
        self._waiting_count = 0
        self._closing = False
        self._mending = False
        self._feed = None

    def open(self) -> "RadioKeeper":
        """Open the radio and start to receive; a second call does nothing.

        Raises:
            RadioError: it cannot be opened or set as asked; the text begins with the radio's name.
        """
        with self._changed:
            if self._radio is not None or self._closing:
                return self
            try:
                self._radio = open_radio(self.config, self.medium)
            except RadioError as error:
                raise RadioError(f"radio {self.name}: {error}") from None
        if self.config.rx_lo_hz is not None or self.config.recording:
            threading.Thread(target=self._fetch, name=f"radio {self.name}", daemon=True).start()
        return self

    def configure(self, **fields) -> None:
        """Change settings before the radio is opened; checked as a whole."""
        merged = self.config.model_dump(exclude_unset=True) | fields
        self.config = RadioConfig.from_dict(merged, f"radio {self.name}")

    @property
    def realtime(self) -> bool:
        """Whether samples come and go by a clock."""
        return self.config.kind != "file"

    @property
    def settings(self) -> dict:
        """What the radio really set, JSON-ready."""
        radio = self._radio
        return {} if radio is None else dict(radio.settings)

    @property
    def counters(self) -> Counters:
        """Of all the time, over lost and new radios."""
        radio = self._radio
        now = asdict(radio.counters) if radio is not None else {}
        return Counters(**{name: value + now.get(name, 0) for name, value in asdict(self._history).items()})

    def receive(self, count: int, timeout_s: float = _WAIT_S) -> np.ndarray:
        """Up to ``count`` samples (complex64) that have come; empty if none came in time, or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.ended or self.failed or self._closing, timeout_s)
            if not self._waiting:
                return np.zeros(0, np.complex64)
            part = self._waiting.popleft()
            if len(part) > count:
                self._waiting.appendleft(part[count:])
                part = part[:count]
            self._waiting_count -= len(part)
            self._changed.notify_all()
            return part

    def receive_exactly(self, count: int, timeout_s: float = 10.0) -> np.ndarray:
        """Just ``count`` samples.

        Raises:
            RadioError: they do not come in time.
        """
        parts, got, deadline_s = [], 0, time.monotonic() + timeout_s
        while got < count:
            parts.append(self.receive(count - got))
            got += len(parts[-1])
            if self.failed or self.ended or time.monotonic() > deadline_s:
                raise RadioError(f"radio {self.name}: {self.failed or f'only {got} of {count} samples came'}")
        return np.concatenate(parts)

    def drop_received(self) -> None:
        """Forget what was received until now."""
        with self._changed:
            self._waiting.clear()
            self._waiting_count = 0
            self._changed.notify_all()

    def transmit(self, samples: np.ndarray) -> bool:
        """Send samples (complex64, full scale 1.0); blocks as the radio does, and while it is away. False: given up."""
        return self._try(lambda radio: radio.transmit(samples))

    @property
    def feedable(self) -> bool:
        """Whether a Feed can take over the transmitter: the radio takes several clients."""
        return self.config.kind == "pluto" and self.config.uri.startswith("ip:")

    def feed(self, feed) -> None:
        """Give the transmitter to a Feed, also of a radio that comes back; ``transmit`` must not be called then."""
        with self._changed:
            self._feed, radio = feed, self._radio
        try:
            radio.feed(feed)
        except (RadioLost, RadioError) as error:
            self._lose(radio, error)

    def flush(self) -> bool:
        """Send what does not fill a buffer, padded with zeros."""
        return self._try(lambda radio: radio.flush())

    def set_tx_attenuation_db(self, attenuation_db: float) -> None:
        """While running; also kept for a radio that comes back."""
        self._set(tx_attenuation_db=float(attenuation_db))

    def set_rx_gain_db(self, gain_db: float) -> None:
        """While running; also kept for a radio that comes back."""
        self._set(rx_gain_db=float(gain_db))

    def _set(self, **fields):
        self.configure(**fields)
        radio = self._radio
        if radio is not None:
            for name, value in fields.items():
                getattr(radio, f"set_{name}")(value)

    def close(self) -> None:
        """Transmitter off; harmless in any state."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            radio = self._radio
        if radio is not None:
            radio.close()

    def _try(self, action) -> bool:
        while not (self.failed or self._closing):
            with self._changed:
                radio = self._radio
                if self._mending or radio is None:
                    self._changed.wait(_WAIT_S)
                    continue
            try:
                action(radio)
                return True
            except (RadioLost, RadioError) as error:
                self._lose(radio, error)
        return False

    def _fetch(self):
        while not (self.failed or self._closing):
            with self._changed:
                radio = self._radio
                if self._mending:
                    self._changed.wait(_WAIT_S)
                    continue
            try:
                samples = radio.receive(self.config.buffer_len)
            except (RadioLost, RadioError) as error:
                self._lose(radio, error)
                continue
            with self._changed:
                if not len(samples):
                    self.ended = True
                    self._changed.notify_all()
                    return
                waits = self.config.kind in _PATIENT
                most = _QUEUE_BUFFERS * self.config.buffer_len if waits else _QUEUE_S * self.config.sample_rate_hz
                while waits and self._waiting_count >= most and not self._closing:
                    self._changed.wait(_WAIT_S)
                self._waiting.append(samples)
                self._waiting_count += len(samples)
                while not waits and self._waiting_count > most and len(self._waiting) > 1:
                    dropped = len(self._waiting.popleft())
                    self._waiting_count -= dropped
                    self._history.dropped += dropped
                self._changed.notify_all()

    def _lose(self, radio, error):
        with self._changed:
            self._closing |= off_switch.ending  # it was closed on purpose
            if self._mending or self._closing or self._radio is not radio or self.failed:
                return
            self._mending = True
            deadline_s = time.monotonic() + self.config.reconnect_s
        self._say(f"radio {self.name} is lost ({error}); waiting {self.config.reconnect_s:g} s for it")
        threading.Thread(target=self._mend, args=(radio, deadline_s), name="mend", daemon=True).start()
        threading.Thread(target=self._give_up, args=(deadline_s, error), name="give up", daemon=True).start()

    def _mend(self, radio, deadline_s):
        lost_s = time.monotonic()
        radio.close()
        while self._mending and not self._closing:
            try:
                new = self._open_anew()
            except (RadioError, RadioLost):
                time.sleep(min(_RETRY_S, max(0.01, deadline_s - time.monotonic())))
                continue
            with self._changed:
                wanted = self._mending and not self._closing
                if wanted:
                    for name, value in asdict(radio.counters).items():
                        setattr(self._history, name, getattr(self._history, name) + value)
                    self._history.reconnects += 1
                    self._radio, self._mending = new, False
                    self._changed.notify_all()
            if wanted:
                self._say(f"radio {self.name} is back after {time.monotonic() - lost_s:.1f} s; the run goes on")
            else:
                new.close()

    def _open_anew(self):
        radio = open_radio(self.config, self.medium)
        if self._feed is not None:
            try:
                radio.feed(self._feed)
            except BaseException:
                radio.close()
                raise
        return radio

    def _give_up(self, deadline_s, error):
        with self._changed:
            while self._mending and not self._closing and time.monotonic() < deadline_s:
                self._changed.wait(max(0.01, deadline_s - time.monotonic()))
            if not self._mending or self._closing:
                return
            self._mending = False
            self.failed = f"{error}; it did not come back within {self.config.reconnect_s:g} s"
            self._changed.notify_all()
        self._say(f"radio {self.name} is given up: {self.failed}")

    def _say(self, text):
        for listener in list(self.on_event):
            listener(text)
