"""Models chosen by validation, as in the paper's tables: folds, accuracy, and the networks of a path."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

import cvxrelu as cr
from reference.datasets.prepare import Array
from reference.paper.published import PATTERN_SEED

PROGRAMS: dict[str, type[cr.ConvexGatedReLU | cr.ConvexReLU]] = {
    "C-GReLU": cr.ConvexGatedReLU,
    "C-ReLU": cr.ConvexReLU,
}
_FOLDS = 5
_FOLD_SEED = 1995
TOL = 1e-3


def folds(X: Array) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the rows to train on and those to validate on: five folds, shuffled as in the paper."""
    yield from KFold(_FOLDS, shuffle=True, random_state=_FOLD_SEED).split(X)


def classes_of(Y: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the classes of targets or predictions: the sign of one column, the largest of several."""
    return Y.argmax(axis=1) if Y.ndim == 2 else (Y > 0.0).astype(np.intp)


def accuracy(prediction: NDArray[np.floating], classes: NDArray[np.intp]) -> float:
    """Return the share of rows whose predicted class is right."""
    return float(np.mean(classes_of(prediction) == classes))


def train_path(
    method: str, X: Array, Y: Array, lams: Sequence[float], n_gates: int, seconds: float, seed: int = PATTERN_SEED
) -> list[cr.Solution]:
    """Solve a convex program to the gap `TOL` at each lam (of a loss divided by 2 n c), in the order given.

    Parameters
    ----------
    method : {"C-GReLU", "C-ReLU"}
        The program.
    X : array of shape (n, d)
        The rows.
    Y : array of shape (n,) or (n, c)
        The targets.
    lams : sequence of float
        Descending: each is started from the solution before.
    n_gates : int
        Number of gates.
    seconds : float
        Limit of each lam. What is reached by then counts; its certified gap says how good it is.
    seed : int
        Of the gates, by default the paper's.
    """
    n_outputs = Y.shape[1] if Y.ndim == 2 else 1  # the paper's loss is divided by it, ours is not
    problem = PROGRAMS[method](X, Y, cr.sample_patterns(X, n_gates, seed=seed), lams[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gaps say it
        path = cr.regularization_path(problem, np.multiply(lams, n_outputs), tol=TOL, time_limit=seconds)
    return list(path.solutions)
