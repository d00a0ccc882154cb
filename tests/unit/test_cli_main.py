# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `gr-semantic`: help, exit codes, one line for a user's mistake."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gr_semantic.cli.main import COMMANDS, main
from gr_semantic.errors import UserError
from semantic_models import CodecError


@pytest.fixture
def run_command(monkeypatch):
    """Registers a command that calls `action`, runs it with `args`, returns click's result."""

    def run(action, *args):
        command = click.Command("probe", callback=action)
        monkeypatch.setitem(COMMANDS, "probe", (f"{__name__}:probe", "A test's command."))
        monkeypatch.setattr(sys.modules[__name__], "probe", command, raising=False)
        return CliRunner(mix_stderr=False).invoke(main, ["probe", *args])

    return run


def raises(error):
    def action():
        raise error

    return action


def test_help_lists_every_command_without_importing_torch_or_gnuradio():
    code = (
        "import sys; from gr_semantic.cli.main import main; main(['--help'], standalone_mode=False); "
        "print(sorted({'torch', 'gnuradio', 'numpy', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stderr.strip() == "[]"
    for name, (_, text) in COMMANDS.items():
        assert name in result.stdout and text in result.stdout
    assert "Examples:" in result.stdout


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_registered_command_exists_and_explains_itself(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: main {name}")


@pytest.mark.parametrize("args", [["--nonsense"], ["nonsense"], ["doctor", "--nonsense"]])
def test_unknown_option_or_command_ends_with_exit_code_2(args):
    result = CliRunner(mix_stderr=False).invoke(main, args)
    assert result.exit_code == 2
    assert "nonsense" in result.stderr and result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("error_class", [UserError, CodecError])
def test_a_users_mistake_is_one_line_and_exit_code_2(run_command, error_class):
    result = run_command(raises(error_class("waveform.yaml: fft_len:\n  63 is not a power of two")))
    assert result.exit_code == 2
    assert result.stderr == "gr-semantic: error: waveform.yaml: fft_len: 63 is not a power of two\n"
    assert result.stdout == ""


def test_our_own_mistake_is_not_hidden(run_command):
    result = run_command(raises(ValueError("a bug")))
    assert isinstance(result.exception, ValueError)


def test_interrupt_ends_with_exit_code_130_and_no_traceback(run_command):
    result = run_command(raises(KeyboardInterrupt()))
    assert result.exit_code == 130
    assert result.stderr == "gr-semantic: interrupted\n"


def test_version():
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("gr-semantic, version ")
