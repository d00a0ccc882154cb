# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the receiver's slots end, in its own sample count."""

from gr_semantic.modem import Waveform
from gr_semantic.modem.detect import scan_len
from gr_semantic.modem.stream import LIVE_CHUNK

_MARGINS = 16  # a slot's end is called this fraction of a slot early


def shortest_slot(wf: Waveform, frame_len: int) -> int:
    """Samples that a slot needs so that its frame, of ``frame_len`` samples, is always received when its end is called.

    The receiver lags behind by at most a chunk and what it looks at to tell a frame from noise.
    """
    symbols = wf.preamble_symbols + wf.header_symbols + 2
    lag = LIVE_CHUNK + scan_len(wf) + symbols * wf.symbol_len
    return -(-(frame_len + lag) * _MARGINS // (_MARGINS - 1))


class SlotClock:
    """Calls the end of each slot.

    A frame is expected at the start of each slot. The end is called a sixteenth of a slot before the next start, so
    that a channel which holds samples back cannot keep the caller waiting for the next slot. Frames re-align the
    slots, which follows a sample-clock offset for any length of time.

    Args:
        slot_len: samples of a slot, at least 16.
    """

    def __init__(self, slot_len: int):
        self._slot_len = slot_len
        self._margin = slot_len // _MARGINS
        self._start = 0
        self.slot = 0

    @property
    def end(self) -> int:
        """Sample count at which the end of ``slot`` is called."""
        return self._start + self._slot_len - self._margin

    def align(self, start_sample: int) -> None:
        """One of our frames starts here: the slot starts here, if that is near its place."""
        if abs(start_sample - self._start) <= self._margin // 2:
            self._start = start_sample

    def advance(self) -> None:
        """On to the next slot."""
        self._start += self._slot_len
        self.slot += 1
