# SPDX-License-Identifier: GPL-3.0-or-later
"""A sweep with several local workers beside the same with one."""

import tempfile
from pathlib import Path

from ..errors import UserError
from ..sweep.cluster import local_client
from ..sweep.result_file import ResultFile
from ..sweep.run import plan, run
from ..sweep.sweep_file import Sweep


def measure(file: Path, workers: int) -> list[dict]:
    """Rows {workers, points, elapsed_s, processor_s, ratio}: the start of the workers and the result file included;
    processor_s: of the points alone.
    """
    sweep = Sweep(file)
    points, rows = sweep.points(), []
    for count in (1, workers):
        with (
            tempfile.TemporaryDirectory(prefix="gr-semantic-bench-") as folder,
            ResultFile(Path(folder) / "results.parquet") as results,
        ):
            outcome = run(sweep, plan(points, {}), results, local_client(count), retries=0)
            spent_s = sum(row["processor_s"] for row in results.rows.values())
        if outcome.failed:
            raise UserError(f"{file}: {len(outcome.failed)} points failed, the first: {outcome.failed[0]['error']}")
        rows.append(
            {
                "workers": count,
                "points": outcome.measured,
                "elapsed_s": outcome.elapsed_s,
                "processor_s": spent_s,
                "ratio": rows[0]["elapsed_s"] / outcome.elapsed_s if rows else 1.0,
            }
        )
    return rows
