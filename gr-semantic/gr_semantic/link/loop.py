# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed loop as one flowgraph: node A, node B and the two channels between them."""

import math
import threading
import time

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.channel_simulator import ChannelSimulator
from gr_semantic.blocks.feedback_receiver import FeedbackReceiver
from gr_semantic.blocks.feedback_transmitter import FeedbackTransmitter
from gr_semantic.blocks.image_source import ImageSource
from gr_semantic.blocks.ofdm_receiver import OfdmReceiver
from gr_semantic.blocks.ofdm_transmitter import OfdmTransmitter
from gr_semantic.blocks.rate_controller import RateController
from gr_semantic.blocks.result_sink import ResultSink
from gr_semantic.blocks.semantic_decoder import SemanticDecoder
from gr_semantic.blocks.semantic_encoder import SemanticEncoder
from gr_semantic.blocks.slot_clock import shortest_slot
from gr_semantic.errors import UserError
from gr_semantic.link.config import LoopConfig
from gr_semantic.modem import Header, Waveform, frame_len

# Places in the seed's sequence: each random part has numbers of its own.
_FORWARD, _REVERSE = 0, 1
_STALL_S = 120.0


class LoopFlowgraph(gr.top_block):
    """Images from node A to node B over the forward channel, SNR reports back over the reverse channel.

    The two directions run in lock-step, slot by slot: forward slot k + delay_slots is made only once reverse slot k
    was received and processed completely. So the rows do not depend on the timing of threads: same config, codec and
    images, same rows. Ends by itself after ``config.slots`` slots.

    Args:
        config: settings of the run.
        codec: SemanticCodec.
        images: ImageSet.
        on_result: called with the FrameRow of each forward slot, in order, in a thread of the flowgraph.
        on_symbols: called with the measured SNR in dB and the equalised symbols (complex64, N*L) of each received
            data frame, in the same thread.

    Raises:
        UserError: settings that do not fit together; the waveform or a channel cannot be made.
    """

    def __init__(self, config: LoopConfig, codec, images, on_result=None, on_symbols=None):
        gr.top_block.__init__(self, "semantic loop")
        self.config = config
        wf = Waveform.load(config.waveform)
        _check_slot(config, wf, max(codec.budgets))
        self._stop_lock = threading.Lock()
        self._state = "new"
        self._started_s = 0.0
        slots, slot_len, rate = config.slots, config.slot_len, config.sample_rate_hz
        rate_settings = config.rate_controller

        # Node A: images to samples, reports to profiles.
        self.rate_controller = RateController(codec, config.slot_s, config.feedback, slots, rate_settings)
        self.image_source = ImageSource(images, config.images_per_frame, config.seed)
        self.encoder = SemanticEncoder(codec, link_id=config.link_id, lockstep=True)
        self.transmitter_a = OfdmTransmitter(wf, slot_len, slots)
        self.receiver_a = OfdmReceiver(wf, slot_len, config.link_id, rate)
        max_age_slots = self.rate_controller.controller.max_age_slots
        self.feedback_receiver = FeedbackReceiver(config.link_id, max_age_slots)
        # Node B: samples to classes, measurements to reports.
        self.receiver_b = OfdmReceiver(wf, slot_len, config.link_id, rate)
        self.decoder = SemanticDecoder(codec, link_id=config.link_id, lockstep=True)
        self.feedback_transmitter = FeedbackTransmitter(config.link_id, enabled=config.feedback)
        self.transmitter_b = OfdmTransmitter(wf, slot_len, slots)
        # The medium, and who watches it all.
        self.forward_channel = _channel(config, config.forward, _FORWARD)
        self.reverse_channel = _channel(config, config.reverse, _REVERSE)
        for channel in (self.forward_channel, self.reverse_channel):
            channel.set_min_output_buffer(2 * slot_len)  # fewer and larger calls
        snr_at = config.snr_trajectory.at
        self.sink = ResultSink(config.slot_s, rate, slots, on_result, snr_at=snr_at, on_symbols=on_symbols)

        self.connect(self.transmitter_a, self.forward_channel, self.receiver_b)
        self.connect(self.transmitter_b, self.reverse_channel, self.receiver_a)
        for source, out_port, target, in_port in (
            (self.rate_controller, "profile", self.image_source, "profile"),
            (self.image_source, "images", self.encoder, "images"),
            (self.encoder, "symbols", self.transmitter_a, "symbols"),
            (self.receiver_b, "frames", self.decoder, "frames"),
            (self.receiver_b, "frames", self.feedback_transmitter, "frames"),
            (self.feedback_transmitter, "symbols", self.transmitter_b, "symbols"),
            (self.receiver_a, "frames", self.feedback_receiver, "frames"),
            (self.feedback_receiver, "feedback", self.rate_controller, "feedback"),
            (self.image_source, "images", self.sink, "images"),
            (self.decoder, "results", self.sink, "results"),
            (self.receiver_b, "constellation", self.sink, "symbols"),
            (self.feedback_transmitter, "symbols", self.sink, "feedback"),
            (self.feedback_receiver, "feedback", self.sink, "feedback"),
            (self.sink, "end", self.transmitter_a, "symbols"),
            (self.sink, "end", self.transmitter_b, "symbols"),
        ):
            self.msg_connect(source, out_port, target, in_port)
        for block in self._watched():
            self.msg_connect(block, "status", self.sink, "status")

    def start(self, *args):
        """Start the flowgraph; it can run once."""
        with self._stop_lock:
            if self._state != "new":
                raise RuntimeError("a LoopFlowgraph runs once: make a new one")
            self._state = "running"
            self._started_s = time.monotonic()
            super().start(*args)

    def finished(self) -> bool:
        """Whether the last slot's row was given out, or an error ended the run.

        A run in which no slot is completed for two minutes of wall-clock time ends with an error.
        """
        # The message about an error may be lost: a block that ends takes the blocks behind it along.
        error = next((block.error for block in self._watched() if block.error), None)
        if error is not None:
            self.sink.end(error)
        if self._state == "running" and time.monotonic() - max(self._started_s, self.sink.progress_s) > _STALL_S:
            self.sink.end(f"no slot was completed for {_STALL_S:.0f} s: the loop is stuck")
        return self.sink.finished.is_set()

    def wait_finished(self, timeout_s: float | None = None) -> bool:
        """Wait until ``finished``; returns it."""
        deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self.finished():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self.sink.finished.wait(min(left_s, 1.0))
        return True

    @property
    def error(self) -> str | None:
        """What ended the run early, in one line."""
        return self.sink.run_error

    @property
    def papr_db(self) -> float | None:
        """Peak over mean power of the forward frames sent so far."""
        return self.transmitter_a.peaks.papr_db

    @property
    def warnings(self) -> list[str]:
        """The last warnings of any block (dropped messages)."""
        return list(self.sink.warnings)

    def stop_and_wait(self) -> None:
        """End the flowgraph in any state: before the start, while it runs, when it has ended, or a second time."""
        with self._stop_lock:
            if self._state == "running":
                self.stop()
                self.wait()
            self._state = "ended"

    def _watched(self):
        return (
            self.rate_controller,
            self.image_source,
            self.encoder,
            self.transmitter_a,
            self.forward_channel,
            self.receiver_b,
            self.decoder,
            self.feedback_transmitter,
            self.transmitter_b,
            self.reverse_channel,
            self.receiver_a,
            self.feedback_receiver,
        )


def _channel(config, fields, place):
    seed = np.random.SeedSequence((config.seed, place))
    return ChannelSimulator(config.sample_rate_hz, seed, fields, snr_db=config.snr_trajectory)


def _check_slot(config, wf, budget):
    header = Header(kind="data", image_count=config.images_per_frame, budget=budget)
    frame = f"a frame of {config.images_per_frame} images x {budget} symbols"
    if wf.payload_symbols(header.value_count) > wf.max_payload_symbols:
        raise UserError(
            f"images_per_frame is {config.images_per_frame}: {frame} is longer than waveform {wf.name} allows "
            f"({wf.max_payload_symbols} OFDM symbols)"
        )
    shortest = shortest_slot(wf, frame_len(wf, header))
    if config.slot_len < shortest:
        raise UserError(
            f"slot_len is {config.slot_len}: {frame} in waveform {wf.name} needs slots of at least {shortest} samples"
        )
