# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample buffers of a Pluto's two data devices, through libiio."""

DATA_DEVICES = {"tx": "cf-ad9361-dds-core-lpc", "rx": "cf-ad9361-lpc"}


def open_buffer(device, side: str, count: int, length: int):
    """An iio.Buffer of interleaved I and Q (int16).

    Args:
        device: iio.Device.
        side: "tx" or "rx".
        count: buffers that the kernel keeps.
        length: samples of each.

    Raises:
        OSError: EBUSY: another program has one open; or the radio is gone.
    """
    import iio

    for channel in device.channels:
        if channel.scan_element and channel.output == (side == "tx"):
            channel.enabled = channel.id in ("voltage0", "voltage1")
    device.set_kernel_buffers_count(count)
    return iio.Buffer(device, length, False)
