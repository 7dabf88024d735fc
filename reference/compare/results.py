"""Results file of a comparison: one row for each solver, instance and requested accuracy."""

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
    """Read a results file: `COLUMNS` with their types; missing texts are empty, missing numbers NaN.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a complete results file.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}: run 'python -m reference compare --out {path}' first")
    numbers = [name for name in COLUMNS if name not in _TEXTS]
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values={name: [""] for name in numbers}
        )
        if list(table.columns) != list(COLUMNS):
            unexpected = sorted(set(table.columns) ^ set(COLUMNS)) or "their order"
            raise ValueError(f"its columns differ from those of this version ({unexpected})")
        for name in numbers:
            table[name] = table[name].astype(np.int64 if name in _INTEGERS else np.float64)
    except (ValueError, pd.errors.EmptyDataError) as error:  # a ParserError is a ValueError
        raise ValueError(f"{path} is not a results file: {error}") from error
    if unknown := set(table["status"]) - set(STATUSES):
        raise ValueError(f"{path} is not a results file: unknown status {sorted(unknown)}")
    return table


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append all rows to the file, or none if interrupted; the file is created if necessary.

    Several processes may append to one file. If another process has added the same run meanwhile, its row is kept.
    """
    with _locked(path):
        if not path.exists():
            _write(path, pd.DataFrame(columns=list(COLUMNS)).to_csv(index=False))
        new = pd.DataFrame(list(rows), columns=list(COLUMNS))
        if len(new):
            held = set(_keys(read(path)))
            fresh = [run not in held for run in _keys(new)]
            _write(path, path.read_text() + new[fresh].to_csv(index=False, header=False))


def drop(path: Path, instances: Iterable[str], solvers: Iterable[str]) -> None:
    """Remove the rows of the given solvers on the given instances; leave all other rows unchanged."""
    with _locked(path):
        table = pd.read_csv(path, keep_default_na=False, dtype=str)
        dropped = table["instance"].isin(set(instances)) & table["solver"].isin(set(solvers))
        _write(path, table[~dropped].to_csv(index=False))


def settings_file(path: Path) -> Path:
    """Return the path of the settings file next to the results: settings, machine and versions."""
    return path.with_suffix(".settings.json")


def hold_settings(path: Path, settings: Mapping[str, Any], decisive: Iterable[str]) -> None:
    """Write the settings next to the results, after checking that the decisive ones agree with those of earlier runs.

    Raises
    ------
    ValueError
        If the results were obtained with other settings.
    """
    path_of_settings = settings_file(path)
    with _locked(path):
        if path_of_settings.exists() and path.exists():
            found = json.loads(path_of_settings.read_text())
            different = [name for name in decisive if found.get(name) != settings[name]]
            if different:
                listed = "; ".join(f"{name}: {found.get(name)} in the file, {settings[name]} now" for name in different)
                raise ValueError(f"{path} holds results obtained with other settings and cannot be resumed ({listed})")
        _write(path_of_settings, json.dumps(dict(settings), indent=1) + "\n")


def _keys(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the key of each row: instance, version, solver and requested accuracy."""
    columns = (table["instance"], table["version"], table["solver"], (f"{asked:.6g}" for asked in table["asked"]))
    return list(zip(*columns, strict=True))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file and create its folder; the lock ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp")  # under the lock: the remains of a killed process are overwritten
    temporary.write_text(text)
    os.replace(temporary, path)
