"""Output of the commands: lines, errors and warnings, JSON, exit codes, checks of output files."""

import contextlib
import ctypes
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.status import Status

BAD_INPUT = 2
ABOVE_TOLERANCE = 3
EXIT_CODES = "Exit codes: 0 gap within the tolerance; 2 invalid input; 3 shown, but with a larger gap."
_STYLES = {"error": "red", "warning": "yellow", "check failed": "red"}


def block(title: str, *lines: str) -> str:
    """Return a paragraph of a help text that keeps its lines."""
    return "\b\n" + "\n".join([title, *(f"  {line}" for line in lines)])


def paragraphs(text: str) -> str:
    """Return a docstring with each paragraph on one line, for the terminal to wrap."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def epilog(*examples: str, codes: str = EXIT_CODES) -> str:
    """Return the end of a command's help: examples and exit codes."""
    return f"{block('Examples:', *examples)}\n\n{codes}"


@contextlib.contextmanager
def working(errors: Console, message: str) -> Iterator[Status]:
    """Show progress on stderr, and print the package's errors and warnings there, one line each.

    Output of solvers to stdout is redirected to stderr, as stdout is for results only.
    """
    from cvxrelu.certificates.checker import RejectedCertificate
    from cvxrelu.exceptions import SolverError

    def show(message: Warning | str, *details: Any, **more: Any) -> None:
        print_message(errors, "warning", message)

    with errors.status(message) as status, warnings.catch_warnings(), _stdout_to_stderr():
        warnings.simplefilter("ignore")  # such as other libraries' deprecations
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        try:
            yield status
        except OSError as error:
            named = error.filename is not None and error.strerror is not None
            print_message(errors, "error", f"cannot use {error.filename}: {error.strerror}" if named else error)
            raise typer.Exit(BAD_INPUT) from error
        except (TypeError, ValueError, ModuleNotFoundError, SolverError, RejectedCertificate) as error:
            print_message(errors, "error", error)
            raise typer.Exit(BAD_INPUT) from error


def print_message(console: Console, kind: str, message: object) -> None:
    """Print a message on one line, after its kind: "error", "warning" or "check failed"."""
    line = " ".join(str(message).split())
    console.print(f"{kind}: {line}", style=_STYLES[kind], markup=False, highlight=False, soft_wrap=True)


def print_lines(console: Console, lines: list[str]) -> None:
    """Print lines, wrapped at the terminal's width."""
    if lines:
        console.print(*lines, sep="\n", markup=False)


def print_json(record: dict[str, Any]) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(record, allow_nan=False, indent=2))


def check_outputs(outputs: list[Path | None], force: bool) -> None:
    """Reject, before any work, output files that exist already or have no folder.

    Raises
    ------
    ValueError
        With the file and a remedy.
    """
    given = [path for path in outputs if path is not None]
    for i, path in enumerate(given):
        if path in given[:i]:
            raise ValueError(f"two outputs have the name {path}: give them different ones")
        if path.is_dir():
            raise ValueError(f"{path} is a folder: give the name of a file")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
        if path.exists() and not force:
            raise ValueError(f"{path} exists already: choose another name, or replace it with --force")


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    # Redirect the file descriptor, not only Python's stream, as C libraries print about licences.
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(OSError, TypeError, AttributeError):  # not available on Windows
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
