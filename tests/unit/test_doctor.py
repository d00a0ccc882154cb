# SPDX-License-Identifier: GPL-3.0-or-later
"""`gr-semantic doctor`: exit codes, and that each probe notices what it is there to notice."""

import json
import subprocess

import pytest
from click.testing import CliRunner

from gr_semantic.cli import doctor as doctor_module
from gr_semantic.cli.doctor import Probe, doctor, examine

GOOD = Probe("good", lambda: "1.0", "none needed")


def fails():
    raise ImportError("libbroken.so:\n cannot open")


@pytest.fixture
def run_doctor(monkeypatch):
    def run(probes, *args):
        monkeypatch.setattr(doctor_module, "PROBES", probes)
        return CliRunner(mix_stderr=False).invoke(doctor, args)

    return run


def test_all_there_is_exit_code_0(run_doctor):
    result = run_doctor([GOOD])
    assert result.exit_code == 0
    assert "good" in result.stdout and "1.0" in result.stdout


def test_something_needed_is_missing_is_exit_code_1_with_the_fix(run_doctor):
    result = run_doctor([GOOD, Probe("broken", fails, "./mend it")])
    assert result.exit_code == 1
    assert "./mend it" in result.stdout
    assert result.stdout.rstrip().endswith("Missing: broken.")


def test_something_optional_is_missing_is_exit_code_0(run_doctor):
    result = run_doctor([GOOD, Probe("broken", fails, "./mend it", needed=False)])
    assert result.exit_code == 0
    assert "./mend it" in result.stdout


def test_json_holds_the_same_findings(run_doctor):
    result = run_doctor([GOOD, Probe("broken", fails, "./mend it")], "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert report["findings"] == [
        {"name": "good", "ok": True, "needed": True, "found": "1.0", "fix": ""},
        {"name": "broken", "ok": False, "needed": True, "found": "libbroken.so: cannot open", "fix": "./mend it"},
    ]


def by_name(name):
    return next(probe for probe in doctor_module.PROBES if probe.name == name)


@pytest.mark.parametrize("name", ["GNU Radio", "numpy", "torch", "libiio", "Fashion-MNIST", "codecs"])
def test_what_the_tests_run_on_is_found(name):
    finding = examine(by_name(name))
    assert finding.ok, finding


def test_a_numpy_that_is_not_gnuradios_is_noticed(monkeypatch):
    monkeypatch.setattr("numpy.__version__", "9.9.9")
    finding = examine(by_name("numpy"))
    assert not finding.ok
    assert finding.found.startswith("9.9.9 in ")


def test_an_empty_zoo_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_module, "ZOO", tmp_path)
    assert not examine(by_name("codecs")).ok


def test_a_corrupt_codec_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_module, "ZOO", tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "codec.toml").write_text("not toml at all")
    finding = examine(by_name("codecs"))
    assert not finding.ok
    assert "broken" in finding.found


BLOCK = """\
id: {id}
label: {id}
category: '[gr-semantic]'
templates:
    imports: import math
    make: None
file_format: 1
"""


@pytest.fixture
def grc_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "grc"
    folder.mkdir()
    monkeypatch.setattr(doctor_module, "GRC_BLOCKS", folder)
    return folder


def test_a_folder_without_blocks_is_noticed(grc_folder):
    assert not examine(by_name("blocks in Companion")).ok
    assert not examine(by_name("blocks in a plain Companion")).ok


def test_a_block_that_companion_does_not_load_is_noticed(grc_folder):
    (grc_folder / "semantic_good.block.yml").write_text(BLOCK.format(id="semantic_good"))
    finding = examine(by_name("blocks in Companion"))
    assert finding.ok and finding.found.startswith("1 blocks"), finding
    bad = BLOCK.format(id="semantic_bad").replace("category: '[gr-semantic]'", "parameters: 7")
    (grc_folder / "semantic_bad.block.yml").write_text(bad)
    finding = examine(by_name("blocks in Companion"))
    assert not finding.ok
    assert "semantic_bad" in finding.found and "semantic_good" not in finding.found


def test_a_plain_companion_sees_blocks_in_grc_blocks_path_only(grc_folder, monkeypatch):
    (grc_folder / "semantic_good.block.yml").write_text(BLOCK.format(id="semantic_good"))
    monkeypatch.delenv("GRC_BLOCKS_PATH", raising=False)
    assert not examine(by_name("blocks in a plain Companion")).ok
    monkeypatch.setenv("GRC_BLOCKS_PATH", str(grc_folder))
    assert examine(by_name("blocks in a plain Companion")).ok


@pytest.fixture
def iio_scan(monkeypatch):
    """Sets what iio_info prints when it scans USB; the network always answers nothing."""

    def say(usb):
        def run(command, **_):
            stdout = usb if "-Susb" in command else "No IIO context found.\n"
            return subprocess.CompletedProcess(command, 0, stdout, "")

        monkeypatch.setattr(doctor_module.subprocess, "run", run)

    return say


def test_plutos_are_read_from_the_scan(iio_scan):
    iio_scan("Available contexts:\n\t0: 0456:b673 (PlutoSDR (ADALM-PLUTO)), serial=1044 [usb:1.5.5]\n")
    finding = examine(by_name("Plutos"))
    assert finding.ok and finding.found == "usb:1.5.5"


def test_without_a_pluto_the_finding_says_so(iio_scan):
    iio_scan("No IIO context found.\n")
    finding = examine(by_name("Plutos"))
    assert not finding.ok and not finding.needed
    assert "none found" in finding.found
