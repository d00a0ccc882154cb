# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one radio, checked."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gr_semantic.checked_settings import CheckedSettings
from gr_semantic.errors import UserError

SAFE_ATTENUATION_DB = 30.0
_URI = re.compile(r"^(ip:.+|usb:(\d+\.\d+\.\d+)?|serial:.+)$")


class RadioConfig(CheckedSettings):
    """One radio of a hardware configuration. A carrier that is None is not used: its direction stays off."""

    kind: Literal["pluto", "simulated", "file"] = Field("pluto", description="what stands behind the interface")
    uri: str | None = Field(
        None,
        description="Pluto: ip:HOST, usb:BUS.ADDRESS.INTERFACE, or serial:NUMBER, which is looked for on USB. "
        "`iio_info -s` lists what is plugged in",
    )
    serial: str | None = Field(None, description="Pluto: serial number that must answer at this address (hw_serial)")
    sample_rate_hz: float = Field(1e6, ge=521e3, le=61.44e6, description="of both directions; set by `ota`'s own field")
    bandwidth_hz: float | None = Field(
        None, ge=200e3, le=56e6, description="of the analog filters; None: the sample rate, at least 200 kHz"
    )
    tx_lo_hz: float | None = Field(None, ge=46.875e6, le=6e9, description="carrier sent on; set by `ota` from carriers")
    rx_lo_hz: float | None = Field(None, ge=70e6, le=6e9, description="carrier heard; set by `ota` from carriers")
    tx_attenuation_db: float = Field(
        SAFE_ATTENUATION_DB, ge=0, le=89.75, description="transmitter's attenuation, steps of 0.25 dB"
    )
    strong_transmit: bool = Field(
        False, description="must be true for an attenuation below 30 dB: a cable without an attenuator would harm"
    )
    rx_gain_db: float = Field(30.0, ge=-3, le=73, description="receiver's gain, steps of 1 dB (manual mode)")
    rx_gain_mode: Literal["manual", "slow_attack", "fast_attack"] = Field(
        "manual", description="manual holds still; the others follow the level and move the SNR estimate's meaning"
    )
    xo_ppm: float | None = Field(
        None, ge=-199, le=199, description="how fast this radio's crystal is (`calibrate-xo` says); None: untouched"
    )
    backoff_db: float = Field(
        14.0, ge=0, le=60, description="mean power of a frame's data below full scale; OFDM peaks lie 10 to 12 dB above"
    )
    loopback: Literal["none", "digital", "rf"] = Field("none", description="the chip's own loopback, for one Pluto")
    buffer_len: int = Field(4096, ge=512, le=1 << 20, description="samples of one buffer: latency against load")
    tx_buffer_len: int | None = Field(
        None, ge=512, le=1 << 20, description="samples of one buffer of the transmitter; None: buffer_len"
    )
    tx_buffers: int = Field(
        4, ge=2, le=64, description="buffers that wait in the transmitter: latency against underflow"
    )
    rx_buffers: int = Field(
        32, ge=4, le=64, description="buffers that may wait in the receiver before samples are lost"
    )
    stall_s: float = Field(2.0, ge=0.2, le=60, description="a transfer that takes longer counts as a lost radio")
    reconnect_s: float = Field(
        6.0, ge=0, le=600, description="for how long a lost radio is waited for (one that boots anew needs about 30)"
    )
    recording: str | None = Field(None, description="file: the SigMF recording that is received")
    output: str | None = Field(None, description="file: the SigMF recording that is written")

    @field_validator("uri")
    @classmethod
    def _known_form(cls, uri):
        if uri is not None and not _URI.match(uri):
            raise UserError(f"'{uri}' is no address: ip:HOST, usb:BUS.ADDRESS.INTERFACE or serial:NUMBER")
        if uri in ("usb:", "serial:"):
            raise UserError(f"'{uri}' names no radio: with two plugged in it could be either. `iio_info -s` lists them")
        return uri

    @model_validator(mode="after")
    def _fits(self):
        if self.kind == "pluto" and self.uri is None:
            raise UserError("uri is missing: a Pluto is never guessed. `iio_info -s` lists those on USB")
        if self.kind == "file" and not (self.recording or self.output):
            raise UserError("a file radio needs a recording to receive, or an output to write")
        if self.tx_attenuation_db < SAFE_ATTENUATION_DB and not self.strong_transmit:
            raise UserError(
                f"tx_attenuation_db is {self.tx_attenuation_db:g}, expected {SAFE_ATTENUATION_DB:g} or more; if "
                "you are sure, set strong_transmit: true"
            )
        return self

    @property
    def tx_len(self) -> int:
        """Samples of one buffer of the transmitter."""
        return self.tx_buffer_len or self.buffer_len
