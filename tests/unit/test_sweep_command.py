# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic sweep`` without a cluster: the plan, users' mistakes, missing packages."""

import json
import sys

import pytest
from click.testing import CliRunner

from gr_semantic.cli.main import main
from gr_semantic.sweep import cluster


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("images: 'synthetic:40'\ngrids: [{snr_db: [0, 5], budget: 8}]\n")

    def run(*args, exit_code=0):
        result = CliRunner(mix_stderr=False).invoke(main, ["sweep", *args])
        assert result.exit_code == exit_code, (result.stderr, result.exception)
        return result

    return run


def test_dry_run_measures_and_leaves_nothing(run, tmp_path):
    plan = json.loads(run("s.yaml", "--dry-run", "--json").stdout)
    assert plan == {"points": 2, "to_measure": 2, "processor_s": 0, "without_estimate": 2}
    assert "2 points, 0 are there, 2 to measure" in run("s.yaml", "--dry-run").stdout
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("module", ["distributed", "pyarrow"])
def test_the_way_out_where_a_package_is_missing(run, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    stderr = run("s.yaml", exit_code=2).stderr
    assert f"a sweep needs {module}" in stderr and "./run setup" in stderr and len(stderr.splitlines()) == 1


def test_mistakes_end_in_one_line(run, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.5)
    for args, words in (
        (["none.yaml"], "none.yaml: cannot be read"),
        (["s.yaml", "--workers", "1", "--scheduler", "tcp://127.0.0.1:9"], "give one of them"),
        (["s.yaml", "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers"),
        (["s.yaml", "--scheduler", "nonsense://x"], "no Dask scheduler answers"),
        (["s.yaml", "-o", "s.yaml/r.parquet"], "cannot be written"),
    ):
        stderr = run(*args, exit_code=2).stderr
        assert words in stderr and len(stderr.splitlines()) == 1, stderr
