# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of calls and flowgraphs."""

import time


def processor_time(function, repeats: int = 3) -> float:
    """Least processor time (s) of a call, all threads together, after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return min(times)


def flowgraph_time(make, started=lambda tb: None, repeats: int = 3) -> float:
    """Least processor time (s) that a flowgraph of make() runs, its construction left out.

    started(tb): feeds it once it runs.
    """
    times = []
    for _ in range(repeats):
        tb = make()
        began = time.process_time()
        tb.start()
        started(tb)
        tb.wait()
        times.append(time.process_time() - began)
    return min(times)
