# SPDX-License-Identifier: GPL-3.0-or-later
"""The airs of a comparison by name: simulated channels, and two virtual Plutos, started when they are first needed."""

import contextlib

import numpy as np

from ..errors import UserError
from ..link.exchange import exchange
from ..radio import RadioConfig, RadioKeeper
from .air import MEDIA, PLUTOS, Air, SimulatedAir

_LO_HZ = 2.4e9
_SNR_DB = 62.0  # at an attenuation of 0 dB, see docs/virtual-pluto.md: 7 dBm - 14 dB - 40 dB over -109 dBm of noise
_ATTENUATION_DB = (30.0, 89.75)


class Airs:
    """A context manager: what it started ends with it.

    >>> with Airs() as airs:
    ...     airs("virtual-plutos", snr_db=10.0, seed=1, slot_len=4096).carry(samples)
    """

    def __init__(self):
        self._open = contextlib.ExitStack()
        self._pair: tuple[RadioKeeper, RadioKeeper] | None = None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self._open.close()

    def __call__(self, channel: str, snr_db: float, seed: int, slot_len: int) -> Air:
        """One of MEDIA at an SNR. The radios' noise comes from their own seed, and goes on from point to point."""
        if channel != PLUTOS:
            return SimulatedAir(channel, snr_db, seed, slot_len)
        if self._pair is None:
            self._pair = self._start()
        return PlutoAir(*self._pair, snr_db)

    def _start(self):
        from ..virtual_pluto.virtual_plutos_process import VirtualPlutosProcess

        medium = MEDIA[PLUTOS]
        plutos = self._open.enter_context(VirtualPlutosProcess(medium.fields).start())
        common = {"sample_rate_hz": medium.sample_rate_hz, "buffer_len": 1 << 14, "rx_buffers": 8}
        common["stall_s"] = 5 * medium.fields["patience_s"]
        sender = RadioConfig(uri=plutos.uris[0], tx_lo_hz=_LO_HZ, **common)
        receiver = RadioConfig(uri=plutos.uris[1], rx_lo_hz=_LO_HZ, rx_gain_db=60.0, **common)
        keepers = RadioKeeper("0", sender), RadioKeeper("1", receiver)
        for keeper in reversed(keepers):  # the sender ends first: a patient air would wait for it
            self._open.callback(keeper.close)
            keeper.open()
        return keepers


class PlutoAir:
    """Samples from one Pluto to another, at an SNR that the transmitter's attenuation sets.

    Raises:
        UserError: an SNR out of the attenuator's range; in `carry`: the radios have lost samples.
    """

    def __init__(self, sender: RadioKeeper, receiver: RadioKeeper, snr_db: float):
        self._sender, self._receiver = sender, receiver
        attenuation_db = round(4 * (_SNR_DB - snr_db)) / 4
        low, high = _ATTENUATION_DB
        if not low <= attenuation_db <= high:
            limits = f"{_SNR_DB - high:g} to {_SNR_DB - low:g} dB"
            raise UserError(f"snr_db is {snr_db:g}, on channel {PLUTOS} {limits} are possible")
        sender.set_tx_attenuation_db(attenuation_db)

    def carry(self, samples: np.ndarray) -> np.ndarray:
        self._receiver.drop_received()
        before = self._losses()
        heard = exchange(self._sender, self._receiver, samples, zeros_follow=True).samples
        if self._losses() != before:
            raise UserError(
                f"channel {PLUTOS}: the radios lost samples: is the machine too busy? The same command goes on here"
            )
        return heard

    def _losses(self) -> tuple[int, int]:
        counters = self._receiver.counters
        return counters.overflows, counters.dropped
