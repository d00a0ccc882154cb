# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time goes between an image and its class."""

import time

import numpy as np

from ..modem import Header, Waveform, detect, modulate
from .plain_loop import SNR_DB, STAGES, PlainLoop, loop_config
from .timing import processor_time

BUDGET = 8
_REPEATS = 30


def measure(codec, images, name: str, slots: int, waveform: str = "ofdm64", per_frame=(1, 48)) -> list[dict]:
    """Rows {images_per_frame, stage, ms, share}: processor time of a slot (a frame there, a report back).

    The stages are those of plain calls; `- part` is a part of the stage above, measured alone. `GNU Radio and
    messages`: what the closed loop in GNU Radio takes beyond all of them.
    """
    from ..link.loop import LoopFlowgraph

    rows = []
    for count in per_frame:
        config = loop_config(name, waveform, count, slots)
        plain = PlainLoop(config, codec, images, SNR_DB, BUDGET)
        plain.run(3)
        plain.spent_s.clear()
        plain.run(slots)
        stage_ms = {stage: 1e3 * plain.spent_s[stage] / slots for stage in STAGES}

        loop = LoopFlowgraph(config.model_copy(update={"rate_controller": _fixed(config)}), codec, images)
        processor = time.process_time()
        loop.start()
        loop.wait_finished()
        spent_ms = 1e3 * (time.process_time() - processor) / config.slots
        loop.stop_and_wait()
        if loop.error:
            raise RuntimeError(loop.error)
        stage_ms["GNU Radio and messages"] = spent_ms - sum(stage_ms.values())
        parts = _parts(config, codec, images, count)
        for stage, ms in stage_ms.items():
            rows.append({"images_per_frame": count, "stage": stage, "ms": ms, "share": ms / spent_ms})
            for part, part_ms in parts.get(stage, {}).items():
                share = part_ms / spent_ms
                rows.append({"images_per_frame": count, "stage": f"- {part}", "ms": part_ms, "share": share})
        rows.append({"images_per_frame": count, "stage": "all", "ms": spent_ms, "share": 1.0})
    return rows


def _fixed(config):
    """A rate controller that stays with the budget of the plain loop."""
    return config.rate_controller.model_copy(update={"open_loop_snr_db": SNR_DB, "open_loop_budget": BUDGET})


def _parts(config, codec, images, count):
    from semantic_models.evaluate import features_of

    wf = Waveform.load(config.waveform)
    chosen = images.images[:count]
    symbols = codec.encode(chosen, SNR_DB, BUDGET)
    header = Header("data", model_id16=codec.model_id16, budget=BUDGET, image_count=count)
    slot = np.zeros(config.slot_len, np.complex64)
    samples = modulate(wf, header, symbols)
    slot[: len(samples)] = samples
    return {
        "encode": {"the network's features": 1e3 * processor_time(lambda: features_of(codec.model, chosen), _REPEATS)},
        "receive": {"looking for preambles": 1e3 * processor_time(lambda: detect.scan(wf, slot), _REPEATS)},
    }
