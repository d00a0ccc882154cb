# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sweep keeps, plans and hands out: journal, Parquet file, shares, estimate. No cluster."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gr_semantic.errors import UserError
from gr_semantic.sweep.point import Point, code_digest
from gr_semantic.sweep.result_file import ResultFile, read_manifest, row_of
from gr_semantic.sweep.run import estimate_s, plan
from gr_semantic.sweep.shares import Shares

POINT = Point("c", "0" * 64, "synthetic:40", "1" * 64, "awgn", {"kind": "awgn"}, 0.0, 8, 1)
FOUND = {"status": "done", "images": 40, "correct": 30, "accuracy": 0.75, "processor_s": 2.0, "code": code_digest()}


def points(*seeds, **changes):
    return [replace(POINT, seed=seed, **changes) for seed in seeds]


def test_rows_survive_in_the_journal_and_in_the_file(tmp_path):
    path, (first, second, third) = tmp_path / "deep" / "r.parquet", points(1, 2, 3)
    with ResultFile(path) as results:
        results.add(row_of(first, FOUND))  # and then a kill: nothing was written
    with ResultFile(path) as results:
        assert set(results.rows) == {first.key}
        results.add(row_of(second, FOUND))
        results.write({"status": "running"}, {first.key, second.key})
        results.add(row_of(third, FOUND))
    with ResultFile(path) as results:
        assert set(results.rows) == {first.key, second.key, third.key}
        results.finish({"status": "complete"}, {third.key})
    assert [entry.name for entry in path.parent.iterdir()] == ["r.parquet"]
    table = pq.read_table(path)
    assert {row["key"]: row["in_sweep"] for row in table.to_pylist()} == {
        first.key: False, second.key: False, third.key: True
    }  # fmt: skip
    assert table.to_pylist()[0] | {"status": "done", "accuracy": 0.75, "seed": 1} == table.to_pylist()[0]
    assert read_manifest(path) == {"status": "complete"}


def test_a_line_that_a_crash_cut_off_is_none(tmp_path):
    path, (first, second) = tmp_path / "r.parquet", points(1, 2)
    journal = tmp_path / ".r.parquet.journal"
    with ResultFile(path) as results:
        results.add(row_of(first, FOUND))
    journal.write_bytes(journal.read_bytes() + b'{"key": "ab')
    with ResultFile(path) as results:
        assert set(results.rows) == {first.key}
        results.add(row_of(second, FOUND))
    with ResultFile(path) as results:
        assert set(results.rows) == {first.key, second.key}


def test_a_damaged_journal_is_not_thrown_away(tmp_path):
    (tmp_path / ".r.parquet.journal").write_text("not ours\n")
    with pytest.raises(UserError, match="journal: is damaged"):
        ResultFile(tmp_path / "r.parquet")
    assert (tmp_path / ".r.parquet.journal").read_text() == "not ours\n"


def test_one_sweep_at_a_time(tmp_path):
    with ResultFile(tmp_path / "r.parquet"), pytest.raises(UserError, match="another sweep is writing it"):
        ResultFile(tmp_path / "r.parquet")
    with ResultFile(tmp_path / "r.parquet"):
        pass


def test_other_files_are_not_overwritten(tmp_path):
    text = tmp_path / "notes.parquet"
    text.write_text("my notes")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        ResultFile(text)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "table.parquet")
    with pytest.raises(UserError, match="is no result of a sweep"):
        ResultFile(tmp_path / "table.parquet")
    assert text.read_text() == "my notes"


def test_the_plan_keeps_what_is_good(tmp_path):
    done, failed, old, new = points(1, 2, 3, 4)
    rows = {
        done.key: row_of(done, FOUND),
        failed.key: row_of(failed, {"status": "failed", "error": "x", "code": code_digest()}),
        old.key: row_of(old, FOUND | {"code": "of yesterday"}),
    }
    found = plan([done, failed, old, new], rows)
    assert found.todo == [failed, new] and found.other_code == 1
    found = plan([done, failed, old, new], rows, remeasure=True)
    assert found.todo == [failed, old, new] and found.other_code == 0


def test_the_estimate_is_the_cost_of_like_points():
    done = points(1, 2)
    rows = {point.key: row_of(point, FOUND | {"processor_s": 1.0 + point.seed}) for point in done}
    assert estimate_s(points(3, 4, 5) + points(3, waveform="ofdm64"), rows) == (3 * 2.5, 1)


def test_a_transmission_stays_with_a_worker_until_others_are_idle():
    shares = Shares(points(1, 2, 3, 4) + points(1, 2, snr_db=5.0))
    assert [shares.next("a").snr_db, shares.next("b").snr_db, shares.next("a").snr_db] == [0, 5, 0]
    assert shares.next("b").snr_db == 5 and len(shares) == 2
    assert shares.next("b").seed == 4  # taken from a
    assert shares.next("a").seed == 3
    assert shares.next("a") is None and shares.next("c") is None and len(shares) == 0


def test_shares_of_a_worker_that_is_gone_and_points_put_back():
    shares = Shares(points(1, 2, 3))
    failed = shares.next("a")
    shares.keep_only(["b"])
    shares.put_back(failed)
    assert [shares.next("b").seed for _ in range(3)] == [2, 3, 1]
    assert shares.next("b") is None


def test_every_point_is_given_out_once():
    todo = [point for snr_db in range(7) for point in points(*range(5), snr_db=float(snr_db))]
    shares, given, turn = Shares(todo), [], 0
    while (point := shares.next("abc"[turn % 3])) is not None:
        given.append(point.key)
        turn += 1 if turn % 4 else 2
    assert sorted(given) == sorted(point.key for point in todo)


def test_rows_are_json(tmp_path):
    assert json.loads(json.dumps(row_of(POINT, FOUND)))["channel_settings"] == '{"kind": "awgn"}'
