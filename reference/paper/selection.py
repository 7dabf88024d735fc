"""Model selection by validation as in the paper's tables: folds, accuracy, and the networks of a path."""

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
    """Yield training and validation rows of five folds, shuffled as in the paper."""
    yield from KFold(_FOLDS, shuffle=True, random_state=_FOLD_SEED).split(X)


def classes_of(Y: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the classes of targets or predictions: by the sign of one column, or the largest of several."""
    return Y.argmax(axis=1) if Y.ndim == 2 else (Y > 0.0).astype(np.intp)


def accuracy(prediction: NDArray[np.floating], classes: NDArray[np.intp]) -> float:
    """Return the fraction of rows whose class is predicted correctly."""
    return float(np.mean(classes_of(prediction) == classes))


def train_path(
    method: str, X: Array, Y: Array, lams: Sequence[float], n_gates: int, seconds: float, seed: int = PATTERN_SEED
) -> list[cr.Solution]:
    """Solve a convex program to the gap `TOL` at each lam (for a loss divided by 2 n c), in the given order.

    Parameters
    ----------
    method : {"C-GReLU", "C-ReLU"}
        The program.
    X : array of shape (n, d)
        Data.
    Y : array of shape (n,) or (n, c)
        Targets.
    lams : sequence of float
        Descending values; each solve starts from the previous solution.
    n_gates : int
        Number of gates.
    seconds : float
        Time limit of each lam. What is reached by then is returned with its certified gap.
    seed : int
        Seed of the gates, by default the paper's.
    """
    n_outputs = Y.shape[1] if Y.ndim == 2 else 1  # the paper divides the loss by it
    problem = PROGRAMS[method](X, Y, cr.sample_patterns(X, n_gates, seed=seed), lams[0])
    solutions: list[cr.Solution] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gaps are reported
        for lam in lams:
            start = solutions[-1].weights if solutions else None
            solutions.append(cr.solve(problem.with_lam(n_outputs * lam), tol=TOL, time_limit=seconds, start=start))
    return solutions
