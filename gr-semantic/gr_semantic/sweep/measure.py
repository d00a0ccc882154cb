# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker does: one point's settings in, one row out."""

import socket
import time
from datetime import UTC, datetime

from .point import Point, code_digest


def measure(settings: dict, code: str) -> dict:
    """Measure a point; never raises.

    settings: a Point's fields. code: digest of the code that asks.

    Returns a row without the settings: status ("done", "failed"), code, host, finished (UTC), wall_s, processor_s and
    the measurement's values, or error (one line).
    """
    point = Point(**settings)
    began, processor = time.perf_counter(), time.process_time()
    try:
        if code_digest() != code:
            raise RuntimeError(f"this worker runs other code ({code_digest()}) than the sweep's command ({code})")
        found = {"status": "done", **_measured(point)}
    except Exception as error:
        text = " ".join(str(error).split())
        found = {"status": "failed", "error": f"{type(error).__name__}: {text}"[:500]}
    return found | {
        "code": code_digest(),
        "host": socket.gethostname(),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "wall_s": time.perf_counter() - began,
        "processor_s": time.process_time() - processor,
    }


def _measured(point: Point) -> dict:
    import torch

    from semantic_models.evaluate import wilson_interval

    torch.set_num_threads(1)  # a worker is one core's work
    if point.waveform is None:
        from .offline_point import measure_offline as measured
    else:
        from .link_point import measure_link as measured
    values = measured(point)
    accuracy = values["correct"] / values["images"]
    low, high = wilson_interval(accuracy, values["images"])
    return values | {"accuracy": accuracy, "ci95_low": low, "ci95_high": high}
