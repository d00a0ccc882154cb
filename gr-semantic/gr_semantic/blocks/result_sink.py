# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects what was sent and what was decoded, slot by slot."""

import threading
import time
from collections import deque
from pathlib import Path

from gnuradio import gr

from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.ota_rows import OtaRows
from gr_semantic.blocks.pdu import read_pdu, require
from gr_semantic.blocks.slot_rows import SlotRows
from gr_semantic.errors import UserError
from gr_semantic.link.frame_log import FrameLog, FrameRow
from gr_semantic.link.ota_row import OtaRow

_KEPT_WARNINGS = 100


class ResultSink(MessageBlock, gr.basic_block):
    """Joins decoded classes with the truth: one FrameRow for each slot, lost frames included.

    Over the air (``on_air``) the two directions are not in step: the rows are OtaRows, joined by the frames' sequence
    numbers, and those of lost frames come when a later frame has arrived or 4 s have passed.

    Input ``results``: the decoder's results and ticks. Input ``images``: what was sent. Input ``feedback``
    (``with_feedback``): of the feedback receiver *and* the feedback transmitter. Input ``symbols``: the receiver's
    constellation (optional).
    Input ``status``: of any block; an error ends the run, and so does one of this block.
    Output ``end``: one message after the last slot or the first error; it ends an OFDM transmitter's stream.

    Args:
        slot_s: link time of a slot, seconds.
        sample_rate_hz: of the receiver's samples.
        slots: slots of the run; 0: no end.
        on_row: called with each FrameRow, in order, in this block's thread; an exception in it ends the run.
        log_path: frames.csv to write; empty: none.
        snr_at: true SNR in dB at a link time in seconds, for the rows; None: unknown.
        with_feedback: rows wait for the slot's feedback.
        on_air: free running: no ticks of the receiver.
        on_symbols: called with the measured SNR in dB and the symbols (complex64) of each message on ``symbols``.
    """

    def __init__(
        self,
        slot_s,
        sample_rate_hz,
        slots=0,
        on_row=None,
        log_path="",
        snr_at=None,
        with_feedback=True,
        on_symbols=None,
        on_air=False,
    ):
        for name, value in (("slot_s", slot_s), ("sample_rate_hz", sample_rate_hz)):
            if not value > 0:
                raise UserError(f"{name} is {value}, expected more than 0")
        gr.basic_block.__init__(self, name="semantic_result_sink", in_sig=None, out_sig=None)
        self.slots, self.on_row, self.use_symbols = int(slots), on_row, on_symbols
        self.log = FrameLog(Path(log_path), OtaRow if on_air else FrameRow) if log_path else None
        if on_air:
            self.assembler = OtaRows(float(sample_rate_hz), float(slot_s), bool(with_feedback))
        else:
            self.assembler = SlotRows(float(slot_s), float(sample_rate_hz), snr_at, bool(with_feedback))
        self.frames = self.images_decoded = self.images_correct = 0
        self.warnings = deque(maxlen=_KEPT_WARNINGS)
        self.run_error = None
        self.progress_s = 0.0  # monotonic wall clock at the newest row
        self.finished = threading.Event()
        handlers = {
            "results": self.on_result,
            "images": self.on_images,
            "feedback": self.on_feedback,
            "symbols": self.on_symbols,
            "status": self.on_status,
        }
        self.open_ports(handlers, ("end",))

    def stop(self):
        if self.log is not None:
            self.log.close()
        return True

    @guarded
    def on_result(self, message):
        self._take(self.assembler.result(*read_pdu(message)))

    @guarded
    def on_images(self, message):
        self._take(self.assembler.images(*read_pdu(message)))

    @guarded
    def on_feedback(self, message):
        self._take(self.assembler.feedback(read_pdu(message)[0]))

    @guarded
    def on_symbols(self, message):
        if self.use_symbols is not None:
            meta, symbols = read_pdu(message)
            self.use_symbols(require(meta, "measured_snr_db", float), symbols)

    @guarded
    def on_status(self, message):
        meta, _ = read_pdu(message)
        text = f"{meta.get('block')}: {meta.get('text')}"
        if meta.get("level") == "error":
            self.end(text)
        elif meta.get("level") == "warning":
            self.warnings.append(text)

    def finish_rows(self):
        """Take what is known of the rows that are still open (on_air), as when all patience is over."""
        self._take(self.assembler.rest())

    def _take(self, rows):
        for row in rows:
            if self.finished.is_set():
                return
            self.progress_s = time.monotonic()
            self.frames += row.received
            self.images_decoded += len(row.predicted)
            self.images_correct += sum(a == b for a, b in zip(row.predicted, row.true, strict=False))
            try:
                if self.log is not None:
                    self.log.append(row)
                if self.on_row is not None:
                    self.on_row(row)
            except Exception as failure:
                self.report("error", f"the result of slot {row.slot} could not be taken: {failure}")
            if self.slots and row.slot == self.slots - 1:
                self.end(None)

    def report(self, level, text):
        super().report(level, text)
        if level == "error":
            self.end(self.error)

    def end(self, error=None):
        """End the run, as the last slot or an error does."""
        if self.finished.is_set():
            return
        self.run_error = error
        self.finished.set()
        self.publish("end", {"kind": "end"})
