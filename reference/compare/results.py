"""The tidy file of a comparison: one row for each run of a solver on an instance at an asked accuracy."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_TEXTS = ("instance", "size", "kind", "loss", "solver", "solver_version", "status", "claimed", "note")
_INTEGERS = ("version", "n", "d", "n_patterns", "n_outputs", "threads")
COLUMNS = (
    *("instance", "version", "size", "kind", "loss", "n", "d", "n_patterns", "n_outputs", "lam"),
    *("solver", "solver_version", "asked", "status", "seconds", "compile_seconds", "memory_mb"),
    *("objective", "lower", "accuracy", "certified_gap", "violation", "claimed", "note", "threads", "timeout"),
)
STATUSES = ("answered", "timeout", "failed", "not_run")


def read(path: Path) -> pd.DataFrame:
    """Read a results file: `COLUMNS` with their types; an empty text where nothing is said, NaN where no number is.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a results file, or not a whole one.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}: 'python -m reference compare --out {path}' makes one")
    numbers = [name for name in COLUMNS if name not in _TEXTS]
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values={name: [""] for name in numbers}
        )
        if list(table.columns) != list(COLUMNS):
            odd = sorted(set(table.columns) ^ set(COLUMNS)) or "their order"
            raise ValueError(f"its columns differ from those of this version ({odd})")
        for name in numbers:
            table[name] = table[name].astype(np.int64 if name in _INTEGERS else np.float64)
    except (ValueError, pd.errors.EmptyDataError) as error:  # a ParserError is a ValueError
        raise ValueError(f"{path} is not a results file: {error}") from error
    if unknown := set(table["status"]) - set(STATUSES):
        raise ValueError(f"{path} is not a results file: unknown status {sorted(unknown)}")
    return table


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to the file, which is made if there is none: all of them, or, should that be interrupted, none.

    Several processes may add to one file. Of a run that another process has added meanwhile, its row stays.
    """
    with _locked(path):
        if not path.exists():
            _write(path, pd.DataFrame(columns=list(COLUMNS)).to_csv(index=False))
        new = pd.DataFrame(list(rows), columns=list(COLUMNS))
        if len(new):
            held = set(_runs(read(path)))
            fresh = [run not in held for run in _runs(new)]
            _write(path, path.read_text() + new[fresh].to_csv(index=False, header=False))


def drop(path: Path, instances: Iterable[str], solvers: Iterable[str]) -> None:
    """Remove the rows of some solvers on some instances from the file; nothing else in it changes."""
    with _locked(path):
        table = pd.read_csv(path, keep_default_na=False, dtype=str)
        dropped = table["instance"].isin(set(instances)) & table["solver"].isin(set(solvers))
        _write(path, table[~dropped].to_csv(index=False))


def settings_file(path: Path) -> Path:
    """Return the file beside the results that holds the settings they were made with, the machine and versions."""
    return path.with_suffix(".settings.json")


def hold_settings(path: Path, settings: Mapping[str, Any], decisive: Iterable[str]) -> None:
    """Write the settings beside the results, or see that those of an earlier run are the same where it matters.

    Raises
    ------
    ValueError
        If the results were made with other settings.
    """
    beside = settings_file(path)
    with _locked(path):
        if beside.exists() and path.exists():
            found = json.loads(beside.read_text())
            different = [name for name in decisive if found.get(name) != settings[name]]
            if different:
                listed = "; ".join(f"{name}: {found.get(name)} there, {settings[name]} here" for name in different)
                raise ValueError(f"{path} holds results of other settings, which cannot be gone on with ({listed})")
        _write(beside, json.dumps(dict(settings), indent=1) + "\n")


def _runs(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return for each row what there is one of: instance, version, solver and the accuracy asked."""
    columns = (table["instance"], table["version"], table["solver"], (f"{asked:.6g}" for asked in table["asked"]))
    return list(zip(*columns, strict=True))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let no other process change the file, whose folder is made; the lock ends with the process, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp")  # under the lock: what a killed process has left is replaced
    temporary.write_text(text)
    os.replace(temporary, path)
