# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a simulated channel, checked, and the Channel that they make."""

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gr_semantic.channel.carrier_offset import CarrierOffset
from gr_semantic.channel.channel import Channel
from gr_semantic.channel.delay import Delay
from gr_semantic.channel.delay_profiles import delay_profile
from gr_semantic.channel.front_end import DcOffset, IqImbalance, PowerAmplifier
from gr_semantic.channel.interferer import Interferer, Tone
from gr_semantic.channel.level import Gain, Noise
from gr_semantic.channel.multipath import Multipath
from gr_semantic.channel.phase_noise import PhaseNoise
from gr_semantic.channel.sample_rate_offset import MAX_PPM, SampleRateOffset
from gr_semantic.channel.trajectory import SnrTrajectory
from gr_semantic.checked_settings import FromFile, first_mistake
from gr_semantic.errors import UserError

_SNR_RANGE_DB = (-60.0, 100.0)


class ChannelConfig(FromFile, BaseModel):
    """A channel as plain settings; every field's default leaves its impairment out.

    The order is that of a radio: amplifier, multipath, delay, gain, interferer, sample clock, carrier, phase noise,
    receiver noise, IQ imbalance, DC offset. Noise comes after all that filters: its level is snr_db by definition.

    Raises:
        UserError: an unknown field, or a value out of range; the text names field, value and range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    settings_of: ClassVar = "channel"

    snr_db: Any = Field(
        None,
        description="SNR of a data carrier: a number, [time_s, snr_db] pairs (piecewise linear); none: no noise",
    )
    gain_db: float = Field(0.0, ge=-120, le=60, description="gain of the signal before the noise; moves the SNR")
    multipath: str = Field("flat", description="flat, rayleigh, or tdl-a:100ns (tdl-a, -b, -c; RMS delay spread)")
    fading: Literal["static", "block", "doppler"] = Field(
        "static", description="gains of the paths: drawn once, drawn every fading_block_s, or moving with doppler_hz"
    )
    doppler_hz: float = Field(0.0, ge=0, le=1e5, description="maximum Doppler frequency; at most sample rate / 1000")
    fading_block_s: float = Field(0.1, ge=1e-6, le=1e6, description="time for which the gains stay in block fading")
    rician_k_db: float | None = Field(
        None, ge=-40, le=60, description="power of a line of sight over that of all other paths"
    )
    unit_power: bool = Field(False, description="scale each static or block draw of the gains to unit power")
    cfo_hz: float = Field(0.0, ge=-1e9, le=1e9, description="carrier offset; at most half the sample rate")
    sro_ppm: float = Field(
        0.0,
        ge=-MAX_PPM,
        le=MAX_PPM,
        description="by how much the receiver's sample clock is faster than the transmitter's",
    )
    phase_noise_linewidth_hz: float = Field(0.0, ge=0, le=1e6, description="line width of the free-running oscillator")
    phase_noise_loop_hz: float = Field(0.0, ge=0, le=1e7, description="bandwidth of the loop that holds it; 0: no loop")
    iq_gain_db: float = Field(0.0, ge=-20, le=20, description="gain error of the receiver's Q branch")
    iq_phase_deg: float = Field(0.0, ge=-45, le=45, description="phase error of the receiver's Q branch")
    dc_offset_db: float | None = Field(None, ge=-120, le=40, description="power of a constant added to every sample")
    pa_backoff_db: float | None = Field(
        None, ge=-20, le=60, description="amplifier's saturation power over a mean power of 1 (Rapp model)"
    )
    pa_smoothness: Literal[1, 2, 4] = Field(2, description="Rapp's p: larger is a harder knee")
    delay_samples: float = Field(0.0, ge=0, le=1e7, description="constant delay, whole or not")
    interferer_db: float | None = Field(
        None, ge=-120, le=60, description="power of an interferer: a tone, or the samples of interferer_file"
    )
    interferer_hz: float = Field(0.0, ge=-1e9, le=1e9, description="frequency of the tone in the complex baseband")
    interferer_file: str | None = Field(
        None, description="raw little-endian complex64 samples, looped, instead of the tone"
    )

    def __init__(self, **fields):
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise UserError(f"channel: {first_mistake(type(self), error)}") from None

    @field_validator("snr_db")
    @classmethod
    def _read_snr(cls, snr_db):
        if snr_db is None:
            return None
        if isinstance(snr_db, (int, float, np.number)) and not isinstance(snr_db, bool):
            levels_db, snr_db = [float(snr_db)], float(snr_db)
        elif isinstance(snr_db, str):
            raise ValueError(f"is '{snr_db}', expected a number, [time_s, snr_db] pairs or none")
        else:
            snr_db = snr_db if isinstance(snr_db, SnrTrajectory) else SnrTrajectory(snr_db)
            levels_db = [level_db for _, level_db in snr_db.points]
        low, high = _SNR_RANGE_DB
        for level_db in levels_db:
            if not low <= level_db <= high:
                raise ValueError(f"is {level_db:g}, expected {low:g} to {high:g}")
        return snr_db

    @model_validator(mode="after")
    def _parts_fit(self):
        if delay_profile(self.multipath).fades:
            self._multipath(block_samples=1, seed=0)
        elif self.fading != "static" or self.rician_k_db is not None:
            raise ValueError(
                f"multipath is '{self.multipath}', which does not fade: drop fading and rician_k_db, or use 'rayleigh'"
            )
        if self.interferer_file is not None and self.interferer_db is None:
            raise ValueError("interferer_file is set but interferer_db is not: give its power")
        return self

    @property
    def trajectory(self) -> SnrTrajectory | None:
        """snr_db as a trajectory (constant for a number), or None without noise."""
        if self.snr_db is None or isinstance(self.snr_db, SnrTrajectory):
            return self.snr_db
        return SnrTrajectory([(0.0, self.snr_db)])

    def to_dict(self) -> dict:
        """The fields that differ from their defaults, as JSON and YAML can hold them; ``from_dict`` reads it."""
        fields = {name: getattr(self, name) for name, field in type(self).model_fields.items()}
        fields = {name: value for name, value in fields.items() if value != type(self).model_fields[name].default}
        if isinstance(self.snr_db, SnrTrajectory):
            fields["snr_db"] = [list(point) for point in self.snr_db.points]
        return fields

    def build(self, sample_rate_hz: float, seed: int | np.random.SeedSequence = 0) -> Channel:
        """A new Channel at its sample 0.

        Gain, CarrierOffset and Noise are always in it, so that they can be moved while it runs. Each random impairment
        has its own generator, spawned from the seed at a fixed place: switching one on changes no other's numbers.

        Raises:
            UserError: a frequency or delay that does not fit the sample rate, or an unusable interferer_file.
        """
        try:
            root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        except (TypeError, ValueError):
            raise UserError(f"channel: seed is {seed!r}, expected a whole number of 0 or more") from None
        # Not root.spawn: that counts calls, and a second build would differ.
        seeds = [np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, place)) for place in range(3)]
        multipath_seed, phase_noise_seed, noise_seed = seeds
        parts = [
            self.pa_backoff_db is not None and PowerAmplifier(self.pa_backoff_db, self.pa_smoothness),
            delay_profile(self.multipath).fades
            and self._multipath(max(1, round(self.fading_block_s * sample_rate_hz)), multipath_seed),
            self.delay_samples > 0 and Delay(self.delay_samples),
            Gain(self.gain_db),
            self.interferer_db is not None and self._interferer(),
            self.sro_ppm != 0 and SampleRateOffset(self.sro_ppm),
            CarrierOffset(self.cfo_hz),
            self.phase_noise_linewidth_hz > 0
            and PhaseNoise(self.phase_noise_linewidth_hz, self.phase_noise_loop_hz, phase_noise_seed),
            Noise(self.snr_db, noise_seed),
            (self.iq_gain_db != 0 or self.iq_phase_deg != 0) and IqImbalance(self.iq_gain_db, self.iq_phase_deg),
            self.dc_offset_db is not None and DcOffset(self.dc_offset_db),
        ]
        return Channel([part for part in parts if part], sample_rate_hz)

    def _multipath(self, block_samples, seed):
        return Multipath(
            self.multipath,
            fading=self.fading,
            doppler_hz=self.doppler_hz,
            block_samples=block_samples,
            rician_k_db=self.rician_k_db,
            unit_power=self.unit_power,
            seed=seed,
        )

    def _interferer(self):
        if self.interferer_file is None:
            return Tone(self.interferer_hz, self.interferer_db)
        try:
            samples = np.fromfile(self.interferer_file, "<c8")
        except OSError as error:
            raise UserError(f"interferer_file {self.interferer_file}: cannot be read ({error.strerror})") from None
        try:
            return Interferer(samples, self.interferer_db)
        except UserError as error:
            raise UserError(f"interferer_file {self.interferer_file}: {error}") from None
