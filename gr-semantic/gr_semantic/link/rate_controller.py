# SPDX-License-Identifier: GPL-3.0-or-later
"""Node A's rate control: reports in, the profile (SNR and budget) of every forward slot out. All in link time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gr_semantic.errors import UserError
from gr_semantic.link.config import RateControllerConfig
from gr_semantic.link.feedback import SEQUENCES, Report

_LEVELS = 60  # steps over the SNR range for the open loop's mean budget


@dataclass(frozen=True)
class Profile:
    """What the encoder uses in one forward slot.

    slot, sequence: the slot and its frame's number (slot modulo 2**16). snr_db, budget: for the encoder.
    reported_snr_db: newest report known when the profile was made (NaN: none). measured_slot: of the frame that it was
    measured on (-1: none).
    """

    slot: int
    sequence: int
    snr_db: float
    budget: int
    reported_snr_db: float = math.nan
    measured_slot: int = -1


class RateController:
    """Turns reports into profiles.

    - Reports, clamped to ``snr_range_db``, are averaged in dB (exponentially); one that lies ``sudden_drop_db`` below
      the average replaces it at once. The encoder's SNR is that average.
    - A more robust (larger) budget is taken at once, a less robust one after ``confirm_reports`` reports in a row for
      which the policy chooses it even ``hysteresis_db`` lower.
    - Before the first report, and when the newest *measurement* is older than ``max_age_s`` (reports are lost, or B
      hears nothing), the profile is the safe one: lowest SNR of the range and the policy's budget there. The next
      report starts the average anew.
    - Without feedback every profile is the open-loop one, see ``open_loop_profile``.

    Args:
        choose_budget: policy, SNR in dB -> budget; e.g. ``codec.choose_budget``.
        budgets: the allowed budgets, e.g. ``codec.budgets``.
        snr_range_db: (low, high) of the codec; may be negative.
        slot_s: link time of a slot.
        config: settings.
        feedback: False: open loop.

    Raises:
        UserError: the config's open_loop_budget is not among the budgets.
    """

    def __init__(
        self,
        choose_budget: Callable[[float], int],
        budgets: Sequence[int],
        snr_range_db: tuple[float, float],
        slot_s: float,
        config: RateControllerConfig | None = None,
        feedback: bool = True,
    ):
        self.config = config or RateControllerConfig()
        self.feedback = feedback
        self.max_age_slots = max(1, math.floor(self.config.max_age_s / slot_s))
        self._choose_budget = choose_budget
        self._low_db, self._high_db = snr_range_db
        self._safe = self._low_db, int(choose_budget(self._low_db))
        if self.config.open_loop_budget not in (None, *budgets):
            known = ", ".join(map(str, budgets))
            raise UserError(f"open_loop_budget is {self.config.open_loop_budget}, the codec has {known}")
        self._open_loop = open_loop_profile(choose_budget, budgets, snr_range_db, self.config)
        self._average_db = self._budget = self._newest = None
        self._confirmed = 0

    def start(self) -> list[Profile]:
        """Profiles of the slots that begin before any reverse slot can be complete."""
        return [self._profile(slot) for slot in range(self.config.delay_slots)]

    def on_report(self, report: Report) -> None:
        """Take an accepted report (see FeedbackMonitor). Reports that are not finite are ignored."""
        if not self.feedback or not math.isfinite(report.snr_db):
            return
        snr_db = min(max(report.snr_db, self._low_db), self._high_db)
        fresh = self._average_db is None
        if fresh or snr_db <= self._average_db - self.config.sudden_drop_db:
            self._average_db = snr_db
        else:
            self._average_db += self.config.smoothing * (snr_db - self._average_db)
        self._newest = report
        self._budget = int(self._choose_budget(self._average_db)) if fresh else self._next_budget()

    def on_tick(self, reverse_slot: int) -> Profile:
        """Profile of forward slot ``reverse_slot + delay_slots``; the reverse slot's reports have all been taken."""
        if self._newest is not None and reverse_slot - self._newest.measured_slot > self.max_age_slots:
            self._average_db = self._newest = None
            self._confirmed = 0
        return self._profile(reverse_slot + self.config.delay_slots)

    def _next_budget(self):
        wanted = int(self._choose_budget(self._average_db))
        if wanted >= self._budget:
            self._confirmed = 0
            return wanted
        cautious = int(self._choose_budget(max(self._average_db - self.config.hysteresis_db, self._low_db)))
        self._confirmed = self._confirmed + 1 if cautious < self._budget else 0
        if self._confirmed < self.config.confirm_reports:
            return self._budget
        self._confirmed = 0
        return cautious

    def _profile(self, slot):
        if not self.feedback:
            snr_db, budget = self._open_loop
        elif self._newest is None:
            snr_db, budget = self._safe
        else:
            snr_db, budget = self._average_db, self._budget
        newest = self._newest
        reported, measured = (math.nan, -1) if newest is None else (newest.snr_db, newest.measured_slot)
        return Profile(slot, slot % SEQUENCES, float(snr_db), budget, reported, measured)


def open_loop_profile(
    choose_budget: Callable[[float], int],
    budgets: Sequence[int],
    snr_range_db: tuple[float, float],
    config: RateControllerConfig,
) -> tuple[float, int]:
    """(snr_db, budget) of a link without feedback: mid-range SNR, and as many symbols as adapting costs.

    A designer who knows the range of SNR but hears nothing back favours neither end of it. The budget is the one
    nearest (in ratio) to what the policy spends on average over the range, so that both links use about as many
    symbols. The config overrides either.
    """
    low_db, high_db = snr_range_db
    levels_db = [low_db + (high_db - low_db) * step / _LEVELS for step in range(_LEVELS + 1)]
    mean_budget = sum(map(choose_budget, levels_db)) / len(levels_db)
    nearest = min(budgets, key=lambda budget: abs(math.log(budget / mean_budget)))
    snr_db = (low_db + high_db) / 2 if config.open_loop_snr_db is None else config.open_loop_snr_db
    return snr_db, config.open_loop_budget or nearest
