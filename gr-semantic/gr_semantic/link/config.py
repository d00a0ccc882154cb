# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one run of the closed loop: checked on construction, plain data otherwise."""

import math
from typing import Any

from pydantic import Field, field_validator

from gr_semantic.channel.config import ChannelConfig
from gr_semantic.channel.trajectory import SnrTrajectory
from gr_semantic.checked_settings import CheckedModel
from gr_semantic.errors import UserError

_SUDDEN_DB = 6.0

# Mild impairments of both directions; the noise is not among them, it follows LoopConfig.trajectory. Clocks that differ
# by 1 ppm at a carrier of 868 MHz, and 0.8 degrees rms of phase noise. Node B sends with a quarter of A's power: at the
# bottom of the demo's fade its feedback is lost before the forward frames are.
_OSCILLATOR = {"phase_noise_linewidth_hz": 4.0, "phase_noise_loop_hz": 10e3}
FORWARD_CHANNEL = {"cfo_hz": 868.0, "sro_ppm": 1.0, **_OSCILLATOR}
REVERSE_CHANNEL = {"cfo_hz": -868.0, "sro_ppm": -1.0, "gain_db": -6.0, **_OSCILLATOR}


class RateControllerConfig(CheckedModel):
    """How node A turns reports into profiles.

    delay_slots: the profile made when reverse slot k is complete is for forward slot k + delay_slots.
    smoothing: weight (0..1] of a new report in the average of reports in dB.
    sudden_drop_db: a report this far below the average replaces it at once.
    hysteresis_db: a less robust budget is taken only if the policy still chooses it at an SNR this much lower, and
    confirm_reports: ... for this many reports in a row. More robust budgets are taken at once.
    max_age_s: link time since the newest measured frame after which the safe profile is used.
    open_loop_snr_db, open_loop_budget: the fixed profile without feedback; None: see open_loop_profile.
    """

    delay_slots: int = Field(2, ge=1, le=64)
    smoothing: float = Field(0.25, gt=0, le=1)
    sudden_drop_db: float = Field(4.0, gt=0, le=60)
    hysteresis_db: float = Field(1.0, ge=0, le=20)
    confirm_reports: int = Field(5, ge=1, le=1000)
    max_age_s: float = Field(0.25, gt=0, le=60)
    open_loop_snr_db: float | None = Field(None, ge=-60, le=80)
    open_loop_budget: int | None = Field(None, ge=1)


class LoopConfig(CheckedModel):
    """Settings of one run of the closed loop.

    codec: zoo name or folder. waveform: name or YAML file. images: what semantic_models.load_images reads.
    seconds: link time. trajectory: points (time_s, snr_db), piecewise linear, of both directions (a reciprocal medium,
    independent noise); None: the demo's. forward, reverse: fields of ChannelConfig other than snr_db.
    """

    waveform: str = "ofdm64"
    codec: str = "fashion-mnist"
    images: str = "fashion-mnist:test"
    seconds: float = Field(30.0, ge=0.1, le=86400)
    seed: int = Field(1, ge=0, lt=2**31)
    sample_rate_hz: float = Field(1e6, ge=1e3, le=100e6)
    slot_len: int = Field(20480, ge=1024, le=1 << 22)
    images_per_frame: int = Field(48, ge=1, le=256)
    link_id: int = Field(0x51, ge=0, le=255)
    feedback: bool = True
    trajectory: tuple[tuple[float, float], ...] | None = None
    forward: dict[str, Any] = FORWARD_CHANNEL
    reverse: dict[str, Any] = REVERSE_CHANNEL
    rate_controller: RateControllerConfig = RateControllerConfig()

    @field_validator("trajectory")
    @classmethod
    def _usable(cls, points):
        if points is not None:
            ChannelConfig(snr_db=points)
        return points

    @field_validator("forward", "reverse")
    @classmethod
    def _known(cls, fields):
        if "snr_db" in fields:
            raise UserError(
                "LoopConfig: the noise of both directions is set by 'trajectory', not by a channel's snr_db"
            )
        ChannelConfig.from_dict(fields)
        return fields

    @property
    def slots(self) -> int:
        """Number of forward slots in the run."""
        return max(1, round(self.seconds * self.sample_rate_hz / self.slot_len))

    @property
    def slot_s(self) -> float:
        """Link time of one slot."""
        return self.slot_len / self.sample_rate_hz

    @property
    def snr_trajectory(self) -> SnrTrajectory:
        """The SNR over link time that this run uses: the given one or the demo's.

        The demo's jump is moved to three quarters of its slot: between two frames, so that no frame is half before it.
        """
        if self.trajectory is not None:
            return SnrTrajectory(self.trajectory)
        demo = SnrTrajectory.demo(self.slots * self.slot_s)
        jump_s = demo.jumps[0][0]
        moved_s = (math.floor(jump_s / self.slot_s) + 0.75) * self.slot_s
        points = [(moved_s if time_s == jump_s else time_s, snr_db) for time_s, snr_db in demo.points]
        return SnrTrajectory(sorted(points, key=lambda point: point[0]))

    @property
    def drop_s(self) -> float | None:
        """Time of the trajectory's deepest jump downwards, if that is at least 6 dB; else None."""
        depths = [(before - after, time_s) for time_s, before, after in self.snr_trajectory.jumps]
        depth_db, time_s = max(depths, default=(0.0, None))
        return time_s if depth_db >= _SUDDEN_DB else None
