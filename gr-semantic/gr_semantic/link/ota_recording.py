# SPDX-License-Identifier: GPL-3.0-or-later
"""What the forward receiver of a run over the air hears, recorded while it runs."""

import math
import os

from gr_semantic.blocks.sigmf_recorder import SigmfRecorder
from gr_semantic.link.ota import OtaFlowgraph
from gr_semantic.link.ota_row import OtaRow
from gr_semantic.modem import Header, frame_len


class OtaRecording:
    """A recorder at the receiver of images of a flowgraph that has not started yet.

    Frames are annotated with measurements and predictions, in mode closed-loop also with the truth: a replay can put
    another codec over the same air. Places are those of the stream that the run's receiver saw. Call ``finish`` before
    the flowgraph ends.

    Args:
        loop: the flowgraph; mode closed-loop or rx.
        path: `.sigmf-meta` file.
        image_set: ImageSet that is sent.

    Raises:
        UserError: a wrong name.
    """

    def __init__(self, loop: OtaFlowgraph, path: str | os.PathLike, image_set):
        config = loop.config
        self._radio = loop.radios[config.forward.receiver]
        self._before = None  # row of the newest frame that was received
        settings = self._radio.settings
        serials = {name: radio.settings.get("serial") for name, radio in loop.radios.items()}
        own = {
            "run": config.model_dump(mode="json"),
            "seed": config.seed,
            "link_id": config.link_id,
            "codec": config.codec,
            "model_id": loop.codec.model_id,
            "images": image_set.name,
            "images_sha256": image_set.content_hash,
            "radio": settings,
            "serials": {name: serial for name, serial in serials.items() if serial},
        }
        self._recorder = SigmfRecorder(
            path,
            settings.get("sample_rate_hz") or config.sample_rate_hz,
            config.waveform,
            frequency_hz=float(settings.get("rx_lo_hz") or config.forward.lo_hz),
            gain_db=float(settings.get("rx_gain_db", math.nan)),
            slot_len=config.slot_len,
            slots=loop.slots,
            own=own,
            core={"description": "over the air: what the receiver of the images hears"},
        )
        loop.connect(loop.radio_source, self._recorder)
        loop.msg_connect(loop.decoder, "results", self._recorder, "frames")
        if config.mode == "closed-loop":
            loop.msg_connect(loop.image_source, "images", self._recorder, "sent")

    def take(self, row: OtaRow) -> None:
        """A row of the run, in order. Samples that its radio lost since the frame before (mode closed-loop, where the
        transmitter's count tells) become a gap halfway between the two: neither is cut; a frame lost in between may be.
        """
        if not row.received:
            return
        if row.gap_samples < 0 and self._recorder.recording is not None:
            header = Header(kind="data", budget=self._before.budget, image_count=len(self._before.images))
            end = self._before.rx_sample + frame_len(self._recorder.waveform, header)
            self._recorder.recording.mark_gap((end + row.rx_sample) // 2, -row.gap_samples)
        self._before = row

    @property
    def error(self) -> str | None:
        """What keeps the recorder from its work, in one line."""
        return self._recorder.error

    def finish(self) -> None:
        """Note what the radio lost."""
        recording, counters = self._recorder.recording, self._radio.counters
        if recording is not None:
            recording.note(overflows=counters.overflows, dropped_samples=counters.dropped)
