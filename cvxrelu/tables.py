"""A user's CSV file as checked arrays, and the split into scaled training and test data."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from cvxrelu._validation import FloatArray, check_number
from cvxrelu.settings import Task

_LISTED = 20


class TableError(ValueError):
    """A table that cannot be used; the message names the file, the column and the line."""


@dataclass(frozen=True, eq=False)
class Table:
    """Features and target, checked: all finite.

    Attributes
    ----------
    X : ndarray of shape (n, d)
        Features.
    y : ndarray of shape (n,)
        Target: its numbers, or -1 and +1 for the two ``labels``.
    features : tuple of str
        Names of the columns of X.
    task : Task
        REGRESSION or CLASSIFICATION.
    labels : tuple of str
        The labels that became -1 and +1; empty for regression.
    blank_lines : int
        Lines without any value, which were skipped.
    """

    X: FloatArray
    y: FloatArray
    features: tuple[str, ...]
    task: Task
    labels: tuple[str, ...] = ()
    blank_lines: int = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test data, scaled by statistics of the training rows.

    Attributes
    ----------
    X_train, X_test : ndarray
        Features, centred and of unit l2 norm on the training rows; the last column is 1/sqrt(n_train), the bias.
    y_train, y_test : ndarray
        Targets: -1 and +1, or (target - center) / scale.
    features : tuple of str
        Names of the columns of X that were kept, the bias not among them.
    constant : tuple of str
        Columns left out: constant, to rounding, on the training rows.
    center, scale : float
        Of the target; 0 and 1 for classification.
    table : Table
        What was split.
    """

    X_train: FloatArray
    X_test: FloatArray
    y_train: FloatArray
    y_test: FloatArray
    features: tuple[str, ...]
    constant: tuple[str, ...]
    center: float
    scale: float
    table: Table


def read_table(path: Path, target: str, task: Task = Task.AUTO) -> Table:
    """Read a CSV file with a header: numbers in every column, or two labels in the target.

    The separator is a comma, or a semicolon or tab where the header has these and no comma. With
    ``Task.AUTO``, a target of exactly two distinct values is a classification.

    Raises
    ------
    TableError
        If the file cannot be read or used, with the column and the line (the header is line 1) to look at.
    """
    cells = _read_cells(path)
    blank = cells.isna().all(axis="columns")
    cells = cells[~blank]
    if target not in cells.columns:
        raise TableError(f"{path} has no column {target!r}; its columns are {_listing(cells.columns)}")
    if len(cells.columns) < 2:
        raise TableError(f"{path} has no feature: {target!r} is its only column")
    if len(cells) < 2:
        raise TableError(f"{path} has {len(cells)} row(s) of data; at least 2 are needed")
    _check_complete(cells)
    features = cells.drop(columns=target)
    X = np.column_stack([_numbers(features[name]) for name in features.columns])
    y, labels = _target(cells[target], task)
    return Table(
        X=X,
        y=y,
        features=tuple(features.columns),
        task=Task.CLASSIFICATION if labels else Task.REGRESSION,
        labels=labels,
        blank_lines=int(blank.sum()),
    )


