# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of an experiment over the air: radios, carriers, waveform, codec (hw_configs/*.yaml)."""

from typing import Any, Literal

from pydantic import Field, model_validator

from gr_semantic.checked_settings import CheckedSettings
from gr_semantic.errors import UserError
from gr_semantic.link.config import RateControllerConfig
from gr_semantic.radio.config import RadioConfig

_SET_BY_LINK = ("sample_rate_hz", "tx_lo_hz", "rx_lo_hz")


class Carrier(CheckedSettings):
    """One direction: who sends to whom, where."""

    transmitter: str = Field(description="name of the radio that sends, as under 'radios'")
    receiver: str = Field(description="name of the radio that receives; the same one for a loopback")
    lo_hz: float = Field(ge=70e6, le=6e9, description="carrier; what is legal where you are is yours to check")


class SweepConfig(CheckedSettings):
    """Attenuations of the transmitter, one after the other; per point the same signal: sounder, QPSK frames, images."""

    attenuation_db: tuple[float, ...] = Field(
        (30.0, 40.0, 50.0, 60.0), min_length=1, max_length=100, description="of the forward transmitter, in this order"
    )
    images: int = Field(960, ge=1, le=100_000, description="images at each point, the same at all of them")
    images_per_frame: int = Field(48, ge=1, le=256, description="images in a frame")
    qpsk_frames: int = Field(10, ge=1, le=500, description="frames of known QPSK at each point: the modem alone")


class OtaConfig(CheckedSettings):
    """An experiment over the air."""

    mode: Literal["closed-loop", "tx", "rx", "sweep"] = Field(
        "closed-loop", description="closed-loop, one-way tx or rx (two hosts), or sweep over the attenuation"
    )
    radios: dict[str, dict[str, Any]] = Field(
        min_length=1, max_length=2, description="name -> fields of RadioConfig; sample rate and carriers are set here"
    )
    forward: Carrier = Field(description="images")
    feedback: Carrier | None = Field(None, description="reports; needed in mode closed-loop")
    sample_rate_hz: float = Field(1e6, ge=521e3, le=61.44e6, description="of all radios")
    waveform: str = Field("ofdm64", description="name, or a YAML file")
    codec: str = Field("fashion-mnist", description="name in models/zoo, or a folder")
    images: str = Field("fashion-mnist:test", description="a named set, or a folder of images; the same at both hosts")
    images_per_frame: int = Field(8, ge=1, le=256, description="few: a small frame is encoded in time")
    slot_len: int = Field(24576, ge=1024, le=1 << 22, description="samples from one frame's start to the next")
    seconds: float = Field(60.0, ge=0.1, le=86400, description="time on the air")
    seed: int = Field(1, ge=0, lt=2**31, description="order of the images; the same at both hosts")
    link_id: int = Field(0x51, ge=0, le=255, description="frames of other links are ignored")
    snr_db: float = Field(10.0, ge=-60, le=80, description="what images are encoded for where nobody reports (mode tx)")
    budget: int | None = Field(None, ge=1, le=256, description="symbols an image in mode tx; None: the codec's policy")
    rate_controller: RateControllerConfig = Field(
        RateControllerConfig(delay_slots=1), description="fields of the rate control, see `RateControllerConfig`"
    )
    record: bool = Field(False, description="keep what the forward receiver heard as SigMF (8 MB for each second)")
    one_core: bool = Field(
        True, description="with Plutos: all threads of this program on one core; false for a codec that needs more"
    )
    sweep: SweepConfig = Field(SweepConfig(), description="of mode sweep")
    medium: dict[Literal["forward", "feedback"], dict[str, Any]] | None = Field(
        None, description="kind simulated: fields of ChannelConfig for each direction"
    )
    virtual_plutos: dict[str, Any] | None = Field(
        None, description="start virtual Plutos with these settings (see `virtual-pluto`) and use their URIs, in order"
    )

    @model_validator(mode="after")
    def _fits(self):
        directions = {"forward": self.forward} | ({"feedback": self.feedback} if self.feedback else {})
        for name, carrier in directions.items():
            for end in ("transmitter", "receiver"):
                radio = getattr(carrier, end)
                wanted = (self.mode, name, end) not in _FOREIGN
                if wanted and radio not in self.radios:
                    raise UserError(f"{name}.{end} is '{radio}', which is not among radios: {', '.join(self.radios)}")
        if self.mode == "closed-loop" and self.feedback is None:
            raise UserError("feedback is missing: mode closed-loop needs a carrier for the reports")
        for name, fields in self.radios.items():
            for field in _SET_BY_LINK:
                if field in fields:
                    raise UserError(f"radios.{name}.{field}: is set by sample_rate_hz, forward and feedback")
        self.radio_configs(dict.fromkeys(self.radios, "ip:127.0.0.1") if self.virtual_plutos is not None else {})
        return self

    def radio_configs(self, uris: dict[str, str] | None = None) -> dict[str, RadioConfig]:
        """Settings of each radio that this mode uses, with the carriers that it needs.

        uris: take the place of the radios' own.
        """
        carriers = {name: {} for name in self.radios}
        for direction, carrier in (("forward", self.forward), ("feedback", self.feedback)):
            for end, field in (("transmitter", "tx_lo_hz"), ("receiver", "rx_lo_hz")):
                used = carrier is not None and (direction == "forward" or self.mode in ("closed-loop", "sweep"))
                if used and (self.mode, direction, end) not in _FOREIGN:
                    known = carriers[getattr(carrier, end)].setdefault(field, carrier.lo_hz)
                    if known != carrier.lo_hz:
                        raise UserError(f"{direction}.lo_hz: radio {getattr(carrier, end)} has one {field} only")
        configs = {}
        for name, fields in self.radios.items():
            if not carriers[name]:
                continue
            whole = {"sample_rate_hz": self.sample_rate_hz, **fields, **carriers[name]}
            if uris and name in uris:
                whole["uri"] = uris[name]
            elif whole.get("kind") == "simulated":
                whole.setdefault("uri", f"ip:{name}")
            configs[name] = RadioConfig.from_dict(whole, f"radios.{name}")
        return configs

    @property
    def slots(self) -> int:
        """Number of forward slots in the run."""
        return max(1, round(self.seconds * self.sample_rate_hz / self.slot_len))

    @property
    def slot_s(self) -> float:
        """Link time of one slot."""
        return self.slot_len / self.sample_rate_hz


# (mode, direction, end): radios at the other host.
_FOREIGN = {("tx", "forward", "receiver"), ("rx", "forward", "transmitter")}
_FOREIGN |= {(mode, "feedback", end) for mode in ("tx", "rx") for end in ("transmitter", "receiver")}
