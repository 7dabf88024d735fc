"""A user's table as validated arrays, and its split into training and test rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from cvxrelu._files import content_hash
from cvxrelu._validation import FloatArray, check_number
from cvxrelu.cli.data.table_files import TableError, listing, read_cells
from cvxrelu.cli.settings import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Table:
    """Validated features and target, all finite.

    Attributes
    ----------
    X : ndarray of shape (n, d)
        Features.
    y : ndarray of shape (n,)
        Target: numbers, or -1 and +1 for the two ``labels``.
    features : tuple of str
        Names of the columns of X.
    task : Task
        REGRESSION or CLASSIFICATION.
    labels : tuple of str
        The labels that became -1 and +1; empty for regression.
    blank_lines : int
        Number of skipped lines without any value.
    target : str
        Name of the target.
    """

    X: FloatArray
    y: FloatArray
    features: tuple[str, ...]
    task: Task
    labels: tuple[str, ...] = ()
    blank_lines: int = 0
    target: str = "y"


@dataclass(frozen=True, eq=False)
class TrainTestSplit:
    """Training and test rows of a table, not standardised.

    Attributes
    ----------
    X_train, X_test : ndarray of shape (n, d)
        Features.
    y_train, y_test : ndarray of shape (n,)
        Targets: numbers, or -1 and +1.
    constant : tuple of str
        Features that are constant, to rounding, on the training rows.
    table : Table
        The table.
    test_size : float
        Requested fraction of test rows.
    seed : int
        Seed of the split.
    """

    X_train: FloatArray
    X_test: FloatArray
    y_train: FloatArray
    y_test: FloatArray
    constant: tuple[str, ...]
    table: Table
    test_size: float
    seed: int

    @property
    def rows_sha256(self) -> str:
        """Hash of the training rows, which depends on their order."""
        return content_hash({}, {"X": self.X_train, "y": self.y_train})


def read_table(path: Path, target: str | None, task: Task = Task.AUTO) -> Table:
    """Read a CSV, Parquet or NPZ file: numbers in every column, or two labels in the target.

    A CSV file has a header; the separator is a comma, or a semicolon or tab if the header has these and no comma. An
    NPZ file has arrays X and y, and y is the default target. With ``Task.AUTO``, a target of exactly two distinct
    values means classification.

    Raises
    ------
    TableError
        If the file cannot be read or used; the message names the column and the line of a CSV file (the header is
        line 1), or the row.
    """
    read = read_cells(path)
    cells = read.frame
    blank = cells.isna().all(axis="columns") & (read.unit == "line")
    cells = cells[~blank]
    if target is None and path.suffix.lower() == ".npz":
        target = "y"
    if target is None:
        raise TableError(f"give the column to predict with --target; those of {path} are {listing(cells.columns)}")
    if target not in cells.columns:
        raise TableError(f"{path} has no column {target!r}; its columns are {listing(cells.columns)}")
    if len(cells.columns) < 2:
        raise TableError(f"{path} has no feature: {target!r} is its only column")
    if len(cells) < 2:
        raise TableError(f"{path} has {len(cells)} row(s) of data; at least 2 are needed")
    _check_complete(cells, read.unit)
    features = cells.drop(columns=target)
    X = np.column_stack([_numbers(features[name], read.unit) for name in features.columns])
    y, labels = _target(cells[target], task, read.unit)
    return Table(
        X=X,
        y=y,
        features=tuple(features.columns),
        task=Task.CLASSIFICATION if labels else Task.REGRESSION,
        labels=labels,
        blank_lines=int(blank.sum()),
        target=target,
    )


def split_table(table: Table, test_size: float, seed: int) -> TrainTestSplit:
    """Split a table at random, stratified by class for classification.

    ``test_size`` is the fraction of the rows to test on; 0 keeps all for training.

    Raises
    ------
    TableError
        If there are too few rows for the split, or values too large to standardise.
    """
    if not check_number("test size", test_size, minimum=0.0) < 1.0:
        raise TableError(f"test size must be at least 0 and below 1; got {test_size:g}")
    classes = table.task is Task.CLASSIFICATION
    rows = np.arange(len(table.y))
    train, test = rows, rows[:0]
    if test_size > 0.0:
        try:
            train, test = train_test_split(
                rows, test_size=test_size, random_state=seed, stratify=table.y if classes else None
            )
        except ValueError as error:
            raise TableError(
                f"{len(rows)} rows cannot be split with test size {test_size:g} ({error}); 0 trains on all rows"
            ) from error
    varies = _varies(table.X[train], table.features)
    if not classes:
        _varies(table.y[train, None], ("the target",))
    return TrainTestSplit(
        X_train=table.X[train],
        X_test=table.X[test],
        y_train=table.y[train],
        y_test=table.y[test],
        constant=tuple(np.array(table.features, dtype=object)[~varies]),
        table=table,
        test_size=test_size,
        seed=seed,
    )


def _check_complete(cells: pd.DataFrame, unit: str) -> None:
    missing = np.argwhere(cells.isna().to_numpy())
    if len(missing):
        row, column = missing[0]
        raise TableError(
            f"missing value in column {cells.columns[column]!r}, {unit} {cells.index[row]} "
            f"({len(missing)} in all): fill them in, or remove their {unit}s"
        )


def _numbers(column: pd.Series[Any], unit: str) -> FloatArray:
    import pandas as pd

    numbers = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    for bad, problem in ((np.isnan(numbers), "text"), (np.isinf(numbers), "an infinite value")):
        if bad.any():
            row = int(np.argmax(bad))
            raise TableError(
                f"column {column.name!r} must hold finite numbers; got {problem}, {column.iloc[row]!r}, "
                f"in {unit} {column.index[row]} ({int(bad.sum())} in all)"
            )
    return numbers


def _target(column: pd.Series[Any], task: Task, unit: str) -> tuple[FloatArray, tuple[str, ...]]:
    import pandas as pd

    if pd.to_numeric(column, errors="coerce").notna().all():
        values = _numbers(column, unit)
        if task is Task.REGRESSION or (task is Task.AUTO and len(np.unique(values)) != 2):
            return values, ()
    else:
        if task is Task.REGRESSION:
            _numbers(column, unit)  # raises, with the position
        values = column.to_numpy(dtype=object)
    labels, codes = np.unique(values, return_inverse=True)
    if len(labels) != 2:
        raise TableError(
            f"target {column.name!r} has {len(labels)} distinct value(s), {listing(labels)}: "
            "classification needs two classes, regression needs numbers"
        )
    return 2.0 * codes - 1.0, tuple(f"{label:g}" if isinstance(label, float) else str(label) for label in labels)


def _varies(values: FloatArray, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return a mask of columns that vary by more than rounding, by the rule of scikit-learn's StandardScaler.

    Raises
    ------
    TableError
        If a variance overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        means, variances = values.mean(axis=0), values.var(axis=0)
        rounding = len(values) * np.finfo(np.float64).eps
        varies: NDArray[np.bool_] = variances > rounding * variances + (rounding * means) ** 2
    finite = np.isfinite(variances)
    if not finite.all():
        column = int(np.argmin(finite))
        raise TableError(
            f"values of {names[column]!r} are too large to standardise (up to {np.abs(values[:, column]).max():g})"
        )
    return varies
