"""What the commands print and how they end: lines, errors and warnings, JSON, exit codes, files in the way."""

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
NOT_PROVED = 3
EXIT_CODES = "Exit codes: 0 proved to the tolerance; 2 bad input; 3 shown, but not proved."
_STYLES = {"error": "red", "warning": "yellow", "check failed": "red"}


def block(title: str, *lines: str) -> str:
    """Return a paragraph of a help text that keeps its lines."""
    return "\b\n" + "\n".join([title, *(f"  {line}" for line in lines)])


def paragraphs(text: str) -> str:
    """Return a docstring with each paragraph on one line, for the terminal to wrap."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def epilog(*examples: str, codes: str = EXIT_CODES) -> str:
    """Return what ends the help of a command."""
    return f"{block('Examples:', *examples)}\n\n{codes}"


@contextlib.contextmanager
def working(errors: Console, words: str) -> Iterator[Status]:
    """Show on stderr what is under way, and turn the package's errors and warnings into lines there.

    Whatever solvers print to stdout meanwhile goes to stderr: stdout is for results alone.
    """
    from cvxrelu.certificates.checker import RejectedCertificate
    from cvxrelu.exceptions import SolverError

    def show(message: Warning | str, *details: Any, **more: Any) -> None:
        print_message(errors, "warning", message)

    with errors.status(words) as status, warnings.catch_warnings(), _stdout_to_stderr():
        warnings.simplefilter("ignore")  # other libraries' deprecations
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


def print_message(console: Console, word: str, message: object) -> None:
    """Print one line: a word for what it is, and the message."""
    line = " ".join(str(message).split())
    console.print(f"{word}: {line}", style=_STYLES[word], markup=False, highlight=False, soft_wrap=True)


def print_lines(console: Console, lines: list[str]) -> None:
    """Print sentences, wrapped at the terminal's width."""
    if lines:
        console.print(*lines, sep="\n", markup=False)


def print_json(record: dict[str, Any]) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(record, allow_nan=False, indent=2))


def check_outputs(outputs: list[Path | None], force: bool) -> None:
    """Refuse, before any work, files that are there already or cannot be written.

    Raises
    ------
    ValueError
        With the file, and what to do.
    """
    given = [path for path in outputs if path is not None]
    for place, path in enumerate(given):
        if path in given[:place]:
            raise ValueError(f"two outputs have the name {path}: give them different ones")
        if path.is_dir():
            raise ValueError(f"{path} is a folder: give the name of a file")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
        if path.exists() and not force:
            raise ValueError(f"{path} exists already: choose another name, or replace it with --force")


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    # Of the process, not of Python alone: the lines on licences come from C.
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(OSError, TypeError, AttributeError):  # there is no such library on Windows
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
