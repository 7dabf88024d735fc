"""Formats of numbers, names and tables in the reports."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table as Grid

from cvxrelu.cli.data.tables import TrainTestSplit
from cvxrelu.preprocessing.rows import Standardization
from cvxrelu.solvers.interface import Record

SCORES = {"accuracy": ("accuracy", "{:.1%}"), "rmse": ("RMSE", "{:.6g}"), "r2": ("R^2", "{:.4f}")}
RIGOR_SENTENCES = {
    "rounded": "Both bounds hold in spite of all rounding errors, for the data as stored in float64.",
    "floating_point": "Both bounds are estimates, computed in float64 without bounds of its rounding errors.",
}
_NAMES_SHOWN = 5


def new_grid(*columns: str, left: int = 1) -> Grid:
    """Return a table without rows, the first ``left`` columns left-aligned and the others right-aligned."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for i, name in enumerate(columns):
        grid.add_column(name, justify="left" if i < left else "right", overflow="fold", no_wrap=i >= left)
    return grid


def pairs_grid(rows: dict[str, str], title: str = "") -> Grid:
    """Return a table of names and values, which may wrap; a title becomes its header."""
    grid = Grid(box=box.SIMPLE_HEAD if title else None, show_header=bool(title), pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column(title, no_wrap=True)
    grid.add_column()
    for name, text in rows.items():
        grid.add_row(name, text)
    return grid


def value(number: float) -> str:
    """Return an objective with ten significant digits."""
    return f"{number + 0.0:#.10g}"  # the sum turns -0 into 0


def seconds(number: float | None) -> str:
    """Return a time, "-" if unknown."""
    return "-" if number is None else f"{number:.3f}" if number < 10.0 else f"{number:.1f}"


def some(names: Sequence[str]) -> str:
    """Return the first names and the number of omitted ones."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"


def finite(entry: Any) -> Any:
    """Return the entry for JSON, with non-finite numbers replaced by None."""
    if isinstance(entry, dict):
        return {name: finite(value) for name, value in entry.items()}
    if isinstance(entry, list):
        return [finite(value) for value in entry]
    return None if isinstance(entry, float) and not math.isfinite(entry) else entry


def progress_line(step: Record) -> str:
    """Return a line about a solver's progress."""
    rel_gap = step.gap / abs(step.objective) if step.objective else 0.0
    return f"{step.n_iter} iterations, {step.time:.1f} s, relative gap {rel_gap:.1e}"


def written_lines(files: Mapping[str, str]) -> list[str]:
    """Return a line for each file written; the keys name their contents."""
    return [f"Written: {file}, the {name}." for name, file in files.items()]


def data_record(split: TrainTestSplit, standardization: Standardization) -> dict[str, Any]:
    """Return the description of the data in JSON types."""
    return {
        "task": split.table.task.value,
        "labels": list(split.table.labels),
        "n_train": len(split.y_train),
        "n_test": len(split.y_test),
        "features": list(split.table.features),
        "constant_features": list(split.constant),
        "blank_lines": split.table.blank_lines,
        "target_center": float(standardization.y_mean[0]),
        "target_scale": float(standardization.y_scale[0]),
    }
