# SPDX-License-Identifier: GPL-3.0-or-later
"""Plutos without hardware: a server that libiio clients take for ADALM-Plutos, on one simulated air.

with VirtualPlutos({"radios": [{"ppm": 10}, {"ppm": -10}]}).start() as plutos:
    sdr = adi.Pluto(plutos.uris[0])
"""

from gr_semantic.virtual_pluto.config import (
    InterfererConfig,
    ListedPath,
    PathConfig,
    RadioConfig,
    SetNoiseFigure,
    SetPath,
    SetPpm,
    Unplug,
    VirtualPlutosConfig,
)
from gr_semantic.virtual_pluto.virtual_plutos import RadioState, VirtualPlutos
from gr_semantic.virtual_pluto.virtual_plutos_process import VirtualPlutosProcess

__all__ = [
    "InterfererConfig",
    "ListedPath",
    "PathConfig",
    "RadioConfig",
    "RadioState",
    "SetNoiseFigure",
    "SetPath",
    "SetPpm",
    "Unplug",
    "VirtualPlutos",
    "VirtualPlutosConfig",
    "VirtualPlutosProcess",
]
