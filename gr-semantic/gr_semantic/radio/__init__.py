# SPDX-License-Identifier: GPL-3.0-or-later
"""Where samples come from and go to: a Pluto, a simulated medium or a file, behind one small interface."""

from gr_semantic.radio.config import RadioConfig
from gr_semantic.radio.interface import Counters, Radio, RadioError, RadioLost
from gr_semantic.radio.keeper import RadioKeeper
from gr_semantic.radio.open import open_radio

__all__ = ["Counters", "Radio", "RadioConfig", "RadioError", "RadioKeeper", "RadioLost", "open_radio"]
