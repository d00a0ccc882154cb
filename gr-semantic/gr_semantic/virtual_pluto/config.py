# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of virtual Plutos and of the air between them: one YAML file, every field checked."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from gr_semantic.channel.config import ChannelConfig
from gr_semantic.channel.trajectory import SnrTrajectory
from gr_semantic.checked_settings import CheckedModel, FromFile

MAX_RADIOS = 8
_GAIN_RANGE_DB = (-200.0, 40.0)
_CHANNEL_FIELDS = (
    "multipath",
    "fading",
    "doppler_hz",
    "fading_block_s",
    "rician_k_db",
    "unit_power",
    "phase_noise_linewidth_hz",
    "phase_noise_loop_hz",
)


class _Settings(CheckedModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class RadioConfig(_Settings):
    """One virtual Pluto: its identity, its crystal and its analog front end."""

    serial: str | None = Field(
        None, pattern=r"^[0-9A-Za-z._-]{1,64}$", description="hw_serial of the context; none: made from seed and place"
    )
    model: Literal["ad9363a", "ad9364"] = Field(
        "ad9363a", description="transceiver: LO 325..3800 MHz and 20 MHz bandwidth, or LO 70..6000 MHz and 56 MHz"
    )
    without: tuple[str, ...] = Field(
        (), description="names of attributes that its firmware lacks, for instance xo_correction"
    )
    ppm: float = Field(
        0.0, ge=-200, le=200, description="error of the crystal: moves both LOs and the sample clock, at xo 40 MHz"
    )
    tx_full_scale_dbm: float = Field(
        7.0, ge=-60, le=40, description="power of a full-scale constant at 0 dB attenuation"
    )
    rx_full_scale_dbm: float = Field(
        1.0, ge=-60, le=60, description="power of a constant that reaches the converter's full scale at 0 dB gain"
    )
    noise_figure_db: float = Field(5.0, ge=0, le=120, description="over -174 dBm/Hz, at the receiver's input")
    dc_offset_dbfs: float | None = Field(None, ge=-120, le=0, description="receiver's DC offset; none: no offset")
    iq_gain_db: float = Field(0.0, ge=-20, le=20, description="gain error of the receiver's Q branch")
    iq_phase_deg: float = Field(0.0, ge=-45, le=45, description="phase error of the receiver's Q branch")
    tx_dc_offset_dbfs: float | None = Field(
        None, ge=-120, le=0, description="transmitter's carrier leakage; none: no leakage"
    )
    tx_iq_gain_db: float = Field(0.0, ge=-20, le=20, description="gain error of the transmitter's Q branch")
    tx_iq_phase_deg: float = Field(0.0, ge=-45, le=45, description="phase error of the transmitter's Q branch")


class PathConfig(_Settings):
    """What the air does to the signal of one radio on its way to another. Fields as in ChannelConfig."""

    gain_db: float | tuple[tuple[float, float], ...] = Field(
        -60.0, description="path gain: a number, or [time_s, gain_db] pairs (piecewise linear in air time)"
    )
    delay_s: float = Field(0.0, ge=0, le=1, description="time of flight")
    multipath: str = Field("flat", description="flat, rayleigh, or tdl-a:100ns (tdl-a, -b, -c; RMS delay spread)")
    fading: Literal["static", "block", "doppler"] = Field(
        "static", description="gains of the paths: drawn once, drawn every fading_block_s, or moving with doppler_hz"
    )
    doppler_hz: float = Field(0.0, ge=0, le=1e5, description="maximum Doppler frequency; at most sample rate / 1000")
    fading_block_s: float = Field(0.1, ge=1e-6, le=1e6, description="time for which the gains stay in block fading")
    rician_k_db: float | None = Field(None, ge=-40, le=60, description="line of sight over all other paths")
    unit_power: bool = Field(False, description="scale each static or block draw of the gains to unit power")
    phase_noise_linewidth_hz: float = Field(0.0, ge=0, le=1e6, description="of both oscillators together")
    phase_noise_loop_hz: float = Field(0.0, ge=0, le=1e7, description="bandwidth of the loop that holds it; 0: no loop")

    @field_validator("gain_db")
    @classmethod
    def _in_range(cls, gain_db):
        low, high = _GAIN_RANGE_DB
        points = [(0.0, gain_db)] if isinstance(gain_db, float) else SnrTrajectory(gain_db).points
        for _, level_db in points:
            if not low <= level_db <= high:
                raise ValueError(f"is {level_db:g}, expected {low:g} to {high:g}")
        return gain_db

    @model_validator(mode="after")
    def _channel_fits(self):
        self.channel()
        return self

    def channel(self, **fields) -> ChannelConfig:
        """The path's multipath, fading and phase noise as a ChannelConfig, with more of its fields."""
        return ChannelConfig(**{name: getattr(self, name) for name in _CHANNEL_FIELDS}, **fields)

    def gain_at(self, time_s: float) -> float:
        """Path gain in dB at an air time."""
        return self.gain_db if isinstance(self.gain_db, float) else SnrTrajectory(self.gain_db).at(time_s)


class ListedPath(PathConfig):
    """A path between two named radios; both the same radio: a cable from its transmitter to its receiver."""

    from_radio: int = Field(alias="from", ge=0, description="index of the radio that transmits")
    to_radio: int = Field(alias="to", ge=0, description="index of the radio that receives")


class InterfererConfig(_Settings):
    """A recording that is on the air all the time, looped."""

    file: str = Field(description="SigMF recording: .sigmf-meta or .sigmf; relative to the configuration file")
    frequency_hz: float = Field(ge=0, le=10e9, description="its centre on the air")
    power_dbm: float = Field(ge=-200, le=40, description="mean power at the receivers' inputs")
    sample_rate_hz: float | None = Field(None, gt=0, le=1e9, description="none: the recording's own")
    radios: tuple[int, ...] | None = Field(None, description="indices of the radios that hear it; none: all")


class SetPath(_Settings):
    """Event: from time_s on the path has another gain."""

    time_s: float = Field(0.0, ge=0, description="air time of the event")
    kind: Literal["path_gain"] = "path_gain"
    from_radio: int = Field(alias="from", ge=0, description="index of the radio that transmits")
    to_radio: int = Field(alias="to", ge=0, description="index of the radio that receives")
    gain_db: float = Field(ge=_GAIN_RANGE_DB[0], le=_GAIN_RANGE_DB[1], description="new path gain")


class SetNoiseFigure(_Settings):
    """Event: from time_s on the radio has another noise figure."""

    time_s: float = Field(0.0, ge=0, description="air time of the event")
    kind: Literal["noise_figure"] = "noise_figure"
    radio: int = Field(ge=0, description="index of the radio")
    noise_figure_db: float = Field(ge=0, le=120, description="new noise figure")


class SetPpm(_Settings):
    """Event: from time_s on the crystal has another error."""

    time_s: float = Field(0.0, ge=0, description="air time of the event")
    kind: Literal["ppm"] = "ppm"
    radio: int = Field(ge=0, description="index of the radio")
    ppm: float = Field(ge=-200, le=200, description="new error")


class Unplug(_Settings):
    """Event: the radio loses its power. Plugged in again it has its power-on settings."""

    time_s: float = Field(0.0, ge=0, description="air time of the event")
    kind: Literal["unplug"] = "unplug"
    radio: int = Field(ge=0, description="index of the radio")
    for_s: float | None = Field(None, gt=0, description="time until it is plugged in again; none: for good")
    silent: bool = Field(
        False, description="connections stay open without an answer (a dead network) instead of being reset"
    )


Event = Annotated[SetPath | SetNoiseFigure | SetPpm | Unplug, Field(discriminator="kind")]


class VirtualPlutosConfig(FromFile, _Settings):
    """Radios, paths, interferers and events. The defaults: two radios that hear each other over 60 dB of loss."""

    settings_of: ClassVar = "virtual-pluto"

    radios: tuple[RadioConfig, ...] = Field(
        (RadioConfig(), RadioConfig()), min_length=1, max_length=MAX_RADIOS, description="the Plutos, in order"
    )
    default_path: PathConfig | None = Field(
        PathConfig(), description="between any two different radios that paths does not list; null: they are deaf"
    )
    paths: tuple[ListedPath, ...] = Field((), description="paths of their own, one direction each")
    interferers: tuple[InterfererConfig, ...] = Field((), description="recordings on the air")
    events: tuple[Event, ...] = Field((), description="what happens when; times as in time_zero")
    time_zero: Literal["first_buffer", "start"] = Field(
        "first_buffer", description="air time 0 of events and gain_db points: the first open buffer, or the start"
    )
    port: int = Field(0, ge=0, le=65535, description="of the first radio, the others follow; 0: free ones")
    seed: int = Field(1, ge=0, lt=2**31, description="of noise, fading and serial numbers")
    tick_ms: float = Field(5.0, ge=1, le=100, description="the air is computed in steps of this length, or shorter")
    speed: float = Field(1.0, gt=0, le=1, description="air time over wall clock: below 1 for slow machines")
    patience_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description="the air stands still for so long (wall clock) for a client that is late: its receive queue full, "
        "or its transmit queue empty in the midst of a burst; less than the clients' timeouts; 0: never, as on a radio",
    )

    @model_validator(mode="after")
    def _indices_exist(self):
        def check(name, index):
            if index >= len(self.radios):
                raise ValueError(f"{name} is {index}, but the radios are 0 to {len(self.radios) - 1}")

        for place, path in enumerate(self.paths):
            check(f"paths.{place}.from", path.from_radio)
            check(f"paths.{place}.to", path.to_radio)
        pairs = [(path.from_radio, path.to_radio) for path in self.paths]
        if len(set(pairs)) < len(pairs):
            raise ValueError("paths lists a pair of radios twice")
        for place, interferer in enumerate(self.interferers):
            for radio in interferer.radios or ():
                check(f"interferers.{place}.radios", radio)
        for place, event in enumerate(self.events):
            self.check_event(event, f"events.{place}")
        if self.port and self.port + len(self.radios) - 1 > 65535:
            raise ValueError(f"port is {self.port}: too high for {len(self.radios)} radios")
        serials = [radio.serial for radio in self.radios if radio.serial]
        if len(set(serials)) < len(serials):
            raise ValueError("two radios have the same serial")
        return self

    def check_event(self, event, name: str = "event") -> None:
        """ValueError if an event names a radio or a path that does not exist."""
        indices = (event.from_radio, event.to_radio) if isinstance(event, SetPath) else (event.radio,)
        for index in indices:
            if index >= len(self.radios):
                raise ValueError(f"{name}: radio {index}, but the radios are 0 to {len(self.radios) - 1}")
        if isinstance(event, SetPath) and self.path(*indices) is None:
            raise ValueError(f"{name}: there is no path from radio {indices[0]} to {indices[1]}")

    def path(self, from_radio: int, to_radio: int) -> PathConfig | None:
        """The path between two radios, or None."""
        for path in self.paths:
            if (path.from_radio, path.to_radio) == (from_radio, to_radio):
                return path
        return None if from_radio == to_radio else self.default_path

    def replaced(self, fields: dict) -> "VirtualPlutosConfig":
        """The same settings with other values for some fields, checked anew."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **fields})

    @classmethod
    def from_yaml(cls, path) -> "VirtualPlutosConfig":
        """As for any settings; the interferers' files become relative to the file."""
        config = super().from_yaml(path)
        folder = Path(path).parent
        interferers = tuple(item.model_copy(update={"file": str(folder / item.file)}) for item in config.interferers)
        return config.model_copy(update={"interferers": interferers})
