# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording as a source of samples, with what it knows of its frames."""

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.codecs import open_codec
from gr_semantic.blocks.image_sets import find_images, register_images
from gr_semantic.blocks.message_block import WORK_DONE, MessageBlock, guarded_work
from gr_semantic.errors import UserError
from gr_semantic.recording.frame_truth import FrameTruth
from gr_semantic.recording.sigmf_file import Recording

_CHUNK_SAMPLES = 1 << 14


class SigmfSource(MessageBlock, gr.sync_block):
    """Plays a SigMF recording, of any complex data type of one channel.

    Output: its samples as complex64. Output ``images``: as each frame begins, what its annotation says was sent, if it
    does: meta sequence and images (name of the set), vector s32 indices.

    Args:
        path: .sigmf-meta file or .sigmf archive.
        repeat: begin again at the end.

    Where the image set is not here, a warning says so, and only the samples come out.

    Raises:
        UserError: no such recording, or a damaged one.
    """

    def __init__(self, path, repeat=False):
        self.recording = Recording(path)
        truths = (FrameTruth.from_annotation(annotation) for annotation in self.recording.metadata["annotations"])
        self._frames = sorted(
            (truth for truth in truths if truth is not None and truth.images is not None),
            key=lambda truth: truth.start_sample,
        )
        gr.sync_block.__init__(self, name="semantic_sigmf_source", in_sig=None, out_sig=[np.complex64])
        self.repeat = bool(repeat)
        self._begin()
        self.open_ports(outputs=("images",))
        self._image_set = None
        try:
            self._image_set = self._find_images()
        except ValueError as missing:
            self.report("warning", f"the pictures are not here: {missing}")

    def stop(self):
        self.recording.close()
        return True

    def _find_images(self):
        """The registered name of the recording's image set; None if it names none."""
        own = self.recording.own
        name = own.get("images")
        if not self._frames or "codec" not in own or name is None:
            return None
        count = len(find_images(register_images(name, like=open_codec(own["codec"]))).images)
        if any(not 0 <= index < count for truth in self._frames for index in truth.images):
            raise UserError(f"{self.recording.name} names images beyond the {count} of {name}")
        return name

    def _begin(self):
        self._chunks = self.recording.chunks(_CHUNK_SAMPLES)
        self._rest = np.zeros(0, np.complex64)
        self._position = self._next_frame = 0

    @guarded_work
    def work(self, input_items, output_items):
        if not len(self._rest):
            self._rest = next(self._chunks, None)
            if self._rest is None and self.repeat:
                self._begin()
                self._rest = next(self._chunks)
            if self._rest is None:
                self._rest = np.zeros(0, np.complex64)
                return WORK_DONE
        count = min(len(self._rest), len(output_items[0]))
        output_items[0][:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        self._tell()
        return count

    def _tell(self):
        """Publish the frames that have begun."""
        while self._next_frame < len(self._frames) and self._frames[self._next_frame].start_sample < self._position:
            truth = self._frames[self._next_frame]
            self._next_frame += 1
            if self._image_set is not None:
                meta = {"sequence": truth.sequence, "images": self._image_set}
                self.publish("images", meta, np.array(truth.images, np.int32))
