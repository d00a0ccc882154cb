# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices, channels and attributes as libiio names them, and the kernel's way to read numbers from strings."""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from string import digits

from gr_semantic.virtual_pluto.iio_errors import IioError

_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?( ?dB)?")


@dataclass
class Attribute:
    """A string that can be read and written. read or write None: EACCES. They may raise IioError."""

    name: str
    read: Callable[[], str] | None = None
    write: Callable[[str], None] | None = None

    def get(self) -> str:
        if self.read is None:
            raise IioError(errno.EACCES)
        return self.read()

    def set(self, text: str) -> None:
        if self.write is None:
            raise IioError(errno.EACCES)
        self.write(text)


class Attributes(dict):
    """Attributes by name."""

    def __init__(self, *attributes: Attribute):
        super().__init__((attribute.name, attribute) for attribute in attributes)

    def find(self, name: str) -> Attribute:
        """IioError ENOENT if there is none."""
        if name not in self:
            raise IioError(errno.ENOENT)
        return self[name]


@dataclass
class Channel:
    """A channel of a device.

    scan: (index, data format) if its samples are streamed. shared: attributes that the driver keeps once for all
    channels of this type and direction; their file names have no channel number.
    """

    id: str
    output: bool
    attributes: Attributes
    name: str | None = None
    scan: tuple[int, str] | None = None
    shared: frozenset[str] = frozenset()

    @property
    def direction(self) -> str:
        return "output" if self.output else "input"

    def file_name(self, attribute: str) -> str:
        """The name of the attribute's file under sysfs."""
        prefix = "out" if self.output else "in"
        if attribute in self.shared:
            return f"{prefix}_{self.id.rstrip(digits)}_{attribute}"
        return "_".join(part for part in (prefix, self.id, self.name, attribute) if part)


@dataclass
class Device:
    """A device of the context."""

    id: str
    name: str
    channels: list[Channel]
    attributes: Attributes = field(default_factory=Attributes)
    buffer_attributes: Attributes = field(default_factory=Attributes)
    debug_attributes: Attributes = field(default_factory=Attributes)

    def channel(self, output: bool, name: str) -> Channel:
        """By id or name. IioError ENODEV if there is none."""
        for channel in self.channels:
            if channel.output == output and name in (channel.id, channel.name):
                return channel
        raise IioError(errno.ENODEV)


def whole(text: str) -> int:
    """A whole number, decimal or 0x..; IioError EINVAL for anything else."""
    try:
        return int(text.strip(), 0)
    except ValueError:
        raise IioError(errno.EINVAL) from None


def number(text: str) -> float:
    """A decimal number, perhaps with dB after it; IioError EINVAL for anything else."""
    if not _NUMBER.fullmatch(text.strip()):
        raise IioError(errno.EINVAL)
    return float(text.strip().removesuffix("dB"))


def switch(text: str) -> bool:
    """1/0, y/n, on/off; IioError EINVAL for anything else."""
    known = {"1": True, "0": False, "y": True, "n": False, "on": True, "off": False}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise IioError(errno.EINVAL) from None


def one_of(text: str, choices: tuple[str, ...]) -> str:
    """One of the words; IioError EINVAL for anything else."""
    if text.strip() not in choices:
        raise IioError(errno.EINVAL)
    return text.strip()


def within(value, low, high):
    """The value; IioError EINVAL if it is not low..high."""
    if not low <= value <= high:
        raise IioError(errno.EINVAL)
    return value


def constant(name: str, text: str) -> Attribute:
    """An attribute that is only read and never changes."""
    return Attribute(name, lambda: text)


def refusing(name: str, number: int, write: bool = False) -> Attribute:
    """An attribute that answers an errno to each read (and write)."""

    def refuse(*_):
        raise IioError(number)

    return Attribute(name, refuse, refuse if write else None)
