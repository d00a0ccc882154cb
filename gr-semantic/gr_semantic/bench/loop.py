# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed loop in GNU Radio beside the same work as plain function calls."""

import time

from ..link.config import LoopConfig
from .plain_loop import SNR_DB, PlainLoop, loop_config

IMAGES_PER_FRAME = (1, 48)
_WARM_UP_SLOTS = 3


def measure(codec, images, name: str, slots: int, waveform: str = "ofdm64") -> list[dict]:
    """Rows {images_per_frame, slots, images_per_s, plain_images_per_s, ratio, real_time, cores,
    images_per_core_s, accuracy}.

    images_per_s: of wall-clock time, start of the flowgraph to its last row, both directions, at 10 dB; real_time: link
    time over wall-clock time; cores: that it kept busy; images_per_core_s: of one core's time. plain: the same with
    plain calls, wall-clock time.
    """
    from ..link.loop import LoopFlowgraph
    from ..link.real_time import real_time

    rows = []
    for count in IMAGES_PER_FRAME:
        config = loop_config(name, waveform, count, slots)
        results = []
        loop = LoopFlowgraph(config, codec, images, on_result=results.append)
        with real_time():  # as the demo runs it
            began, processor = time.perf_counter(), time.process_time()
            loop.start()
            try:
                loop.wait_finished()
            finally:
                elapsed_s, spent_s = time.perf_counter() - began, time.process_time() - processor
                loop.stop_and_wait()
        if loop.error:
            raise RuntimeError(loop.error)
        right, decoded = _score(results)
        plain_s = _plain_s(config, codec, images, results[-1].budget)
        rows.append(
            {
                "images_per_frame": count,
                "slots": config.slots,
                "images_per_s": config.slots * count / elapsed_s,
                "plain_images_per_s": config.slots * count / plain_s,
                "ratio": plain_s / elapsed_s,
                "real_time": config.slots * config.slot_s / elapsed_s,
                "cores": spent_s / elapsed_s,
                "images_per_core_s": config.slots * count / spent_s,
                "accuracy": right / decoded if decoded else None,
            }
        )
    return rows


def _plain_s(config: LoopConfig, codec, images, budget: int) -> float:
    loop = PlainLoop(config, codec, images, SNR_DB, budget)
    loop.run(_WARM_UP_SLOTS)
    began = time.perf_counter()
    loop.run(config.slots)
    return time.perf_counter() - began


def _score(rows) -> tuple[int, int]:
    from ..link.summary import score

    counts = [score(row) for row in rows]
    return sum(correct for _, correct in counts), sum(images for images, _ in counts)
