# SPDX-License-Identifier: GPL-3.0-or-later
"""The air of a loop's two directions, recorded while it runs."""

import os

from gr_semantic.blocks.sigmf_recorder import SigmfRecorder
from gr_semantic.errors import UserError
from gr_semantic.link.loop import LoopFlowgraph

_DRAIN_S = 60.0


class LoopRecording:
    """Recorders at the two receivers of a loop that has not started yet. Call ``finish`` once it is finished.

    Args:
        loop: the loop; its settings and seed are written into the metadata.
        forward: `.sigmf-meta` file of what node B receives, with truth, measurements and predictions; None: none.
        reverse: of what node A receives; None: none.
        datatype, full_scale, overwrite: see SigmfRecorder.

    Raises:
        UserError: a wrong name or type.
    """

    def __init__(
        self,
        loop: LoopFlowgraph,
        forward: str | os.PathLike | None = None,
        reverse: str | os.PathLike | None = None,
        datatype: str = "cf32_le",
        full_scale: float = 1.0,
        overwrite: bool = False,
    ):
        if forward is not None and forward == reverse:
            raise UserError(f"{forward}: the two directions need a file each")
        self._loop = loop
        config = loop.config
        own = {
            "run": config.model_dump(mode="json"),
            "seed": config.seed,
            "link_id": config.link_id,
            "codec": config.codec,
            "model_id": loop.decoder.codec.model_id,
        }
        shared = {
            "sample_rate_hz": config.sample_rate_hz,
            "waveform": config.waveform,
            "datatype": datatype,
            "full_scale": full_scale,
            "slot_len": config.slot_len,
            "slots": config.slots,
            "overwrite": overwrite,
            "own": own,
        }
        self.recorders = []
        if forward is not None:
            self._add(forward, loop.forward_channel, (loop.decoder, "results"), (loop.image_source, "images"), shared)
        if reverse is not None:
            sent = loop.feedback_transmitter, "symbols"
            self._add(reverse, loop.reverse_channel, (loop.receiver_a, "frames"), sent, shared)

    def _add(self, path, channel, frames, sent, shared):
        what = "node A to node B" if channel is self._loop.forward_channel else "node B to node A"
        core = {"description": f"simulated loop, {what}: what the receiver hears"}
        recorder = SigmfRecorder(path, core=core, **shared)
        self._loop.connect(channel, recorder)
        self._loop.msg_connect(*frames, recorder, "frames")
        self._loop.msg_connect(*sent, recorder, "sent")
        self.recorders.append(recorder)

    @property
    def error(self) -> str | None:
        """What keeps a recorder from its work, in one line."""
        return next((recorder.error for recorder in self.recorders if recorder.error), None)

    def finish(self) -> None:
        """Wait until the last samples of a loop that came to its end are recorded, then end the flowgraph."""
        if self._loop.finished() and not self._loop.error and not self.error:
            for recorder in self.recorders:
                recorder.ended.wait(_DRAIN_S)
        self._loop.stop_and_wait()
