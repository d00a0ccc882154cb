# SPDX-License-Identifier: GPL-3.0-or-later
"""The Zynq's own converter, with readings of a board that is doing well."""

from gr_semantic.virtual_pluto.attributes import Attributes, Channel, Device, constant

_SUPPLIES = (
    ("voltage0", "vccint", 1359),
    ("voltage1", "vccaux", 2462),
    ("voltage2", "vccbram", 1361),
    ("voltage3", "vccpint", 1356),
    ("voltage4", "vccpaux", 2456),
    ("voltage5", "vccoddr", 1826),
    ("voltage6", "vrefp", 1704),
    ("voltage7", "vrefn", -4),
)


def xadc_device() -> Device:
    """Temperature and supply voltages."""
    temperature = Attributes(constant("offset", "-2219"), constant("raw", "2562"), constant("scale", "123.040771484"))
    channels = [Channel("temp0", False, temperature)]
    for channel_id, name, raw in _SUPPLIES:
        readings = Attributes(constant("raw", str(raw)), constant("scale", "0.732421875"))
        channels.append(Channel(channel_id, False, readings, name))
    return Device("iio:device1", "xadc", channels, Attributes(constant("sampling_frequency", "961538")))
