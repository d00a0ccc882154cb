# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images are sent in the next frame."""

import threading

from gnuradio import gr

from gr_semantic.blocks.codecs import open_codec
from gr_semantic.blocks.image_sets import find_images, register_images
from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import PduError, read_pdu, require
from gr_semantic.errors import UserError
from gr_semantic.link.feedback import SEQUENCES
from gr_semantic.link.image_schedule import ImageSchedule


class ImageSource(MessageBlock, gr.basic_block):
    """Picks the images of each frame; the images themselves stay on the Python side.

    Input ``profile``: meta slot, snr_db, budget, sequence (+ more, passed on). Each gives one frame.
    Output ``images``: the profile's keys + images (name of the set); vector s32 indices.
    With ``period_s > 0`` the block also makes frames by itself, with ``snr_db`` and ``budget``.

    Args:
        images: ImageSet, or what ``load_images`` reads ("fashion-mnist:test", a folder of images).
        images_per_frame: images in a frame, 1..256.
        seed: of the order of the images.
        codec: codec (object, zoo name or folder) to whose image shape a folder is resized; None: as they are.
        period_s: wall-clock time between self-timed frames; 0: none.
        snr_db, budget: profile of self-timed frames.
    """

    def __init__(self, images, images_per_frame=16, seed=1, codec=None, period_s=0.0, snr_db=10.0, budget=16):
        if not 1 <= images_per_frame <= 256:
            raise UserError(f"images_per_frame is {images_per_frame}, expected 1..256")
        if period_s < 0:
            raise UserError(f"period_s is {period_s}, expected 0 or more")
        self.image_set = register_images(images, like=open_codec(codec) if codec else None)
        self.schedule = ImageSchedule(len(find_images(self.image_set).images), int(images_per_frame), int(seed))
        gr.basic_block.__init__(self, name="semantic_image_source", in_sig=None, out_sig=None)
        self.period_s, self.snr_db, self.budget = float(period_s), float(snr_db), int(budget)
        self._timer = None
        self._stop_timer = threading.Event()
        self.open_ports({"profile": self.on_profile}, ("images",))

    def set_snr_db(self, snr_db):
        """Change the SNR of self-timed frames while running."""
        self.snr_db = float(snr_db)

    def set_budget(self, budget):
        """Change the budget of self-timed frames while running."""
        self.budget = int(budget)

    def start(self):
        if self.period_s > 0 and self._timer is None:
            self._stop_timer.clear()
            self._timer = threading.Thread(target=self._run_timer, name="image source", daemon=True)
            self._timer.start()
        return True

    def stop(self):
        self._stop_timer.set()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.join(1.0)
        return True

    @guarded
    def on_profile(self, message):
        meta, _ = read_pdu(message)
        slot = require(meta, "slot", int)
        if slot < 0:
            raise PduError(f"the profile's slot is {slot}, expected 0 or more")
        self._send(meta, slot)

    def _send(self, profile, number):
        self.publish("images", profile | {"images": self.image_set}, self.schedule.indices(number))

    def _run_timer(self):
        number = 0
        while not self._stop_timer.wait(self.period_s):
            profile = {"slot": number, "sequence": number % SEQUENCES, "snr_db": self.snr_db, "budget": self.budget}
            self._send(profile, number)
            number += 1
