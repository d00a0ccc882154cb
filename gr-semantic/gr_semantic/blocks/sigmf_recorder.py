# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of a stream, and what is known of the frames in it, to a SigMF recording."""

import math
import threading

import numpy as np
import pmt
from gnuradio import gr

from gr_semantic.blocks.codecs import open_codec
from gr_semantic.blocks.image_sets import find_images
from gr_semantic.blocks.message_block import WORK_DONE, MessageBlock, guarded, guarded_work
from gr_semantic.blocks.pdu import PduError, is_tick, read_pdu, require
from gr_semantic.errors import UserError
from gr_semantic.modem import Header, Waveform, frame_len
from gr_semantic.recording.live_recording import LiveRecording, checked_name, json_ready
from gr_semantic.recording.sample_format import writable_format

_HEADER = ("kind", "link_id", "sequence", "snr_db", "budget", "image_count")
_OF_DATA, _OF_FEEDBACK = ("model_id16",), ("acked_sequence", "received", "lost")
_MEASURED = ("measured_snr_db", "cfo_hz", "sro_ppm", "evm_db")


class SigmfRecorder(MessageBlock, gr.sync_block):
    """Records a stream that can be read at any time, also after a kill or on a full disk (see LiveRecording).

    Input: complex64 samples.
    Input ``frames``: of the OFDM receiver (``frames``) or of the decoder (``results``, with the predictions) behind the
    *same* stream; each becomes an annotation. Input ``sent``: what was sent: ``images`` of the image source, or
    ``symbols`` of a feedback transmitter; truth for the annotations. Both optional.

    Args:
        path: `.sigmf-meta` file.
        sample_rate_hz: of the stream.
        waveform: name or path of a waveform, or a Waveform.
        codec: SemanticCodec or path of its folder, to be named in the metadata; empty: none.
        datatype, full_scale: "cf32_le" or "ci16_le", and the amplitude that int16's largest magnitude stands for.
        frequency_hz, gain_db: centre frequency and receiver's gain; NaN: not known. May change while running.
        slot_len: samples of a slot: frames that were sent and never found are annotated too; 0: no slots.
        slots: slots of the run: what is sent in a later one never goes on the air; 0: no end.
        overwrite: replace an older recording when the flowgraph starts; False: that is an error.
        own: more fields of ours for the metadata's global part (seed, serials, attenuation_db, ...).
        core: SigMF's fields of the global part (description, hw, ...).

    Raises:
        UserError: a wrong argument. What is wrong with the file is found at the start and reported on ``status``.
    """

    def __init__(
        self,
        path,
        sample_rate_hz,
        waveform="ofdm64",
        codec="",
        datatype="cf32_le",
        full_scale=1.0,
        frequency_hz=math.nan,
        gain_db=math.nan,
        slot_len=0,
        slots=0,
        overwrite=True,
        own=None,
        core=None,
    ):
        if not 0 < sample_rate_hz < math.inf:
            raise UserError(f"sample_rate_hz is {sample_rate_hz}, expected more than 0")
        checked_name(path)
        writable_format(datatype, full_scale)
        self.waveform = waveform if isinstance(waveform, Waveform) else Waveform.load(waveform)
        known = {"waveform": self.waveform.model_dump(), "waveform_rate_hz": float(sample_rate_hz)}
        if codec:
            known["model_id"] = open_codec(codec).model_id
            if isinstance(codec, str):
                known["codec"] = codec
        if slot_len:
            known["slot_len"] = int(slot_len)
        gr.sync_block.__init__(self, name="semantic_sigmf_recorder", in_sig=[np.complex64], out_sig=None)
        self._arguments = {
            "name": path,
            "sample_rate_hz": float(sample_rate_hz),
            "own": {**known, **(own or {})},
            "core": core,
            "datatype": datatype,
            "full_scale": full_scale,
            "overwrite": bool(overwrite),
        }
        self._settings = {"frequency_hz": frequency_hz, "gain_db": gain_db}
        self._slots = int(slots)
        self._images = None
        self.recording = None
        self.ended = threading.Event()
        self.open_ports({"frames": self.on_frame, "sent": self.on_sent})

    def start(self):
        self.ended.clear()
        try:
            self.recording = LiveRecording(**self._arguments)
            self._begin_capture()
        except UserError as error:
            self.report("error", error)
        return True

    def stop(self):
        if self.recording is not None:
            self._take_waiting()
            try:
                self.recording.finish("failed" if self.error else "complete")
            except UserError as error:
                self.report("error", error)
        self.ended.set()
        return True

    @property
    def sample_count(self) -> int:
        """Samples recorded so far."""
        return self.recording.sample_count if self.recording else 0

    def set_frequency_hz(self, frequency_hz):
        """From the next sample on: a new capture."""
        self._set("frequency_hz", frequency_hz)

    def set_gain_db(self, gain_db):
        """From the next sample on: a new capture."""
        self._set("gain_db", gain_db)

    @guarded_work
    def work(self, input_items, output_items):
        if self.recording is None:
            return WORK_DONE
        try:
            self.recording.write(input_items[0])
        except UserError as error:
            self.report("error", error)
            return WORK_DONE
        return len(input_items[0])

    @guarded
    def on_frame(self, message):
        meta, vector = read_pdu(message)
        if self.recording is None or is_tick(meta):
            return
        kind = require(meta, "kind", str)
        names = _HEADER + _MEASURED + (_OF_DATA if kind == "data" else _OF_FEEDBACK)
        frame = {name: meta[name] for name in names if name in meta}
        if vector is not None and vector.dtype == np.int32:
            frame["predictions"] = vector
        frame["sample_start"] = require(meta, "start_sample", int)
        frame["sample_count"] = require(meta, "frame_len", int)
        require(meta, "sequence", int)
        self.recording.found(**json_ready(frame))

    @guarded
    def on_sent(self, message):
        meta, vector = read_pdu(message)
        if self.recording is None or is_tick(meta) or meta.get("kind") == "end" or "sequence" not in meta:
            return
        if self._slots and meta.get("slot", 0) >= self._slots:
            return
        frame = {name: meta[name] for name in (*_HEADER, *_OF_FEEDBACK, "slot") if name in meta}
        frame.setdefault("kind", "data")
        if "images" in meta:
            if vector is None:
                raise PduError("the images PDU holds no indices")
            frame["image_count"] = len(vector)
            frame["images"] = vector
            labels = self._labels(require(meta, "images", str))
            if labels is not None:
                frame["labels"] = labels[vector]
        shape = {name: frame.setdefault(name, 1) for name in ("budget", "image_count")}
        frame["sample_count"] = frame_len(self.waveform, Header(frame["kind"], **shape))
        require(meta, "sequence", int)
        self.recording.sent(**json_ready(frame))

    def _labels(self, name):
        images = find_images(name)
        if self._images != name:
            self._images = name
            self.recording.note(images=name, images_sha256=images.content_hash)
        return images.labels

    def _take_waiting(self):
        """What arrived after the last sample: a block's thread ends with its stream, whatever waits in its queues."""
        for port, handler in (("frames", self.on_frame), ("sent", self.on_sent)):
            while (message := self.to_basic_block().delete_head_nowait(pmt.intern(port))) is not None:
                handler(message)

    def _set(self, name, value):
        self._settings[name] = float(value)
        if self.recording is not None:
            self._begin_capture()

    def _begin_capture(self):
        known = {name: float(value) for name, value in self._settings.items() if math.isfinite(value)}
        core = {"frequency": known["frequency_hz"]} if "frequency_hz" in known else {}
        own = {"gain_db": known["gain_db"]} if "gain_db" in known else {}
        self.recording.begin_capture(own=own, **core)
