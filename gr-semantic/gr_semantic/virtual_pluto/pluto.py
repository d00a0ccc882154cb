# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual Pluto: its transceiver, its two data devices with their buffers, and the context that clients see."""

import errno
import hashlib
import threading

from gr_semantic.errors import UserError
from gr_semantic.virtual_pluto.attributes import Device, whole
from gr_semantic.virtual_pluto.buffers import DEFAULT_BLOCKS, MAX_BLOCKS, RxBuffer, TxBuffer
from gr_semantic.virtual_pluto.config import RadioConfig
from gr_semantic.virtual_pluto.context_xml import context_xml
from gr_semantic.virtual_pluto.data_devices import RX_ID, TX_ID, rx_device, tx_device
from gr_semantic.virtual_pluto.iio_errors import IioError
from gr_semantic.virtual_pluto.monitor_devices import xadc_device
from gr_semantic.virtual_pluto.phy_device import phy_device
from gr_semantic.virtual_pluto.transceiver import Transceiver

_FIRMWARE = "v0.38"
_KERNEL = "5.15.0-gr-semantic"
_TIMEOUT_S = 2.5
_STATUS_REGISTER = 0x80000088
UNDERFLOW, OVERFLOW = 1, 4


class Pluto:
    """A Pluto that has just been powered on.

    Its lock guards the transceiver, the registers and which buffers are open; buffers have locks of their own.

    transceiver: Transceiver. timeout_s: how long buffers make a client wait, None: for ever. tx, rx: the open TxBuffer
    and RxBuffer, or None. rssi_db: what the attribute reads; the air sets it. clipped, overflows, underflows: samples
    that the receive converter clipped, receive blocks dropped, and steps of the air that found the transmit queue
    empty, since power-on.
    """

    def __init__(self, config: RadioConfig, serial: str):
        self.lock = threading.RLock()
        self.transceiver = Transceiver(model=config.model)
        self.serial = serial
        self.timeout_s: float | None = _TIMEOUT_S
        self.tx: TxBuffer | None = None
        self.rx: RxBuffer | None = None
        self.rssi_db = 114.75
        self.clipped = self.overflows = self.underflows = 0
        self._depths = {RX_ID: DEFAULT_BLOCKS, TX_ID: DEFAULT_BLOCKS}
        self._registers: dict[tuple[str, int], int] = {("iio:device0", 0x37): 0x0A}
        self._address: dict[str, int] = {}
        self.devices: list[Device] = [phy_device(self), xadc_device(), tx_device(self), rx_device(self)]
        for name in config.without:
            self._remove_attribute(name)
        facts = {
            "hw_model": f"Analog Devices PlutoSDR Rev.C (Z7010-{config.model.upper()})",
            "hw_model_variant": "0",
            "hw_serial": serial,
            "fw_version": _FIRMWARE,
            "ad9361-phy,xo_correction": str(self.transceiver.xo_hz),
            "ad9361-phy,model": config.model,
            "local,kernel": _KERNEL,
        }
        self.xml = context_xml(self.devices, facts, f"Linux (none) {_KERNEL} armv7l, virtual").encode()

    def device(self, name: str) -> Device:
        """By id or name. IioError ENODEV if there is none."""
        for device in self.devices:
            if name in (device.id, device.name):
                return device
        raise IioError(errno.ENODEV)

    def open_buffer(self, device: Device, samples: int, mask: int, cyclic: bool) -> TxBuffer | RxBuffer:
        """IioError: EBUSY it is open already, EINVAL wrong size or mask, or the device has no buffer."""
        with self.lock:
            depth = self._depths.get(device.id)
            if depth is None:
                raise IioError(errno.EINVAL)
            if device.id == TX_ID:
                if self.tx is not None:
                    raise IioError(errno.EBUSY)
                self.tx = TxBuffer(samples, mask, depth, cyclic)
                return self.tx
            if cyclic:
                raise IioError(errno.EINVAL)
            if self.rx is not None:
                raise IioError(errno.EBUSY)
            self.rx = RxBuffer(samples, mask, depth)
            return self.rx

    def close_buffer(self, buffer: TxBuffer | RxBuffer) -> None:
        """Samples that have not been sent yet are lost, as on the device."""
        with self.lock:
            if self.tx is buffer:
                self.tx = None
            if self.rx is buffer:
                self.rx = None
        buffer.close()

    def set_depth(self, device: Device, blocks: int) -> None:
        """Blocks in the queue of the next buffer. IioError: EBUSY, EINVAL."""
        with self.lock:
            if device.id not in self._depths:
                raise IioError(errno.EINVAL)
            if (self.tx if device.id == TX_ID else self.rx) is not None:
                raise IioError(errno.EBUSY)
            if not 1 <= blocks <= MAX_BLOCKS:
                raise IioError(errno.EINVAL)
            self._depths[device.id] = blocks

    def power_off(self) -> None:
        """Closes the buffers."""
        for buffer in (self.tx, self.rx):
            if buffer is not None:
                self.close_buffer(buffer)

    def note_overflow(self) -> None:
        self.overflows += 1
        self._raise_flag(RX_ID, OVERFLOW)

    def note_underflow(self) -> None:
        self.underflows += 1
        self._raise_flag(TX_ID, UNDERFLOW)

    def read_register(self, device_id: str) -> str:
        """Debug attribute direct_reg_access: the register last written to it."""
        with self.lock:
            return f"0x{self._registers.get((device_id, self._address.get(device_id, 0)), 0):X}"

    def write_register(self, device_id: str, text: str) -> None:
        """ "ADDRESS" selects a register, "ADDRESS VALUE" writes it; ones clear the flags of the status register."""
        words = [whole(word) for word in text.split()]
        if not 1 <= len(words) <= 2 or not all(0 <= word < 1 << 32 for word in words):
            raise IioError(errno.EINVAL)
        with self.lock:
            self._address[device_id] = words[0]
            if len(words) == 2:
                key = device_id, words[0]
                value = words[1]
                if words[0] == _STATUS_REGISTER:
                    value = self._registers.get(key, 0) & ~value
                if len(self._registers) < 4096 or key in self._registers:
                    self._registers[key] = value

    def _remove_attribute(self, name):
        found = False
        for device in self.devices:
            groups = [device.attributes, device.debug_attributes, device.buffer_attributes]
            for attributes in [*groups, *(channel.attributes for channel in device.channels)]:
                found |= attributes.pop(name, None) is not None
        if not found:
            raise UserError(f"virtual-pluto: without names '{name}', which is no attribute of a Pluto")

    def _raise_flag(self, device_id, flag):
        with self.lock:
            key = device_id, _STATUS_REGISTER
            self._registers[key] = self._registers.get(key, 0) | flag


def serial_number(config: RadioConfig, seed: int, place: int) -> str:
    """The configured serial, or 34 hex digits as the factory prints them."""
    return config.serial or "1044" + hashlib.sha256(f"{seed}/{place}".encode()).hexdigest()[:30]
