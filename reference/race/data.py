"""Data of the race by name: real and synthetic, prepared, with the targets of each loss."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_friedman1

from reference.datasets.prepare import prepare
from reference.datasets.real import load_table
from reference.datasets.synthetic import paper_classification

Array = NDArray[np.float64]
_SYNTHETIC: dict[str, Callable[[], tuple[Array, Array]]] = {
    "friedman": lambda: make_friedman1(1200, n_features=5, noise=1.0, random_state=0),
    "gaussian": lambda: paper_classification(10_000, 100, kappa=10.0),
}


def load(name: str, loss: str, rows: int | None = None) -> tuple[Array, Array]:
    """Return the features, prepared as in `reference.datasets.prepare`, and the targets of a data set.

    Two classes give targets -1 and +1 (n,), more give their indicators (n, c), and numbers are centred and scaled to
    unit variance, or for the logistic loss replaced by the sign of their difference from the median.

    Parameters
    ----------
    name : str
        "friedman" (1200 x 5, Friedman's first function), "gaussian" (10,000 x 100, the paper's generator), or a name of
        `reference.datasets.real.load_table`.
    loss : str
        "squared", "logistic" or "softmax".
    rows : int, optional
        Number of rows to keep, the first of ``default_rng(0).permutation(n)``, selected before the preparation.

    Raises
    ------
    ModuleNotFoundError, ConnectionError
        If the data are neither installed nor in the cache, and cannot be downloaded.
    ValueError
        If there is no such data set.
    """
    X, y = _SYNTHETIC[name]() if name in _SYNTHETIC else load_table(name)
    if rows is not None:
        kept = np.random.default_rng(0).permutation(len(X))[:rows]
        X, y = X[kept], y[kept]
    return prepare(X), _targets(y, loss)


def _targets(y: NDArray[np.generic], loss: str) -> Array:
    classes = np.unique(y)
    targets: Array
    if len(classes) == 2:
        targets = np.where(y == classes[0], -1.0, 1.0)
    elif y.dtype.kind != "f":
        targets = (y[:, np.newaxis] == classes).astype(np.float64)
    elif loss == "logistic":
        targets = np.where(y > np.median(y.astype(np.float64)), 1.0, -1.0)
    else:
        centred = y.astype(np.float64) - y.astype(np.float64).mean()
        targets = centred / centred.std()
    return targets
