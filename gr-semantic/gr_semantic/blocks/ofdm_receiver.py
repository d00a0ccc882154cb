# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples to frames."""

import dataclasses
import time

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.message_block import MessageBlock, guarded_work
from gr_semantic.blocks.pdu import tick
from gr_semantic.blocks.slot_clock import SlotClock, shortest_slot
from gr_semantic.errors import UserError
from gr_semantic.modem import Header, StreamReceiver, Waveform, frame_len
from gr_semantic.modem.receiver_process import ReceiverProcess
from gr_semantic.modem.stream import LIVE_CHUNK, live_chunk


class OfdmReceiver(MessageBlock, gr.sync_block):
    """Finds, demodulates and equalises every frame in a stream.

    Input: complex64 samples.
    Output ``frames``: meta with the header's fields, start_sample, frame_len, measured_snr_db, cfo_hz, sro_ppm,
    evm_db, found_s (monotonic wall clock) and, for data, noise_var (f32vector, N*L); vector c32, the equalised symbols,
    N*L row-major. With ``slot_len > 0`` also a tick at the end of each slot, in order with the frames.
    Output ``constellation``: the symbols of data frames alone, for displays; meta measured_snr_db, carriers (s32, the
    data carriers) and carrier_error_lin (f32, error power of each, relative to the signal's).

    Args:
        waveform: name or path of a waveform, or a Waveform.
        slot_len: samples of a slot for ticks; 0 for none.
        link_id: only frames of this link are passed on; -1 passes all.
        sample_rate_hz: for cfo_hz.
    """

    def __init__(self, waveform="ofdm64", slot_len=0, link_id=-1, sample_rate_hz=1e6):
        self.waveform = waveform if isinstance(waveform, Waveform) else Waveform.load(waveform)
        shortest = shortest_slot(self.waveform, frame_len(self.waveform, Header(kind="data")))
        if slot_len and slot_len < shortest:
            raise UserError(f"slot_len is {slot_len}, expected 0 (no slots) or at least {shortest} for this waveform")
        if not sample_rate_hz > 0:
            raise UserError(f"sample_rate_hz is {sample_rate_hz}, expected more than 0")
        gr.sync_block.__init__(self, name="semantic_ofdm_receiver", in_sig=[np.complex64], out_sig=None)
        self.link_id = int(link_id)
        # Slots are timed for the shortest chunk.
        self._chunk = LIVE_CHUNK if slot_len else live_chunk(sample_rate_hz)
        self.receiver = StreamReceiver(self.waveform, float(sample_rate_hz), self._chunk)
        self._process = None
        self._data_carriers = self.waveform.occupied[self.waveform.data_index].astype(np.int32)
        self._clock = SlotClock(int(slot_len)) if slot_len else None
        self._chunks = []
        self._received = self._frames = 0
        self.open_ports(outputs=("frames", "constellation"))

    def work_in_own_process(self):
        """Before the start, and without slots: leave the interpreter to the other blocks. ``close`` is to be called."""
        self._process = ReceiverProcess(self.waveform, self.receiver.sample_rate_hz, self._chunk, self._on_frame)

    def close(self):
        """End a process of its own; harmless in any state."""
        if self._process is not None:
            self._process.close()

    def frame_count(self):
        """Frames passed on so far, for a Function Probe."""
        return self._frames

    @guarded_work
    def work(self, input_items, output_items):
        samples = input_items[0]
        if self._process is not None:
            self._process.push(samples)
        elif self._clock is None:
            self._push(samples)
        else:
            self._push_slots(samples)
        return len(samples)

    def _push_slots(self, samples):
        """One push a slot, at sample counts that do not depend on how the scheduler cuts the stream."""
        first = 0
        while first < len(samples):
            count = min(len(samples) - first, self._clock.end - self._received)
            self._chunks.append(np.array(samples[first : first + count]))
            self._received += count
            first += count
            if self._received == self._clock.end:
                chunk = np.concatenate(self._chunks)
                self._chunks.clear()
                self._push(chunk)
                self.publish("frames", tick(self._clock.slot))
                self._clock.advance()

    def _push(self, samples):
        frames = self.receiver.push(samples)
        found_s = time.monotonic()
        for frame in frames:
            self._take(frame, found_s)

    def _on_frame(self, frame, found_s):
        try:
            self._take(frame, found_s)
        except Exception as failure:
            self.report("error", f"{type(failure).__name__}: {failure}")

    def _take(self, frame, found_s):
        if self.link_id < 0 or frame.header.link_id == self.link_id:
            if self._clock is not None:
                self._clock.align(int(frame.start_sample))
            self._send(frame, found_s)

    def _send(self, frame, found_s):
        self._frames += 1
        meta = dataclasses.asdict(frame.header) | {
            "start_sample": int(frame.start_sample),
            "frame_len": frame_len(self.waveform, frame.header),
            "measured_snr_db": float(frame.snr_db),
            "cfo_hz": float(frame.cfo_hz),
            "sro_ppm": float(frame.sro_ppm),
            "evm_db": float(frame.evm_db),
            "found_s": found_s,
        }
        if frame.header.kind != "data":
            self.publish("frames", meta)
            return
        symbols = np.ascontiguousarray(frame.symbols, np.complex64).reshape(-1)
        meta["noise_var"] = np.ascontiguousarray(frame.noise_var, np.float32).reshape(-1)
        self.publish("frames", meta, symbols)
        shown = {
            "measured_snr_db": meta["measured_snr_db"],
            "carriers": self._data_carriers,
            "carrier_error_lin": np.ascontiguousarray(frame.carrier_error_lin),
        }
        self.publish("constellation", shown, symbols)
