# SPDX-License-Identifier: GPL-3.0-or-later
"""The waveform: pure functions on arrays, no GNU Radio. Blocks, replay and simulation all call these."""

from .demodulate import Frame
from .header import Header
from .modulate import frame_len, modulate
from .stream import StreamReceiver, receive
from .waveform import Waveform, WaveformError

__all__ = [
    "Frame",
    "Header",
    "StreamReceiver",
    "Waveform",
    "WaveformError",
    "frame_len",
    "modulate",
    "receive",
]
