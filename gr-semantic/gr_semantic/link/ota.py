# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop over the air as one flowgraph: two radios, two clocks, wall time."""

import threading
import time

from gnuradio import gr

from gr_semantic.blocks.feedback_receiver import FeedbackReceiver
from gr_semantic.blocks.feedback_transmitter import FeedbackTransmitter
from gr_semantic.blocks.image_source import ImageSource
from gr_semantic.blocks.ofdm_receiver import OfdmReceiver
from gr_semantic.blocks.ofdm_transmitter import OfdmTransmitter
from gr_semantic.blocks.ota_rows import OtaRows, ReceivedRows
from gr_semantic.blocks.radio_sink import RadioSink
from gr_semantic.blocks.radio_source import RadioSource
from gr_semantic.blocks.rate_controller import RateController
from gr_semantic.blocks.result_sink import ResultSink
from gr_semantic.blocks.semantic_decoder import SemanticDecoder
from gr_semantic.blocks.semantic_encoder import SemanticEncoder
from gr_semantic.errors import UserError
from gr_semantic.link.config import RateControllerConfig
from gr_semantic.link.image_schedule import ImageSchedule
from gr_semantic.link.ota_config import OtaConfig
from gr_semantic.link.ota_transmitter import FedTransmitter
from gr_semantic.modem import Header, Waveform, frame_len

_GAP_LEN = 64  # zeros behind a feedback frame
_FEEDBACK_QUEUE = 2  # an older report is not worth sending
_LEAD_S = 0.1  # zeros before the first frame
_CALL_S = 0.01  # before a frame is due: its images are to be encoded now, with or without a new report
_LONG_BUFFER = 1 << 16  # received samples may wait here without harm


