# SPDX-License-Identifier: GPL-3.0-or-later
"""The two devices that carry samples: cf-ad9361-dds-core-lpc (transmit) and cf-ad9361-lpc (receive)."""

import errno

from gr_semantic.virtual_pluto.attributes import (
    Attribute,
    Attributes,
    Channel,
    Device,
    constant,
    number,
    switch,
    whole,
    within,
)
from gr_semantic.virtual_pluto.iio_errors import IioError

TX_ID, RX_ID = "iio:device2", "iio:device3"
_SHARED = frozenset(["sampling_frequency", "sampling_frequency_available"])
_DDS_STEPS = 1 << 16
_DDS_SCALES = 1 << 14
_TONE_NAMES = ("TX1_I_F1", "TX1_I_F2", "TX1_Q_F1", "TX1_Q_F2")


def tx_device(pluto) -> Device:
    """Two scan elements and the four tone generators of the DDS."""
    rate = _rate_attributes(pluto, "tx_by_8")
    channels = [
        Channel(
            f"voltage{place}",
            True,
            Attributes(_number("calibphase", "0.000000"), _number("calibscale", "1.000000"), *rate),
            scan=(place, "le:S16/16>>0"),
            shared=_SHARED,
        )
        for place in (0, 1)
    ]
    channels += [_tone_channel(pluto, place, rate[0]) for place in range(4)]
    return Device(
        TX_ID,
        "cf-ad9361-dds-core-lpc",
        channels,
        Attributes(
            Attribute("sync_start_enable", lambda: "disarm", lambda text: None),
            constant("sync_start_enable_available", "arm"),
        ),
        Attributes(constant("data_available", "0"), constant("length_align_bytes", "8")),
        Attributes(_registers(pluto, TX_ID)),
    )


def rx_device(pluto) -> Device:
    """Two scan elements."""
    rate = _rate_attributes(pluto, "rx_by_8")
    channels = [
        Channel(
            f"voltage{place}",
            False,
            Attributes(
                _number("calibbias", "0"), _number("calibphase", "0.000000"), _number("calibscale", "1.000000"), *rate
            ),
            scan=(place, "le:S12/16>>0"),
            shared=_SHARED,
        )
        for place in (0, 1)
    ]
    return Device(
        RX_ID,
        "cf-ad9361-lpc",
        channels,
        Attributes(
            Attribute("sync_start_enable", lambda: "disarm", lambda text: None),
            constant("sync_start_enable_available", "arm"),
        ),
        Attributes(
            Attribute("data_available", lambda: str(pluto.rx.waiting_bytes if pluto.rx else 0)),
            constant("length_align_bytes", "8"),
        ),
        Attributes(_registers(pluto, RX_ID), Attribute("pseudorandom_err_check", lambda: "CH0 : PN9 : In Sync : OK")),
    )


def _registers(pluto, device_id):
    return Attribute(
        "direct_reg_access",
        lambda: pluto.read_register(device_id),
        lambda text: pluto.write_register(device_id, text),
    )


def _rate_attributes(pluto, by_8):
    """The data rate is the transceiver's, or an eighth of it through the FPGA's filter."""
    state = pluto.transceiver

    def rates():
        return [state.rate_hz, state.rate_hz // 8]

    def read():
        with pluto.lock:
            return str(rates()[getattr(state, by_8)])

    def write(text):
        with pluto.lock:
            if (wanted := int(number(text))) not in rates():
                raise IioError(errno.EINVAL)
            setattr(state, by_8, wanted == rates()[1])
            state.version += 1

    def available():
        with pluto.lock:
            return "{} {} ".format(*rates())

    return [Attribute("sampling_frequency", read, write), Attribute("sampling_frequency_available", available)]


def _tone_channel(pluto, place, rate):
    state = pluto.transceiver
    tone = state.tones[place]

    def setter(field, parse):
        def write(text):
            with pluto.lock:
                setattr(tone, field, parse(text))

        return write

    def frequency(text):
        """In steps of the phase accumulator."""
        rate_hz = state.tx_rate_hz
        hz = within(whole(text), 0, rate_hz / 2)
        return round(round(hz * _DDS_STEPS / rate_hz) * rate_hz / _DDS_STEPS)

    def scale(text):
        return round(within(_signed_decimal(text), 0, 1) * _DDS_SCALES) / _DDS_SCALES

    return Channel(
        f"altvoltage{place}",
        True,
        Attributes(
            Attribute("frequency", lambda: str(tone.frequency_hz), setter("frequency_hz", frequency)),
            Attribute(
                "phase",
                lambda: str(tone.phase_mdeg),
                setter("phase_mdeg", lambda text: within(whole(text), 0, 360_000)),
            ),
            Attribute("raw", lambda: str(int(tone.on)), setter("on", switch)),
            rate,
            Attribute("scale", lambda: f"{tone.scale_lin:.6f}", setter("scale_lin", scale)),
        ),
        _TONE_NAMES[place],
        shared=_SHARED,
    )


def _signed_decimal(text):
    """A decimal number; exponents too, which clients send for tiny scales."""
    try:
        return float(text.strip())
    except ValueError:
        raise IioError(errno.EINVAL) from None


def _number(name, first):
    """A calibration value: kept, without an effect."""
    kept = [first]
    digits = len(first.partition(".")[2])
    return Attribute(name, lambda: kept[0], lambda text: kept.__setitem__(0, f"{number(text):.{digits}f}"))
