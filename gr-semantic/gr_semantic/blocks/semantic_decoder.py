# SPDX-License-Identifier: GPL-3.0-or-later
"""Equalised feature symbols to classes."""

from itertools import groupby

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.codecs import exchanged, open_codec
from gr_semantic.blocks.inference_worker import InferenceWorker
from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import PduError, is_tick, read_pdu, require


class SemanticDecoder(MessageBlock, gr.basic_block):
    """Decodes the class of every image of a data frame.

    Input ``frames``: the OFDM receiver's frames and ticks. Frames of other kinds or links are ignored; those of
    another model are dropped with a warning.
    Output ``results``: meta of the frame without noise_var; vector s32, the predicted class of each image. Ticks pass
    through in order.

    Args:
        codec: SemanticCodec or path to its folder.
        device: "auto", "cpu" or "cuda"; used if ``codec`` is a path.
        link_id: only frames of this link are decoded; -1 takes all.
        lockstep: True in a slotted loop: nothing is dropped and every frame is a batch of its own. False: frames that
            wait are decoded together, and a full queue drops its oldest frame.
        batch_frames: most frames in one batch (lockstep False).
        queue_frames: frames that may wait (lockstep False).
    """

    def __init__(self, codec, device="auto", link_id=-1, lockstep=False, batch_frames=8, queue_frames=32):
        self.codec, self._device = open_codec(codec, device), device
        gr.basic_block.__init__(self, name="semantic_decoder", in_sig=None, out_sig=None)
        self.link_id = int(link_id)
        self.open_ports({"frames": self.on_frame}, ("results",))
        self.worker = InferenceWorker(
            self._decode_waiting,
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
    def on_frame(self, message):
        meta, symbols = read_pdu(message)
        if is_tick(meta):
            item = meta, None, None, None
        elif meta.get("kind") != "data" or (self.link_id >= 0 and meta.get("link_id") != self.link_id):
            return
        else:
            item = self._checked(meta, symbols)
        if not self.worker.put(item):
            self.report("warning", f"the queue is full: dropped its oldest frame ({self.worker.dropped} so far)")

    def _checked(self, meta, symbols):
        name = f"frame {require(meta, 'sequence', int)}"
        model, budget, count = (require(meta, key, int) for key in ("model_id16", "budget", "image_count"))
        codec = self.codec
        if model != codec.model_id16:
            raise PduError(f"{name} was encoded by model {model:04x}, this decoder has {codec.model_id16:04x}")
        if budget not in codec.budgets:
            raise PduError(f"{name} has budget {budget}, the codec has {list(codec.budgets)}")
        noise_var = meta.pop("noise_var", None)
        for what, vector, dtype in (("symbols", symbols, np.complex64), ("noise_var", noise_var, np.float32)):
            if not isinstance(vector, np.ndarray) or vector.dtype != dtype or len(vector) != count * budget:
                raise PduError(f"{name} holds no {what} for {count} images of {budget} symbols")
            if not np.isfinite(vector).all():
                raise PduError(f"{name} has {what} that are not finite")
        return meta, symbols.reshape(count, budget), noise_var.reshape(count, budget), codec

    def _decode_waiting(self, items):
        for (_, codec), group in groupby(items, key=lambda item: (item[0].get("budget"), item[3])):
            group = list(group)
            try:
                classes = None if codec is None else self._decode(codec, group)
            except Exception as failure:
                self.report("error", f"decoding failed: {failure}")
            else:
                self._send(group, classes)

    @staticmethod
    def _decode(codec, group):
        logits = codec.decode(
            np.concatenate([symbols for _, symbols, _, _ in group]), np.concatenate([noise for _, _, noise, _ in group])
        )
        return logits.argmax(axis=1).astype(np.int32)

    def _send(self, group, classes):
        if self.worker.stopping:
            return
        first = 0
        for meta, symbols, *_ in group:
            if symbols is None:
                self.publish("results", meta)
            else:
                self.publish("results", meta, classes[first : first + len(symbols)])
                first += len(symbols)

    def _warm_up(self):
        try:
            for budget in self.codec.budgets:
                self.codec.decode(np.zeros((1, budget), np.complex64), np.ones((1, budget), np.float32))
        except Exception as failure:
            self.report("error", f"warm-up failed: {failure}")
