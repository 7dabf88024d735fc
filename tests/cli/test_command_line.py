"""The program itself: its version, its help, its errors of use."""

import subprocess
import sys
from pathlib import Path

import pytest

import cvxrelu as cr
from tests.helpers.command import invoke

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"
COMMANDS = ["demo", "solve", "path", "certify", "verify", "compare", "info"]


def test_version():
    assert invoke("--version").stdout == f"cvxrelu {cr.__version__}\n"


def test_the_help_names_every_command_in_groups():
    for result in (invoke("--help", columns=80), invoke(columns=80)):
        positions = [result.output.index(f"│ {name} ") for name in COMMANDS]
        assert positions == sorted(positions)
        for words in ("Train, with a certificate", "Certify and verify", "Solvers", "Exit codes:", "Examples:"):
            assert words in result.output
        assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_has_examples_that_the_command_understands(name):
    result = invoke(name, "--help", columns=100)
    assert result.exit_code == 0
    assert "Exit code" in result.stdout
    head, _, examples = result.stdout.partition("Examples:")
    assert f"  cvxrelu {name}" in examples
    lines = examples.partition("Exit code")[0].splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 79
    known = head if name != "solve" else head + invoke("verify", "--help", columns=100).stdout
    for word in examples.split("Exit code")[0].split():
        assert not word.startswith("--") or f"{word} " in known, word
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith(f"cvxrelu {name}")]
    assert shown
    for word in " ".join(shown).split():
        assert not word.startswith("--") or f"{word} " in head, word


@pytest.mark.parametrize("arguments", [["slove"], ["solve"], ["info", "--jsn"], ["certify", "net.npz"]])
def test_wrong_use_is_told_without_a_traceback(arguments):
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_runs_as_a_module():
    result = subprocess.run([sys.executable, "-m", "cvxrelu", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"cvxrelu {cr.__version__}\n"
    assert result.stderr == ""
