"""Read tables from CSV, Parquet and NPZ files as named columns of cells; needs pandas, the extra ``tables``."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._files import load_arrays

if TYPE_CHECKING:
    import pandas as pd

_LISTED = 20
_UNREADABLE = (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class TableError(ValueError):
    """A table that cannot be used; the message names the file, the column and the line."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a table file.

    Attributes
    ----------
    frame : DataFrame
        Columns of numbers or text, named by distinct strings; missing cells are NaN. Its index is the position of each
        row in the file, counted from 1.
    unit : str
        Unit of the index: "line", including the header, or "row".
    """

    frame: pd.DataFrame
    unit: str


def read_cells(path: Path) -> Cells:
    """Return the table of a file: NPZ or Parquet by its extension, else CSV.

    An NPZ file has arrays X (n, d), whose columns are named "x0", "x1", ..., and y (n,), named "y".

    Raises
    ------
    TableError
        If the file cannot be read or is not a table of numbers and text, or pandas is not installed.
    """
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError as error:
        raise TableError("pandas is needed to read tables: pip install 'cvxrelu[tables]'") from error
    match path.suffix.lower():
        case ".npz":
            return Cells(_read_npz(path), "row")
        case ".parquet" | ".pq":
            return Cells(_read_parquet(path), "row")
        case _:
            return Cells(_read_csv(path), "line")


def _read_csv(path: Path) -> pd.DataFrame:
    """Return the cells of a CSV file as text, missing ones as NaN, indexed by line."""
    import pandas as pd

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
        # Read the header as a row: pandas would rename duplicate columns, and shift lines of other lengths.
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
            "(remove it if it is an index saved with the table)"
        )
    if names.duplicated().any():
        raise TableError(f"{path} has more than one column {names[names.duplicated()].iloc[0]!r}")
    cells.columns = pd.Index(names)
    return cells.iloc[1:]


def _read_parquet(path: Path) -> pd.DataFrame:
    """Return the columns of a Parquet file: booleans and numbers as float64, text unchanged."""
    import pandas as pd

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        frame = pd.read_parquet(io.BytesIO(raw), engine="pyarrow")
    except ImportError as error:
        raise TableError("pyarrow is needed to read Parquet: pip install 'cvxrelu[parquet]'") from error
    except (ValueError, OSError) as error:  # pyarrow's errors derive from these
        raise TableError(f"{path} is not a Parquet file: {error}") from error
    names = [str(name) for name in frame.columns]
    columns = [_plain(path, name, frame.iloc[:, k]) for k, name in enumerate(names)]
    return _numbered(dict(zip(names, columns, strict=True)), len(frame))


def _plain(path: Path, name: str, column: pd.Series[Any]) -> NDArray[Any]:
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        if not pd.api.types.is_complex_dtype(column):
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
    elif pd.api.types.infer_dtype(column.astype(object), skipna=True) in ("string", "empty"):
        return column.astype(object).where(column.notna(), np.nan).to_numpy()
    raise TableError(f"column {name!r} of {path} must hold numbers or text; got {column.dtype}")


def read_arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the arrays X and y of an NPZ file; TableError if it cannot be read or does not hold them."""
    try:
        with path.open("rb") as file:
            X, y = load_arrays(file, ("X", "y")).values()
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    except (*_UNREADABLE, IndexError, TypeError) as error:
        raise TableError(f"{path} must be an npz file with arrays X and y, without objects: {error}") from error
    return X, y


def _read_npz(path: Path) -> pd.DataFrame:
    """Return the arrays X and y of an NPZ file as columns."""
    X, y = read_arrays(path)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise TableError(f"X and y of {path} must have shapes (n, d) and (n,); got {X.shape} and {y.shape}")
    for name, array in (("X", X), ("y", y)):
        if array.dtype.kind not in "fiub" and not (name == "y" and array.dtype.kind == "U"):
            raise TableError(f"{name} of {path} must hold numbers; got an array of dtype {array.dtype}")
    columns: dict[str, NDArray[Any]] = {f"x{k}": X[:, k].astype(np.float64) for k in range(X.shape[1])}
    columns["y"] = y.astype(object) if y.dtype.kind == "U" else y.astype(np.float64)
    return _numbered(columns, len(X))


def _numbered(columns: dict[str, NDArray[Any]], n: int) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns, index=pd.RangeIndex(1, n + 1))


def listing(names: pd.Index[str] | np.ndarray) -> str:
    """Return the first names, quoted, and the total number if some are omitted."""
    listed = ", ".join(repr(name) if isinstance(name, str) else f"{name:g}" for name in names[:_LISTED])
    return listed if len(names) <= _LISTED else f"{listed}, ... ({len(names)} in all)"
