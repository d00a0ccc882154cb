# SPDX-License-Identifier: GPL-3.0-or-later
"""A level in dB that changes over link time."""

import itertools

import numpy as np

from gr_semantic.errors import UserError


class SnrTrajectory:
    """Piecewise linear dB over link time; constant before the first point and after the last.

    Args:
        points: (time_s, snr_db) pairs. Times do not fall; two points at one time are a jump, and the later one holds
            from that time on.

    Raises:
        UserError: no points, a point that is not a pair of finite numbers, or times that fall.
    """

    def __init__(self, points):
        try:
            table = np.array([(float(time_s), float(snr_db)) for time_s, snr_db in points]).reshape(-1, 2)
        except (TypeError, ValueError):
            raise UserError(f"snr_db trajectory: expected a list of [time_s, snr_db] pairs, got {points!r}") from None
        if not len(table) or not np.isfinite(table).all():
            raise UserError("snr_db trajectory: needs at least one [time_s, snr_db] pair of finite numbers")
        falls = np.flatnonzero(np.diff(table[:, 0]) < 0)
        if len(falls):
            early, late = table[falls[0] : falls[0] + 2, 0]
            raise UserError(f"snr_db trajectory: time {late:g} s stands after {early:g} s; sort the points")
        self._times_s, self._snr_db = table.T.copy()

    @classmethod
    def demo(cls, seconds: float) -> "SnrTrajectory":
        """Slow fade from 24 to -4 dB and back, then a sudden drop of 15 dB, in ``seconds``."""
        shape = ((0.0, 24.0), (0.4, -4.0), (0.8, 24.0), (0.88, 24.0), (0.88, 9.0), (1.0, 9.0))
        return cls([(seconds * part, snr_db) for part, snr_db in shape])

    @property
    def points(self) -> list[tuple[float, float]]:
        """The (time_s, snr_db) pairs."""
        return list(zip(self._times_s.tolist(), self._snr_db.tolist(), strict=True))

    @property
    def jumps(self) -> list[tuple[float, float, float]]:
        """(time_s, snr_db before, snr_db after) of each jump."""
        pairs = itertools.pairwise(self.points)
        return [(time_s, before, after) for (time_s, before), (next_s, after) in pairs if next_s == time_s]

    def at(self, t_s):
        """snr_db at link time ``t_s``: float for a number, float64 array of the same shape for an array."""
        t = np.asarray(t_s, dtype=np.float64)
        last = len(self._times_s) - 1
        left = np.searchsorted(self._times_s, t, side="right") - 1
        before, after = np.clip(left, 0, last), np.clip(left + 1, 0, last)
        span_s = self._times_s[after] - self._times_s[before]
        part = np.where(span_s > 0, t - self._times_s[before], 0.0) / np.where(span_s > 0, span_s, 1.0)
        snr_db = self._snr_db[before] + part * (self._snr_db[after] - self._snr_db[before])
        return snr_db if snr_db.ndim else float(snr_db)

    def __repr__(self):
        return f"SnrTrajectory({self.points})"

    def __eq__(self, other):
        return isinstance(other, SnrTrajectory) and self.points == other.points

    __hash__ = None