class OtaFlowgraph(gr.top_block):
    """Images from radio to radio, reports back, free running: the transmitter's samples are the frame clock.

    As the transmitter begins slot k, the rate control makes the profile of slot k + 1 from the newest report. A slot
    whose frame is late begins later; the radio never waits. Radios must be open, and stay the caller's.

    Args:
        config: settings; mode closed-loop, tx or rx.
        codec: SemanticCodec.
        images: ImageSet.
        radios: name -> RadioKeeper.
        on_result: called with the OtaRow of each forward slot, in order, in a thread of the flowgraph.
        on_symbols: called with measured SNR in dB and equalised symbols of each received data frame.
        first_slot: number of the first slot: a run that is resumed goes on with its images.

    Raises:
        UserError: settings that do not fit together.
    """

    def __init__(self, config: OtaConfig, codec, images, radios, on_result=None, on_symbols=None, first_slot=0):
        gr.top_block.__init__(self, "semantic loop over the air")
        self.config, self.radios, self.codec = config, radios, codec
        self._stop_lock = threading.Lock()
        self._state = "new"
        wf = Waveform.load(config.waveform)
        _check_frame(config, wf, max(codec.budgets))
        self.slots = config.slots - first_slot
        schedule = ImageSchedule(len(images.images), config.images_per_frame, config.seed)
        self._schedule = _From(schedule, first_slot)
        closed, sends, receives = (config.mode in modes for modes in (("closed-loop",), *_ENDS))
        self._blocks, self._receivers = [], []
        self.transmitter = self.receiver = self.feedback_receiver = None
        self.sink = ResultSink(
            config.slot_s, config.sample_rate_hz, self.slots, on_result, on_symbols=on_symbols, on_air=True
        )
        self.sink.assembler = OtaRows(config.sample_rate_hz, config.slot_s, closed, listening=receives)
        if sends:
            self._node_a(wf, images, closed)
        if receives:
            self._node_b(wf)
            if not sends:
                self.sink.assembler = ReceivedRows(schedule, images.labels, config.slot_s)
        if closed:
            self._reverse(wf)
        if sends:
            ticks_to = self.feedback_receiver if closed else self.rate_controller
            self.msg_connect(self.transmitter, "slots", ticks_to, "frames" if closed else "feedback")
            if not closed:
                self.msg_connect(self.transmitter, "slots", self.sink, "feedback")
        for block in self._blocks:
            self.msg_connect(block, "status", self.sink, "status")
        for receiver, radio in self._receivers:
            if radio.config.kind == "pluto":  # it does not wait for who is slow
                receiver.work_in_own_process()

    def _node_a(self, wf, images, closed):
        """Images to samples, reports to profiles."""
        config, codec = self.config, self.codec
        control = config.rate_controller
        if not closed:
            budget = config.budget or codec.choose_budget(config.snr_db)
            control = RateControllerConfig(
                delay_slots=control.delay_slots, open_loop_snr_db=config.snr_db, open_loop_budget=budget
            )
        radio = self.radios[config.forward.transmitter]
        self.rate_controller = RateController(
            codec, config.slot_s, closed, self.slots, control, on_report=closed and radio.realtime
        )
        self.image_source = ImageSource(images, config.images_per_frame, config.seed)
        self.image_source.schedule = self._schedule
        self.encoder = SemanticEncoder(codec, link_id=config.link_id, batch_frames=1)
        self.transmitter = self._transmitter(wf, radio, config.slot_len, self.slots)
        for source, out_port, target, in_port in (
            (self.rate_controller, "profile", self.image_source, "profile"),
            (self.image_source, "images", self.encoder, "images"),
            (self.encoder, "symbols", self.transmitter, "symbols"),
            (self.image_source, "images", self.sink, "images"),
        ):
            self.msg_connect(source, out_port, target, in_port)
        if not closed:  # else the transmitters go on until the radios are closed: they do not run dry
            self.msg_connect(self.sink, "end", self.transmitter, "symbols")
        self._blocks += [self.rate_controller, self.image_source, self.encoder]

    def _transmitter(self, wf, radio, slot_len=0, slots=0):
        """Messages to a radio's samples. It begins when encoder and decoder are warmed up, with zeros: its queue fills,
        and then it may not run dry."""
        rate_hz = self.config.sample_rate_hz
        lengths = {"lead_len": round(_LEAD_S * rate_hz), "call_len": round(_CALL_S * rate_hz)}
        if self.config.mode == "closed-loop" and radio.feedable:
            block = FedTransmitter(
                radio, wf, slot_len=slot_len, slots=slots, gap_len=_GAP_LEN, queue_frames=_FEEDBACK_QUEUE, **lengths
            )
            self._blocks.append(block)
            return block
        block = OfdmTransmitter(wf, slot_len, slots, _GAP_LEN, _FEEDBACK_QUEUE, on_demand=radio.realtime)
        block.schedule.call_len = lengths["call_len"]
        if radio.realtime:  # samples are made as the radio takes them, one buffer at a time: none wait
            block.schedule.lead_len = lengths["lead_len"]
            block.set_output_multiple(radio.config.tx_len)
            block.set_max_output_buffer(2 * radio.config.tx_len)
        sink = RadioSink(radio)
        self.connect(block, sink)
        self._blocks += [block, sink]
        return block

    def _node_b(self, wf):
        """Samples to classes."""
        config = self.config
        self.radio_source = RadioSource(self.radios[config.forward.receiver])
        self.radio_source.set_min_output_buffer(_LONG_BUFFER)
        self.receiver = OfdmReceiver(wf, 0, config.link_id, config.sample_rate_hz)
        self.decoder = SemanticDecoder(self.codec, link_id=config.link_id)
        self._receivers.append((self.receiver, self.radios[config.forward.receiver]))
        self.connect(self.radio_source, self.receiver)
        self.msg_connect(self.receiver, "frames", self.decoder, "frames")
        self.msg_connect(self.decoder, "results", self.sink, "results")
        self.msg_connect(self.receiver, "constellation", self.sink, "symbols")
        self._blocks += [self.radio_source, self.receiver, self.decoder]

    def _reverse(self, wf):
        """Measurements to reports, and reports back to node A; with one radio, on its one transmitter and receiver."""
        config = self.config
        max_age_slots = self.rate_controller.controller.max_age_slots
        self.feedback_transmitter = FeedbackTransmitter(config.link_id, every_frames=1)
        self.feedback_receiver = FeedbackReceiver(config.link_id, max_age_slots)
        self._blocks += [self.feedback_transmitter, self.feedback_receiver]
        reverse_transmitter, reverse_receiver = self.transmitter, self.receiver
        if config.feedback.transmitter != config.forward.transmitter:
            reverse_transmitter = self._transmitter(wf, self.radios[config.feedback.transmitter])
        if config.feedback.receiver != config.forward.receiver:
            self.reverse_source = RadioSource(self.radios[config.feedback.receiver])
            self.reverse_source.set_min_output_buffer(_LONG_BUFFER)
            reverse_receiver = OfdmReceiver(wf, 0, config.link_id, config.sample_rate_hz)
            self._receivers.append((reverse_receiver, self.radios[config.feedback.receiver]))
            self.connect(self.reverse_source, reverse_receiver)
            self._blocks += [self.reverse_source, reverse_receiver]
        self.reverse_transmitter, self.reverse_receiver = reverse_transmitter, reverse_receiver
        for source, out_port, target, in_port in (
            (self.receiver, "frames", self.feedback_transmitter, "frames"),
            (self.feedback_transmitter, "symbols", reverse_transmitter, "symbols"),
            (reverse_receiver, "frames", self.feedback_receiver, "frames"),
            (self.feedback_receiver, "feedback", self.rate_controller, "feedback"),
            (self.feedback_transmitter, "symbols", self.sink, "feedback"),
            (self.feedback_receiver, "feedback", self.sink, "feedback"),
        ):
            self.msg_connect(source, out_port, target, in_port)

    def start(self, *args):
        """Start the flowgraph; it can run once."""
        with self._stop_lock:
            if self._state != "new":
                raise RuntimeError("an OtaFlowgraph runs once: make a new one")
            self._state = "running"
            super().start(*args)

    def finished(self) -> bool:
        """Whether the last slot's row was given out, or an error ended the run."""
        error = next((block.error for block in self._blocks if block.error), None)
        if error is None:
            gone = (f"radio {name}: {radio.failed}" for name, radio in self.radios.items() if radio.failed)
            error = next(gone, None)
        if error is not None:
            self.sink.end(error)
        if self.receiver is not None and self.radios[self.config.forward.receiver].ended and self._quiet():
            self.sink.end(None)
        return self.sink.finished.is_set()

    def _quiet(self):
        """Whether nothing has come out for a while: the recording that a file radio gave is decoded."""
        return time.monotonic() - max(self.sink.progress_s, self._ended_s()) > 1.0

    def _ended_s(self):
        if not hasattr(self, "_recording_end_s"):
            self._recording_end_s = time.monotonic()
        return self._recording_end_s

    def wait_finished(self, timeout_s: float) -> bool:
        """Wait until ``finished``; returns it."""
        deadline_s = time.monotonic() + timeout_s
        while not self.finished() and time.monotonic() < deadline_s:
            self.sink.finished.wait(0.1)
        return self.sink.finished.is_set()

    @property
    def error(self) -> str | None:
        """What ended the run early, in one line."""
        return self.sink.run_error

    @property
    def warnings(self) -> list[str]:
        """The last warnings of any block."""
        return list(self.sink.warnings)

    def drain(self) -> None:
        """Once a sender alone has finished: wait until its radio has sent all of it."""
        if self.config.mode == "tx" and self.sink.finished.is_set() and self.error is None:
            self.wait()
            radio = self.radios[self.config.forward.transmitter]
            radio.flush()
            if radio.realtime:
                time.sleep(radio.config.tx_buffers * radio.config.tx_len / radio.config.sample_rate_hz)

    def stop_and_wait(self) -> None:
        """End the flowgraph in any state; gives out the rows that are still open."""
        with self._stop_lock:
            if self._state == "running":
                self.stop()
                self.wait()
                self.sink.finish_rows()
            for receiver, _ in self._receivers:
                receiver.close()
            self._state = "ended"


class _From:
    """An image schedule that begins at a later slot."""

    def __init__(self, schedule: ImageSchedule, first_slot: int):
        self._schedule, self._first_slot = schedule, first_slot

    def indices(self, slot: int):
        return self._schedule.indices(self._first_slot + slot)


_ENDS = (("closed-loop", "tx"), ("closed-loop", "rx"))  # modes that send, modes that receive images


def _check_frame(config, wf, budget):
    header = Header(kind="data", image_count=config.images_per_frame, budget=budget)
    frame = f"a frame of {config.images_per_frame} images x {budget} symbols"
    if wf.payload_symbols(header.value_count) > wf.max_payload_symbols:
        raise UserError(
            f"images_per_frame is {config.images_per_frame}: {frame} is longer than waveform {wf.name} allows "
            f"({wf.max_payload_symbols} OFDM symbols)"
        )
    needed = frame_len(wf, header)
    if config.mode == "closed-loop" and config.feedback.transmitter == config.forward.transmitter:
        needed += frame_len(wf, Header(kind="feedback")) + _GAP_LEN  # both share the radio's time
    if config.slot_len < needed:
        raise UserError(f"slot_len is {config.slot_len}: {frame} in waveform {wf.name} needs at least {needed} samples")
