"""The tidy file of a comparison: one row for each run of a solver on an instance at an asked accuracy."""

import json
import os
from collections.abc import Iterable, Mapping
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
    """Add rows to the file, which is made if there is none: all of them, or, should that be interrupted, none."""
    old = path.read_text() if path.exists() else pd.DataFrame(columns=list(COLUMNS)).to_csv(index=False)
    new = pd.DataFrame(list(rows), columns=list(COLUMNS)).to_csv(index=False, header=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, old + new)


def drop(path: Path, instances: Iterable[str], solvers: Iterable[str]) -> None:
    """Remove the rows of some solvers on some instances from the file; nothing else in it changes."""
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
    if beside.exists() and path.exists():
        found = json.loads(beside.read_text())
        different = [name for name in decisive if found.get(name) != settings[name]]
        if different:
            listed = "; ".join(f"{name}: {found.get(name)} there, {settings[name]} here" for name in different)
            raise ValueError(f"{path} holds results of other settings, which cannot be gone on with ({listed})")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(beside, json.dumps(dict(settings), indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
