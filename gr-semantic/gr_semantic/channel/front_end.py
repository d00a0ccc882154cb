# SPDX-License-Identifier: GPL-3.0-or-later
"""Imperfections of the analog front end that act on each sample alone."""

import cmath
import math

import numpy as np

from gr_semantic.channel.streaming import Impairment, scale
from gr_semantic.errors import UserError


class IqImbalance(Impairment):
    """Gain and phase error of the Q branch: I' = I, Q' = g (cos(phase) Q + sin(phase) I), g = 10 ** (gain_db / 20).

    The image of a tone lies (1 + 2 g cos(phase) + g^2) / (1 - 2 g cos(phase) + g^2) below it.
    """

    def __init__(self, gain_db: float = 0.0, phase_deg: float = 0.0):
        gain_lin = 10 ** (gain_db / 20)
        self._q_to_q = np.float32(gain_lin * math.cos(math.radians(phase_deg)))
        self._i_to_q = np.float32(gain_lin * math.sin(math.radians(phase_deg)))

    def process(self, samples):
        out = samples.copy()
        np.add(self._q_to_q * samples.imag, self._i_to_q * samples.real, out=out.imag)
        return out


class DcOffset(Impairment):
    """Adds a constant of power 10 ** (level_db / 10) and angle angle_deg (carrier leakage)."""

    def __init__(self, level_db: float, angle_deg: float = 45.0):
        self._offset = np.complex64(cmath.rect(10 ** (level_db / 20), math.radians(angle_deg)))

    def process(self, samples):
        return samples + self._offset


class PowerAmplifier(Impairment):
    """Rapp model of a solid-state amplifier: small-signal gain 1, output saturates at A = 10 ** (backoff_db / 20).

    out = in / (1 + (abs(in) / A) ** (2 p)) ** (1 / (2 p)); no phase distortion.

    Args:
        backoff_db: saturation power over a mean input power of 1 (input back-off).
        smoothness: p, 1, 2 or 4 (its roots are then square roots); larger is a harder knee.
    """

    def __init__(self, backoff_db: float, smoothness: int = 2):
        if smoothness not in (1, 2, 4):
            raise UserError(f"pa_smoothness is {smoothness}, expected 1, 2 or 4")
        self._inverse_saturation = np.float32(10 ** (-backoff_db / 10))
        self._doublings = {1: 0, 2: 1, 4: 2}[smoothness]

    def process(self, samples):
        power = (samples.real * samples.real + samples.imag * samples.imag) * self._inverse_saturation
        for _ in range(self._doublings):
            power *= power
        root = np.sqrt(power + np.float32(1))
        for _ in range(self._doublings):
            root = np.sqrt(root)
        return scale(samples, np.float32(1) / root)
