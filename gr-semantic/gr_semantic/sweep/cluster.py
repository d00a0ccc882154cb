# SPDX-License-Identifier: GPL-3.0-or-later
"""Points on the workers of a Dask cluster: one task a point, each worker kept supplied, nothing lost with a worker."""

import contextlib
import logging
import os
import queue
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict

from distributed import Client, Future, LocalCluster, WorkerPlugin

from ..errors import UserError
from .measure import measure
from .point import Point, code_digest
from .shares import Shares

_POLL_S = 0.2
_AHEAD_S = 1.0  # work that waits at each worker
_MOST_AHEAD = 32
_MOST_AT_ONCE = 256
_REFRESH_S = 1.0
_RESULT_S = 20.0  # a result may have to be measured again on the way, when its worker dies just then
_CONNECT_S = 10.0


class SchedulerLost(Exception):
    """The cluster's scheduler is gone; one line."""


@contextlib.contextmanager
def local_client(workers: int) -> Iterator[Client]:
    """A cluster of so many processes of one thread on this machine."""
    _silence()
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(_NoInterrupts())
        yield client


class _NoInterrupts(WorkerPlugin):
    """A terminal sends Ctrl-C to all processes: the workers leave it to the one that ends them in order."""

    def setup(self, worker):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def remote_client(address: str) -> Iterator[Client]:
    """A cluster that is there already. UserError if no scheduler answers at the address."""
    _silence()
    try:
        client = Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--scheduler {address}: no Dask scheduler answers ({str(error).splitlines()[0]}); start one with "
            "'dask scheduler' and give the address that it prints"
        ) from None
    with client:
        yield client


def _silence() -> None:
    """What Dask would say of workers that come and go is said in a line, or is no news."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def measure_all(
    client: Client,
    points: list[Point],
    retries: int,
    on_row: Callable[[Point, dict], None],
    should_stop: Callable[[], bool] = lambda: False,
    on_workers: Callable[[int], None] = lambda count: None,
) -> None:
    """Measure the points; those that fail are tried again, `retries` times.

    on_row(point, what `measure` returned): called here for each point as it comes. on_workers(count): called about once
    a second.

    Raises:
        SchedulerLost: the scheduler is gone.
    """
    shares, done = Shares(points), queue.SimpleQueue()
    running: dict[Future, tuple[Point, str]] = {}
    failures: Counter[str] = Counter()
    workers, looked_s, point_s = {}, -_REFRESH_S, _AHEAD_S
    while (shares or running) and not should_stop():
        if time.monotonic() - looked_s > _REFRESH_S:
            workers, looked_s = _workers(client), time.monotonic()
            shares.keep_only(workers)
            on_workers(len(workers))
        load = Counter(worker for _, worker in running.values())
        ahead = max(1, min(_MOST_AHEAD, round(_AHEAD_S / point_s)))  # points that wait, so that no worker does
        for worker, threads in workers.items():
            if load[worker] <= threads + ahead // 2:
                chosen = [point for _ in range(threads + ahead - load[worker]) if (point := shares.next(worker))]
                for point, future in zip(chosen, _submit(client, worker, chosen, failures), strict=True):
                    running[future] = point, worker
                    future.add_done_callback(done.put)
        for future, found in _results(client, _waiting(done)):
            if found is None:
                future.add_done_callback(done.put)
                continue
            point, _ = running.pop(future)
            point_s += (found.get("wall_s", point_s) - point_s) / 8
            if found["status"] == "failed" and failures[point.key] < retries:
                failures[point.key] += 1
                shares.put_back(point)
                continue
            on_row(point, found)
            if should_stop():
                break


def _submit(client: Client, worker: str, points: list[Point], failures: Counter[str]) -> list[Future]:
    if not points:
        return []
    return client.map(
        measure,
        [asdict(point) for point in points],
        code=code_digest(),
        key=[f"{point.key}-{failures[point.key]}-{os.getpid()}" for point in points],
        workers=[worker],
        allow_other_workers=True,
        pure=False,
    )


def _waiting(done: queue.SimpleQueue) -> list[Future]:
    """What is done, after waiting a little for the first."""
    found = []
    with contextlib.suppress(queue.Empty):
        found.append(done.get(timeout=_POLL_S))
        while len(found) < _MOST_AT_ONCE:
            found.append(done.get_nowait())
    return found


def _workers(client: Client) -> dict[str, int]:
    """Address and threads of each worker."""
    if client.status not in ("running", "connecting"):
        raise SchedulerLost("the scheduler is gone")
    try:
        return dict(client.nthreads())
    except (OSError, TimeoutError) as error:
        raise SchedulerLost(f"the scheduler is gone ({str(error).splitlines()[0]})") from None


def _results(client: Client, futures: list[Future]) -> Iterator[tuple[Future, dict | None]]:
    """The row of each future; None: it is on its way again, since its worker died."""
    good = [future for future in futures if future.status == "finished"]
    try:
        rows = dict(zip(good, client.gather(good), strict=True)) if len(good) > 1 else {}
    except Exception:  # one by one it will show which
        rows = {}
    for future in futures:
        yield future, rows[future] if future in rows else _result(future)


def _result(future: Future) -> dict | None:
    if future.status == "finished":
        try:
            return future.result(timeout=_RESULT_S)
        except TimeoutError:
            return None
        except Exception as error:
            return _failure(future, error)
    if future.status == "error":
        return _failure(future, future.exception(timeout=_RESULT_S))
    if future.status in ("cancelled", "lost"):
        raise SchedulerLost("the scheduler is gone, or it dropped the sweep's tasks")
    return None


def _failure(future: Future, error: BaseException) -> dict:
    """A row for a point that has none of its own: its worker died over it, say."""
    if future.status in ("cancelled", "lost"):
        raise SchedulerLost("the scheduler is gone, or it dropped the sweep's tasks")
    text = " ".join(str(error).split())
    return {"status": "failed", "error": f"{type(error).__name__}: {text}"[:500]}
