# SPDX-License-Identifier: GPL-3.0-or-later
"""Power delay profiles of multipath channels, by name."""

import dataclasses
import re

import numpy as np

from gr_semantic.errors import UserError

# 3GPP TR 38.901 tables 7.7.2-1 to -3: delay over the RMS delay spread, mean power in dB; every path is Rayleigh.
_TDL = {
    "a": (
        (0.0000, -13.4), (0.3819, 0.0), (0.4025, -2.2), (0.5868, -4.0), (0.4610, -6.0), (0.5375, -8.2),
        (0.6708, -9.9), (0.5750, -10.5), (0.7618, -7.5), (1.5375, -15.9), (1.8978, -6.6), (2.2242, -16.7),
        (2.1718, -12.4), (2.4942, -15.2), (2.5119, -10.8), (3.0582, -11.3), (4.0810, -12.7), (4.4579, -16.2),
        (4.5695, -18.3), (4.7966, -18.9), (5.0066, -16.6), (5.3043, -19.9), (9.6586, -29.7),
    ),
    "b": (
        (0.0000, 0.0), (0.1072, -2.2), (0.2155, -4.0), (0.2095, -3.2), (0.2870, -9.8), (0.2986, -1.2),
        (0.3752, -3.4), (0.5055, -5.2), (0.3681, -7.6), (0.3697, -3.0), (0.5700, -8.9), (0.5283, -9.0),
        (1.1021, -4.8), (1.2756, -5.7), (1.5474, -7.5), (1.7842, -1.9), (2.0169, -7.6), (2.8294, -12.2),
        (3.0219, -9.8), (3.6187, -11.4), (4.1067, -14.9), (4.2790, -9.2), (4.7834, -11.3),
    ),
    "c": (
        (0.0000, -4.4), (0.2099, -1.2), (0.2219, -3.5), (0.2329, -5.2), (0.2176, -2.5), (0.6366, 0.0),
        (0.6448, -2.2), (0.6560, -3.9), (0.6584, -7.4), (0.7935, -7.1), (0.8213, -10.7), (0.9336, -11.1),
        (1.2285, -5.1), (1.3083, -6.8), (2.1704, -8.7), (2.7105, -13.2), (4.2589, -13.9), (4.6003, -13.9),
        (5.4902, -15.8), (5.6077, -17.1), (6.3065, -16.0), (6.6374, -15.7), (7.0427, -21.6), (8.6523, -22.8),
    ),
}  # fmt: skip
_MAX_SPREAD_NS = 100_000.0


@dataclasses.dataclass(frozen=True)
class DelayProfile:
    """Paths of a channel. delays_s, powers_lin: float64, one a path; powers sum to 1. fades: False for a steady one."""

    delays_s: np.ndarray
    powers_lin: np.ndarray
    fades: bool


def delay_profile(name: str) -> DelayProfile:
    """The profile that a string names.

    Args:
        name: "flat" (one path, no fading), "rayleigh" (one fading path), or "tdl-a:100ns" (also tdl-b, tdl-c) with
            the RMS delay spread in ns.

    Raises:
        UserError: another name, or a spread outside of 0..100000 ns.
    """
    text = str(name).strip().lower()
    if text in ("flat", "rayleigh"):
        return DelayProfile(np.zeros(1), np.ones(1), fades=text == "rayleigh")
    match = re.fullmatch(r"tdl-([abc]):(\d+\.?\d*)\s*ns", text)
    if match is None:
        raise UserError(f"multipath is '{name}', expected 'flat', 'rayleigh' or 'tdl-a:100ns' (tdl-a, -b, -c; ns)")
    spread_ns = float(match[2])
    if spread_ns > _MAX_SPREAD_NS:
        raise UserError(f"multipath is '{name}', expected an RMS delay spread of 0 to {_MAX_SPREAD_NS:g} ns")
    delays, powers_db = np.array(_TDL[match[1]]).T
    powers_lin = 10 ** (powers_db / 10)
    return DelayProfile(delays * spread_ns * 1e-9, powers_lin / powers_lin.sum(), fades=True)