def split_table(table: Table, test_size: float, seed: int) -> Split:
    """Split a table at random, by class where it has classes, and scale it.

    Columns that are constant on the training rows are left out. ``test_size`` is the share of the rows to test
    on; 0 keeps all for training.

    Raises
    ------
    TableError
        If there are too few rows for such a split, or numbers too large to scale.
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
    X, varies = _scaled(table.X, train, table.features)
    X = np.column_stack([X[:, varies] / np.sqrt(len(train)), np.full(len(rows), 1 / np.sqrt(len(train)))])
    y, center, scale = table.y, 0.0, 1.0
    if not classes:
        scaled, changes = _scaled(table.y[:, None], train, ("the target",))
        center = float(table.y[train].mean())
        scale = float(table.y[train].std()) if changes[0] else 1.0
        y = scaled[:, 0]
    return Split(
        X_train=X[train],
        X_test=X[test],
        y_train=y[train],
        y_test=y[test],
        features=tuple(np.array(table.features, dtype=object)[varies]),
        constant=tuple(np.array(table.features, dtype=object)[~varies]),
        center=center,
        scale=scale,
        table=table,
    )


def _read_cells(path: Path) -> pd.DataFrame:
    """Return the cells as text, missing ones as NaN, indexed by their line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not text in UTF-8 (save a spreadsheet as CSV first)") from error
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    if not text.strip():
        raise TableError(f"{path} is empty")
    header = text.partition("\n")[0]
    separator = next((mark for mark in ";\t" if mark in header and "," not in header), ",")
    try:
        # The header is read as a row: pandas would rename columns of equal name, and shift lines of other lengths.
        cells = pd.read_csv(io.StringIO(text), sep=separator, header=None, dtype=str, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise TableError(f"{path} is not a table: {reason}") from error
    cells = cells.map(str.strip, na_action="ignore").replace("", np.nan)
    cells.index += 1
    names = cells.iloc[0]
    if names.isna().any():
        raise TableError(
            f"column {int(names.isna().argmax()) + 1} of {path} has no name in line 1 "
            "(if it is an index that was saved with the table, remove it)"
        )
    if names.duplicated().any():
        raise TableError(f"{path} has more than one column {names[names.duplicated()].iloc[0]!r}")
    cells.columns = pd.Index(names)
    return cells.iloc[1:]


def _check_complete(cells: pd.DataFrame) -> None:
    missing = np.argwhere(cells.isna().to_numpy())
    if len(missing):
        row, column = missing[0]
        raise TableError(
            f"missing value in column {cells.columns[column]!r}, line {cells.index[row]} "
            f"({len(missing)} in all): fill them in, or remove their lines"
        )


def _numbers(column: "pd.Series[str]") -> FloatArray:
    numbers = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    for bad, problem in ((np.isnan(numbers), "text"), (np.isinf(numbers), "an infinite value")):
        if bad.any():
            row = int(np.argmax(bad))
            raise TableError(
                f"column {column.name!r} must hold finite numbers; got {problem}, {column.iloc[row]!r}, "
                f"in line {column.index[row]} ({int(bad.sum())} in all)"
            )
    return numbers


def _target(column: "pd.Series[str]", task: Task) -> tuple[FloatArray, tuple[str, ...]]:
    if pd.to_numeric(column, errors="coerce").notna().all():
        values = _numbers(column)
        if task is Task.REGRESSION or (task is Task.AUTO and len(np.unique(values)) != 2):
            return values, ()
    else:
        if task is Task.REGRESSION:
            _numbers(column)  # raises, with the line
        values = column.to_numpy(dtype=object)
    labels, codes = np.unique(values, return_inverse=True)
    if len(labels) != 2:
        raise TableError(
            f"target {column.name!r} has {len(labels)} distinct value(s), {_listing(labels)}: "
            "classification needs two classes, and regression numbers"
        )
    return 2.0 * codes - 1.0, tuple(f"{label:g}" if isinstance(label, float) else label for label in labels)


def _scaled(values: FloatArray, train: np.ndarray, names: tuple[str, ...]) -> tuple[FloatArray, np.ndarray]:
    """Return the columns, centred and of unit variance on the training rows, and which of them vary there."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(values[train])
        scaled = scaler.transform(values)
    finite = np.isfinite(scaler.scale_)
    if not finite.all():
        column = int(np.argmin(finite))
        raise TableError(
            f"values of {names[column]!r} are too large to scale (up to {np.abs(values[:, column]).max():g})"
        )
    # The scaler leaves columns that are constant to rounding as they are, centred.
    return scaled, np.isclose(scaled[train].std(axis=0), 1.0)


def _listing(names: "pd.Index[str] | np.ndarray") -> str:
    listed = ", ".join(repr(name) if isinstance(name, str) else f"{name:g}" for name in names[:_LISTED])
    return listed if len(names) <= _LISTED else f"{listed}, ... ({len(names)} in all)"
