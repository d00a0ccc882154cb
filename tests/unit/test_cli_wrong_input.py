# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong input to the commands: one line on stderr that names it, exit code 2, nothing on stdout."""

import json

import pytest
from click.testing import CliRunner

from gr_semantic.cli.main import main
from gr_semantic.paths import ROOT


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Runs a command in an empty folder with a file `afile`; returns its one line on stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_bytes(bytes(range(256)))

    def run(*args):
        result = CliRunner(mix_stderr=False).invoke(main, [str(arg) for arg in args])
        assert result.exit_code == 2, (args, result.stderr, result.exception)
        assert result.stdout == "" and result.stderr.count("\n") == 1
        return result.stderr

    return run


@pytest.fixture
def recording(tmp_path):
    """Writes frames.sigmf-meta with a field of its global part changed."""

    def write(**own):
        made = CliRunner().invoke(main, ["modulate", "--qpsk", "--frames", "1", "-o", str(tmp_path / "f.sigmf-meta")])
        assert made.exit_code == 0
        metadata = json.loads((tmp_path / "f.sigmf-meta").read_text())
        metadata["global"] |= {f"gr_semantic:{key}": value for key, value in own.items()}
        (tmp_path / "f.sigmf-meta").write_text(json.dumps(metadata))
        return tmp_path / "f.sigmf-meta"

    return write


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_sample_rate(refused, recording, rate):
    name = recording()
    assert "--sample-rate" in refused("replay", name, "--sample-rate", rate)
    assert "--sample-rate" in refused("channel", name, "--sample-rate", rate, "-o", "out.sigmf")


def test_fields_of_a_recording_that_are_of_another_type(refused, recording):
    assert "gr_semantic:codec" in refused("replay", recording(codec=7), "--json")
    assert "gr_semantic:channels" in refused("channel", recording(channels=7), "-o", "out.sigmf")


def test_an_empty_name_is_not_the_current_folder(refused):
    assert "no such folder" in refused("modulate", "--dataset", "", "-o", "out.sigmf")


@pytest.mark.parametrize("command", [["distill", "--out", "out"], ["store", "build"]])
def test_experiment_file(refused, tmp_path, command):
    text = (ROOT / "models" / "experiments" / "fashion-mnist.yaml").read_text()
    (tmp_path / "unknown.yaml").write_text(text + "\nbogus: 1\n")
    (tmp_path / "name.yaml").write_text(text.replace("name: fashion-mnist", "name: 5"))
    assert "unknown section bogus" in refused(*command, "unknown.yaml", "--work", "w")
    assert "name is 5" in refused(*command, "name.yaml", "--work", "w")
    assert "not valid YAML" in refused(*command, "afile", "--work", "w")


def test_folders_that_cannot_be_written_are_refused_before_the_work(refused):
    assert "folder afile" in refused("distill", "fashion-mnist", "--work", "afile", "--out", "out")
    assert "folder afile" in refused("distill", "fashion-mnist", "--work", "w", "--out", "afile")
    assert "folder afile" in refused("store", "build", "fashion-mnist", "--work", "afile")
    assert "folder afile" in refused("evaluate", "fashion-mnist", "--stored", "--figure", "afile/x.png")
    assert "afile" in refused("characterize", "--quick", "--only", "papr", "-o", "afile")
    assert "bogus" in refused("characterize", "--quick", "--only", "bogus", "-o", "out")


@pytest.mark.parametrize(
    "option",
    [("--snr-db", "nan"), ("--snr-db", "inf"), ("--report-error-db", "nan"), ("--seed", -1), ("--seed", 2**70)],
)
def test_numbers_of_an_evaluation(refused, option):
    refused("evaluate", "fashion-mnist", "--images", "synthetic:8", *option)


@pytest.mark.parametrize("option", [("--payload-symbols", 0), ("--payload-symbols", 1000), ("--seconds", "nan")])
def test_numbers_of_a_benchmark(refused, option):
    assert option[0] in refused("bench", "modem", *option)
