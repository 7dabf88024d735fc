"""Output of solvers beside that of a command."""

import subprocess
import sys


def test_what_solvers_print_is_kept_from_stdout():
    program = """
import ctypes, os
from rich.console import Console
from cvxrelu.cli.terminal import working
with working(Console(stderr=True), "at work"):
    print("noise of Python")
    os.write(1, b"noise of the system")
    ctypes.CDLL(None).puts(b"noise of C")
print("result")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "result\n"
    assert result.stderr.count("noise") == 3
