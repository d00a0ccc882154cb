# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated medium: impairments as streaming objects that compose into a Channel.

Samples are complex64, 1-D. What comes out does not depend, to the last bit, on how the input is cut into calls.
"""

from gr_semantic.channel.carrier_offset import CarrierOffset
from gr_semantic.channel.channel import Channel
from gr_semantic.channel.config import ChannelConfig
from gr_semantic.channel.delay import Delay
from gr_semantic.channel.front_end import DcOffset, IqImbalance, PowerAmplifier
from gr_semantic.channel.interferer import Interferer, Tone
from gr_semantic.channel.level import Gain, Noise
from gr_semantic.channel.multipath import Multipath
from gr_semantic.channel.phase_noise import PhaseNoise
from gr_semantic.channel.sample_rate_offset import SampleRateOffset
from gr_semantic.channel.streaming import Impairment
from gr_semantic.channel.trajectory import SnrTrajectory

__all__ = [
    "CarrierOffset",
    "Channel",
    "ChannelConfig",
    "DcOffset",
    "Delay",
    "Gain",
    "Impairment",
    "Interferer",
    "IqImbalance",
    "Multipath",
    "Noise",
    "PhaseNoise",
    "PowerAmplifier",
    "SampleRateOffset",
    "SnrTrajectory",
    "Tone",
]
