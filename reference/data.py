"""Real data prepared as the measurements want it."""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer


def breast_cancer() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scikit-learn's breast-cancer data (569, 31) and labels -1/+1.

    Columns are centred and of unit norm, with a constant column 1/sqrt(n) last.
    """
    X, y = load_breast_cancer(return_X_y=True)
    X = X - X.mean(axis=0)
    X = X / np.linalg.norm(X, axis=0)
    n = len(X)
    return np.column_stack([X, np.full(n, n**-0.5)]), 2.0 * y - 1.0
