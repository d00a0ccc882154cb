# SPDX-License-Identifier: GPL-3.0-or-later
"""The live dashboard of a link as one QT widget."""

import threading
import time

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.codecs import open_codec
from gr_semantic.blocks.dashboard import TILES, Dashboard
from gr_semantic.blocks.display_history import DisplayHistory
from gr_semantic.blocks.frame_rows import FrameRows
from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import PduError, is_tick, read_pdu, require
from gr_semantic.blocks.slot_rows import SlotRows
from gr_semantic.errors import UserError
from gr_semantic.link.frame_log import NAN


class SemanticDisplay(MessageBlock, gr.basic_block):
    """Shows what arrives. ``widget`` is the QWidget to put into a window. A QApplication must exist.

    Input ``results``: the decoder's results and ticks. Input ``images``: what was sent; without slots it may be left
    open (no pictures and no accuracy then). Input ``constellation``: the receiver's. Input ``feedback``: the feedback
    receiver's.

    Args:
        slot_s: link time of a slot, seconds; 0: none, frames are joined with what was sent by sequence number.
        snr_db: true SNR to draw beside the measured one; None: unknown.
        span_s: link time of the curves, seconds.
        average_images: accuracy is that of so many last images.
        sample_rate_hz: of the receiver's samples; the link time where there are no slots.
        codec: names the classes where no images are known; None: their numbers are shown.
    """

    def __init__(self, slot_s, snr_db=None, span_s=20.0, average_images=200, sample_rate_hz=1e6, codec=None):
        if not slot_s >= 0:
            raise UserError(f"slot_s is {slot_s}, expected 0 (no slots) or more")
        for name, value in (
            ("span_s", span_s),
            ("average_images", average_images),
            ("sample_rate_hz", sample_rate_hz),
        ):
            if not value > 0:
                raise UserError(f"{name} is {value}, expected more than 0")
        classes = tuple(open_codec(codec).classes) if codec else ()
        gr.basic_block.__init__(self, name="semantic_display", in_sig=None, out_sig=None)
        self.set_snr_db(snr_db)
        self._lock = threading.Lock()
        self._history = DisplayHistory(float(span_s), int(average_images), classes)
        self._slot_s = float(slot_s)
        # The decoder's frames count as they are: no sample rate is needed for rows of slots.
        self._rows = SlotRows(self._slot_s, 1.0, with_feedback=False) if slot_s else FrameRows(float(sample_rate_hz))
        self._image_set = self._newest_report = None
        self._report_arrived_s = 0.0
        self.widget = Dashboard(self._snapshot)
        handlers = {
            "results": self.on_result,
            "images": self.on_images,
            "constellation": self.on_constellation,
            "feedback": self.on_feedback,
        }
        self.open_ports(handlers)

    def set_snr_db(self, snr_db):
        """Change the true SNR while running."""
        self.snr_db = NAN if snr_db is None else float(snr_db)

    @guarded
    def on_result(self, message):
        self._take(self._rows.result(*read_pdu(message)))

    @guarded
    def on_images(self, message):
        meta, indices = read_pdu(message)
        self._image_set = require(meta, "images", str)
        self._take(self._rows.images(meta, indices))

    @guarded
    def on_constellation(self, message):
        meta, symbols = read_pdu(message)
        if symbols is None or symbols.dtype != np.complex64:
            raise PduError("the constellation PDU holds no symbols")
        none = np.empty(0, np.float32)
        with self._lock:
            self._history.add_symbols(symbols, meta.get("carriers", none), meta.get("carrier_error_lin", none))

    @guarded
    def on_feedback(self, message):
        meta, _ = read_pdu(message)
        if not is_tick(meta):
            self._newest_report = require(meta, "measured_slot", int)
            self._report_arrived_s = time.monotonic()
        elif self._newest_report is not None:
            # From the measured frame's start to the end of the reverse slot.
            age_s = (require(meta, "slot", int) + 1 - self._newest_report) * self._slot_s
            with self._lock:
                self._history.set_feedback_age(age_s)

    def _take(self, rows):
        with self._lock:
            for row in rows:
                self._history.add(row, self._image_set, self.snr_db)

    def _snapshot(self):
        with self._lock:
            if not self._slot_s and self._newest_report is not None:  # no ticks: the clock on the wall
                self._history.set_feedback_age(time.monotonic() - self._report_arrived_s)
            return self._history.snapshot(TILES)
