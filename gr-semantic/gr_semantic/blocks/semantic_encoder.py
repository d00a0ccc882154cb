# SPDX-License-Identifier: GPL-3.0-or-later
"""Images to analog feature symbols."""

from itertools import groupby

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.codecs import exchanged, open_codec
from gr_semantic.blocks.image_sets import find_images
from gr_semantic.blocks.inference_worker import InferenceWorker
from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import PduError, read_pdu, require


class SemanticEncoder(MessageBlock, gr.basic_block):
    """Encodes images with the student network for the SNR and budget of their profile.

    Input ``images``: meta slot, snr_db, budget, sequence, images (name of the set); vector s32 indices.
    Output ``symbols``: meta slot + the header's fields; vector c32, N*L row-major. A frame that cannot be encoded
    becomes a message with its slot alone (silence), so that a slotted transmitter does not wait for it.

    Args:
        codec: SemanticCodec or path to its folder.
        device: "auto", "cpu" or "cuda"; used if ``codec`` is a path.
        link_id: written to every header.
        lockstep: True in a slotted loop: nothing is dropped, every frame is a batch of its own (results do not depend
            on timing). False: frames that wait are encoded together, and a full queue drops its oldest frame.
        batch_frames: most frames in one batch (lockstep False).
        queue_frames: frames that may wait (lockstep False).
    """

    def __init__(self, codec, device="auto", link_id=1, lockstep=False, batch_frames=8, queue_frames=32):
        self.codec, self._device = open_codec(codec, device), device
        gr.basic_block.__init__(self, name="semantic_encoder", in_sig=None, out_sig=None)
        self.link_id = int(link_id)
        self.open_ports({"images": self.on_images}, ("symbols",))
        self.worker = InferenceWorker(
            self._encode_waiting,
            batch_limit=1 if lockstep else batch_frames,
            capacity=None if lockstep else queue_frames,
            warm_up=self._warm_up,
        )

    def set_codec(self, codec):
        """Change the codec while running, from the next frame on. A wrong one is reported, and the old one stays."""
        try:
            self.codec = exchanged(self.codec, codec, self._device)
        except ValueError as mistake:
            self.report("warning", mistake)

    def start(self):
        self.worker.start()
        return True

    def stop(self):
        self.worker.stop()
        return True

    @guarded
    def on_images(self, message):
        meta, indices = read_pdu(message)
        try:
            frame = self._checked(meta, indices)
        except ValueError:
            self._send_silence(meta)
            raise
        if not self.worker.put(frame):
            self.report("warning", f"the queue is full: dropped its oldest frame ({self.worker.dropped} so far)")

    def _checked(self, meta, indices):
        image_set = find_images(require(meta, "images", str))
        require(meta, "sequence", int)
        require(meta, "snr_db", float)
        codec, budget = self.codec, require(meta, "budget", int)
        if budget not in codec.budgets:
            raise PduError(f"budget is {budget}, the codec has {list(codec.budgets)}")
        if indices is None or indices.dtype != np.int32 or len(indices) == 0:
            raise PduError("the images PDU holds no s32 indices")
        if indices.min() < 0 or indices.max() >= len(image_set.images):
            raise PduError(f"an image index is outside of set '{meta['images']}' (0..{len(image_set.images) - 1})")
        return meta, image_set.images[indices], codec

    def _encode_waiting(self, frames):
        for (budget, _), group in groupby(frames, key=lambda frame: (frame[0]["budget"], frame[2])):
            group = list(group)
            codec = group[0][2]
            try:
                self._send(codec, group, self._encode(codec, budget, group))
            except Exception as failure:
                self.report("error", f"encoding failed: {failure}")
                for meta, _, _ in group:
                    self._send_silence(meta)

    @staticmethod
    def _encode(codec, budget, group):
        snr_db = np.concatenate([np.full(len(images), meta["snr_db"], np.float32) for meta, images, _ in group])
        return codec.encode(np.concatenate([images for _, images, _ in group]), snr_db, budget)

    def _send(self, codec, group, symbols):
        if self.worker.stopping:
            return
        first = 0
        for meta, images, _ in group:
            header = {
                "kind": "data",
                "link_id": self.link_id,
                "sequence": meta["sequence"],
                "model_id16": codec.model_id16,
                "budget": meta["budget"],
                "image_count": len(images),
                "snr_db": float(meta["snr_db"]),
            }
            frame_symbols = np.ascontiguousarray(symbols[first : first + len(images)], np.complex64).reshape(-1)
            first += len(images)
            self.publish("symbols", self._slot_of(meta) | header, frame_symbols)

    def _send_silence(self, meta):
        if "slot" in meta and not self.worker.stopping:
            self.publish("symbols", self._slot_of(meta))

    @staticmethod
    def _slot_of(meta):
        return {"slot": meta["slot"]} if "slot" in meta else {}

    def _warm_up(self):
        try:
            for budget in self.codec.budgets:
                self.codec.encode(np.zeros((1, *self.codec.image_shape), np.uint8), 10.0, budget)
        except Exception as failure:
            self.report("error", f"warm-up failed: {failure}")
