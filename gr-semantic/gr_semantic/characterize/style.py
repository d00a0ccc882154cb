# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the plots: told apart by marker and dash as well as by colour (Okabe and Ito's)."""

from ..recording.plots import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION

OURS = {"color": BLUE, "marker": "o", "ms": 4, "lw": 1.8}
GENIE = {"color": BLACK, "ls": "--", "lw": 1.4, "marker": "x", "ms": 5}
BAR = {"color": VERMILION, "ls": ":", "lw": 1.6}
FAMILY = [
    {"color": BLUE, "marker": "o", "ms": 4},
    {"color": ORANGE, "marker": "s", "ms": 4},
    {"color": GREEN, "marker": "^", "ms": 5},
    {"color": SKY, "marker": "D", "ms": 4},
    {"color": VERMILION, "marker": "v", "ms": 5},
]
