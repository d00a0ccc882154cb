# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry point: virtual Plutos as a server in this process."""

import heapq
import itertools
import logging
import threading
import time
from dataclasses import dataclass

from gr_semantic.errors import UserError
from gr_semantic.virtual_pluto.air import Air
from gr_semantic.virtual_pluto.config import Event, Unplug, VirtualPlutosConfig
from gr_semantic.virtual_pluto.listener import HOST, Listener
from gr_semantic.virtual_pluto.pluto import Pluto, serial_number

_log = logging.getLogger(__name__)
_MOST_LATE_S = 0.02
_LEAST_SPACING = 0.7  # of a step, from one's beginning to the next's: who catches up must not empty the clients' queues
_LOOK_S = 0.002  # between looks at a client that is late


@dataclass(frozen=True)
class RadioState:
    """What a test wants to know of a radio. All off or zero while it is unplugged.

    transmitting: TX LO on, and a TX buffer open or a DDS tone on. dds_raw, dds_scales: the four tones' switches and
    amplitudes. overflows: RX blocks dropped; underflows: steps of the air that found the TX queue empty; clipped: RX
    samples beyond the converter's range; all since power-on.
    """

    plugged: bool = False
    transmitting: bool = False
    tx_buffer_open: bool = False
    tx_cyclic: bool = False
    rx_buffer_open: bool = False
    dds_raw: tuple[int, ...] = (0, 0, 0, 0)
    dds_scales: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    tx_lo_powerdown: bool = True
    tx_lo_hz: int = 0
    rx_lo_hz: int = 0
    tx_gain_db: float = 0.0
    rx_gain_db: float = 0.0
    overflows: int = 0
    underflows: int = 0
    clipped: int = 0


