# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweeps on processes: nothing that was measured is lost or measured again, whoever is killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from gr_semantic.errors import UserError
from gr_semantic.sweep import cluster as cluster_module
from gr_semantic.sweep.cluster import measure_all, remote_client
from gr_semantic.sweep.point import Point
from gr_semantic.sweep.result_file import read_manifest, read_rows

COMMAND = [str(Path(sys.executable).with_name("gr-semantic")), "sweep"]
PATIENCE_S = 200
POINTS = [Point("c", "0", "i", "1", "awgn", {"kind": "awgn"}, float(snr_db), 8, 1) for snr_db in range(6)]


@pytest.fixture
def sweep_file(tmp_path):
    """Writes a sweep of 4 x len(seeds) offline points of some milliseconds each."""

    def write(seeds, snr_db="[0, 5]"):
        path = tmp_path / "s.yaml"
        path.write_text(
            "images: 'synthetic:600'\n"
            f"grids: [{{snr_db: {snr_db}, budget: [4, 8], seed: {{from: 1, to: {seeds}, step: 1}}}}]\n"
        )
        return path

    return write


@pytest.fixture
def started():
    """Starts a command; what still runs at the end of the test is killed."""
    processes = []

    def start(*command, **settings):
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **settings))
        return processes[-1]

    yield start
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.communicate()


def kept_rows(output: Path) -> dict[str, dict]:
    """What is on the disk while a sweep runs: in the result file (written after a minute) and in the journal."""
    rows = {row["key"]: row for row in read_rows(output)} if output.exists() else {}
    with contextlib.suppress(FileNotFoundError):
        lines = output.with_name(f".{output.name}.journal").read_text().split("\n")[:-1]
        rows |= {row["key"]: row for row in map(json.loads, lines)}
    return rows


def rows_after(process, output: Path, count: int) -> dict[str, dict]:
    deadline = time.monotonic() + PATIENCE_S
    while len(rows := kept_rows(output)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return rows


def unchanged(before: dict[str, dict], output: Path) -> bool:
    """Whether the rows are in the result file as they were: same measurement, same instant."""
    after = {row["key"]: row for row in read_rows(output)}
    return all(after[key]["finished"] == row["finished"] for key, row in before.items())


def test_killed_worker_killed_command_and_more_values(sweep_file, tmp_path, started):
    output = tmp_path / "r.parquet"
    command = [*COMMAND, str(sweep_file(100)), "-o", str(output)]

    process = started(*command, "--workers", "2")
    before = rows_after(process, output, 10)
    children = psutil.Process(process.pid).children(recursive=True)
    next(child for child in children if "spawn_main" in " ".join(child.cmdline())).kill()
    kept = rows_after(process, output, len(before) + 20)
    assert before.keys() <= kept.keys()
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # no chance to tidy up, and with it goes the scheduler
    process.wait()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    kept = kept_rows(output)
    assert 30 <= len(kept) < 400

    sweep_file(100, snr_db="[0, 5, 7]")
    process = started(*command, "--workers", "1", "--json", stdout=subprocess.PIPE)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    summary = json.loads(stdout)
    assert (summary["points"], summary["kept"], summary["measured"]) == (600, len(kept), 600 - len(kept))
    rows = read_rows(output)
    assert len(rows) == 600 and {row["status"] for row in rows} == {"done"}
    assert unchanged(kept, output) and read_manifest(output)["status"] == "complete"
    assert not output.with_name(".r.parquet.journal").exists()


def test_interrupt_keeps_what_is_done(sweep_file, tmp_path, started):
    output = tmp_path / "r.parquet"
    process = started(*COMMAND, str(sweep_file(500)), "-o", str(output), "--workers", "1", start_new_session=True)
    kept = rows_after(process, output, 5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert re.search(r"interrupted after \d+ points; the same command goes on", stderr)
    assert "Traceback" not in stderr
    assert unchanged(kept, output) and read_manifest(output)["status"] == "interrupted"


def test_killed_scheduler(sweep_file, tmp_path, started):
    address_file, output = tmp_path / "scheduler.json", tmp_path / "r.parquet"
    scheduler = started(
        *[sys.executable, "-m", "distributed.cli.dask_scheduler"],
        *["--scheduler-file", str(address_file), "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
    )
    started(
        *[sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address_file)],
        *["--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)],
    )
    deadline = time.monotonic() + PATIENCE_S
    while not address_file.exists():
        assert scheduler.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    address = json.loads(address_file.read_text())["address"]
    process = started(*COMMAND, str(sweep_file(500)), "-o", str(output), "--scheduler", address)
    kept = rows_after(process, output, 5)
    scheduler.kill()
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, stderr
    assert "the scheduler is gone" in stderr and "the same command goes on" in stderr and "Traceback" not in stderr
    assert unchanged(kept, output)
    assert len(kept) <= len(read_rows(output)) < 2000


def test_no_scheduler_there(monkeypatch):
    monkeypatch.setattr(cluster_module, "_CONNECT_S", 0.5)
    with pytest.raises(UserError, match="no Dask scheduler answers") as caught, remote_client("tcp://127.0.0.1:9"):
        pass
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def threads():
    """A cluster of two workers in this process."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


TRIES = []


def sometimes(settings, code):
    TRIES.append(settings["snr_db"])
    bad = settings["snr_db"] == 2 or (settings["snr_db"] == 3 and TRIES.count(3.0) < 3)
    return {"status": "failed", "error": "ValueError: bad luck"} if bad else {"status": "done"}


def test_failed_points_are_tried_again(threads, monkeypatch):
    monkeypatch.setattr(cluster_module, "measure", sometimes)
    found = []
    measure_all(threads, POINTS, 2, lambda point, row: found.append((point.snr_db, row["status"])))
    assert sorted(found) == [(level, "failed" if level == 2 else "done") for level in range(6)]
    assert TRIES.count(2.0) == 3 and TRIES.count(3.0) == 3 and len(TRIES) == 6 + 4


def test_what_dask_itself_reports_is_a_failed_point(threads, monkeypatch):
    def raising(settings, code):
        raise MemoryError("no more")

    monkeypatch.setattr(cluster_module, "measure", raising)
    rows = []
    measure_all(threads, POINTS[:2], 0, lambda point, row: rows.append(row))
    assert [row["status"] for row in rows] == ["failed"] * 2 and "MemoryError: no more" in rows[0]["error"]


def test_stop(threads, monkeypatch):
    monkeypatch.setattr(cluster_module, "measure", lambda settings, code: {"status": "done"})
    found = []
    measure_all(threads, POINTS, 0, lambda point, row: found.append(row), should_stop=lambda: len(found) >= 2)
    assert len(found) == 2
