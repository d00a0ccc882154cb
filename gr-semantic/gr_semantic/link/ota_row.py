# SPDX-License-Identifier: GPL-3.0-or-later
"""One row of a run over the air: a FrameRow, and what only exists where clocks are real."""

from dataclasses import dataclass, replace

from gr_semantic.link.frame_log import NAN, FrameRow


@dataclass(frozen=True)
class OtaRow(FrameRow):
    """The frame of one forward slot. time_s is the transmitter's sample count over its sample rate; snr_true_db is not
    known (NaN); latency_s is wall-clock time from the profile to the decoded classes.

    wall_s: when the frame's profile was made, since the first one's.
    measured_slot: slot of the frame that the report used here was measured on (-1: none).
    report_delay_s: wall clock from that measurement at B to the profile at A that first used it (NaN: used before).
    tx_sample, rx_sample: where the frame begins in the transmitter's and the receiver's samples (-1: unknown).
    gap_samples: samples by which the receiver's count jumped against the transmitter's since the last received frame:
        above 0, samples came in between (the transmitter ran dry); below 0, samples were lost.
    """

    wall_s: float = NAN
    measured_slot: int = -1
    report_delay_s: float = NAN
    tx_sample: int = -1
    rx_sample: int = -1
    gap_samples: int = 0

    def from_slot(self, first_slot: int, slot_s: float) -> "OtaRow":
        """The row in a run that began ``first_slot`` slots earlier and was resumed."""
        measured = self.measured_slot if self.measured_slot < 0 else self.measured_slot + first_slot
        moved = {"slot": self.slot + first_slot, "time_s": self.time_s + first_slot * slot_s}
        return replace(self, **moved, measured_slot=measured) if first_slot else self