class VirtualPlutos:
    """N virtual Plutos on one simulated air, served to libiio clients on loopback ports.

    >>> with VirtualPlutos(VirtualPlutosConfig()).start() as plutos:
    ...     sdr = adi.Pluto(plutos.uris[0])        # "ip:127.0.0.1:PORT", one for each radio
    ...     plutos.state(0).tx_buffer_open         # what the radio is really doing
    ...     plutos.apply(SetPath(**{"from": 0, "to": 1, "gain_db": -80}))     # now, whatever its time_s

    The air runs in a thread of this process; long or fast runs take VirtualPlutosProcess, which has the same methods.

    Args:
        config: VirtualPlutosConfig, or a dict of its fields.

    Raises:
        UserError: a wrong configuration, an unusable recording, a port that is taken (in ``start``).
    """

    def __init__(self, config: VirtualPlutosConfig | dict | None = None):
        if not isinstance(config, VirtualPlutosConfig):
            config = VirtualPlutosConfig.from_dict(config or {})
        self.config = config
        self.slipped_s = 0.0  # wall-clock time by which the air has fallen behind since the start
        self._listeners: list[Listener] = []
        self._plutos: list[Pluto | None] = [None] * len(config.radios)
        self._lock = threading.Lock()  # of _asked
        self._asked: list[Event] = []
        self._order = itertools.count()
        self._due: list[tuple[float, int, Event]] = []  # by air time
        for event in config.events:
            heapq.heappush(self._due, (event.time_s, next(self._order), event))
        self._returning: list[tuple[float, int]] = []  # (when, by time since the start; radio)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    @property
    def uris(self) -> list[str]:
        """One a radio, also of those that are unplugged."""
        return [f"ip:{HOST}:{listener.port}" for listener in self._listeners]

    @property
    def serials(self) -> list[str]:
        """hw_serial of each radio."""
        return [serial_number(radio, self.config.seed, n) for n, radio in enumerate(self.config.radios)]

    @property
    def time_s(self) -> float:
        """Air time."""
        return self._air.time_s

    @property
    def ran_s(self) -> float:
        """Wall-clock time since the start."""
        return time.monotonic() - self._started_s

    def start(self) -> "VirtualPlutos":
        """Open the ports and let time run. Once only."""
        self._started_s = time.monotonic()
        self._air = Air(self.config)
        try:
            for place in range(len(self.config.radios)):
                self._listeners.append(Listener(self.config.port + place if self.config.port else 0))
            for place in range(len(self._plutos)):
                self._plug_in(place)
        except BaseException:
            self._close()
            raise
        self._thread = threading.Thread(target=self._run, name="virtual-pluto-air")
        self._thread.start()
        return self

    def check(self) -> None:
        """RuntimeError if the air has failed, by a mistake of its own."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise RuntimeError("virtual-pluto: the air failed") from failure

    def stop(self) -> None:
        """Throw the clients out, close the ports, end all threads. Harmless when repeated.

        Raises:
            RuntimeError: as ``check``.
        """
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._close()
        self.check()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.stop()

    def state(self, radio: int) -> RadioState:
        """Of this moment."""
        pluto = self._plutos[radio]
        if pluto is None:
            return RadioState()
        with pluto.lock:
            state = pluto.transceiver
            raw = tuple(int(tone.on) for tone in state.tones)
            scales = tuple(tone.scale_lin for tone in state.tones)
            sounding = pluto.tx is not None or any(on and scale for on, scale in zip(raw, scales, strict=True))
            return RadioState(
                plugged=True,
                transmitting=state.transmitting and sounding,
                tx_buffer_open=pluto.tx is not None,
                tx_cyclic=pluto.tx is not None and pluto.tx.cyclic,
                rx_buffer_open=pluto.rx is not None,
                dds_raw=raw,
                dds_scales=scales,
                tx_lo_powerdown=state.tx_lo_off,
                tx_lo_hz=state.tx_lo_hz,
                rx_lo_hz=state.rx_lo_hz,
                tx_gain_db=state.tx_gain_db,
                rx_gain_db=state.rx_gain_db,
                overflows=pluto.overflows,
                underflows=pluto.underflows,
                clipped=pluto.clipped,
            )

    def apply(self, event: Event) -> None:
        """Make an event happen now (with the next step of the air).

        Raises:
            UserError: it names a radio or a path that does not exist.
        """
        try:
            self.config.check_event(event)
        except ValueError as error:
            raise UserError(f"virtual-pluto: {error}") from None
        with self._lock:
            self._asked.append(event)

    def plug_in(self, radio: int) -> None:
        """Give power to a radio that is unplugged, now."""
        self.apply(PlugIn(radio))

    def _run(self):
        try:
            due = began_s = time.monotonic()
            while True:
                tick_s = self._air.tick_s()
                due += tick_s / self.config.speed
                late_s = time.monotonic() - due
                if late_s > _MOST_LATE_S:  # the air waits rather than flooding the clients afterwards
                    due += late_s
                    self.slipped_s += late_s
                begin_s = max(due, began_s + _LEAST_SPACING * tick_s / self.config.speed)
                if self._stopping.wait(max(0.0, begin_s - time.monotonic())):
                    return
                began_s = time.monotonic()
                due += self._wait_for_clients(tick_s)
                self._happen()
                self._air.step(tick_s)
        except Exception as error:
            _log.exception("virtual-pluto: the air failed")
            self._failure = error

    def _wait_for_clients(self, tick_s):
        """Returns for how long, by the wall clock."""
        began_s = time.monotonic()
        if self.config.patience_s == 0:
            return 0.0
        while late := self._air.late_buffers(tick_s):
            if time.monotonic() - began_s > self.config.patience_s:
                for buffer in late:
                    buffer.leave_alone()
            if self._stopping.wait(_LOOK_S):
                break
        return time.monotonic() - began_s

    def _happen(self):
        with self._lock:
            asked, self._asked = self._asked, []
        for event in asked:
            self._handle(event)
        while self._due and self._due[0][0] <= self._air.time_s and self._air.clock_runs:
            self._handle(heapq.heappop(self._due)[2])
        while self._returning and self._returning[0][0] <= self._air.up_s:
            self._handle(PlugIn(heapq.heappop(self._returning)[1]))

    def _handle(self, event):
        if isinstance(event, PlugIn):
            if self._plutos[event.radio] is None:
                self._plug_in(event.radio)
        elif isinstance(event, Unplug):
            self._unplug(event)
        else:
            self._air.apply(event)

    def _unplug(self, event):
        pluto, self._plutos[event.radio] = self._plutos[event.radio], None
        if pluto is None:
            return
        self._air.plug(event.radio, None)
        self._listeners[event.radio].unplug(event.silent)
        pluto.power_off()
        if event.for_s is not None:
            heapq.heappush(self._returning, (self._air.up_s + event.for_s, event.radio))

    def _plug_in(self, radio):
        pluto = Pluto(self.config.radios[radio], self.serials[radio])
        self._air.plug(radio, pluto)
        self._listeners[radio].plug_in(pluto)
        self._plutos[radio] = pluto

    def _close(self):
        for listener in self._listeners:
            listener.close()
        self._air.close()


@dataclass(frozen=True)
class PlugIn:
    """A radio gets its power back."""

    radio: int
