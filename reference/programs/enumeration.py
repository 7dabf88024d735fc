"""All activation patterns, by one linear program for each sign vector."""

from __future__ import annotations

import itertools

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_ROWS_FOR_ENUMERATION = 10


def all_patterns(X: ArrayLike, tol: float = 1e-6) -> NDArray[np.bool_]:
    r"""Return all non-singular activation patterns of X, by a linear program for each of the 2^n sign vectors.

    The pattern with signs s in {-1, +1}^n is realised, and its cone has interior points, iff

        max_{g, r} r  subject to  s_j x_j' g >= r for every row x_j != 0,  -1 <= g <= 1

    is positive. A zero row is active in every pattern, as 1[0 >= 0] = 1.

    Parameters
    ----------
    X : array_like
        Data (n, d), n at most 10.
    tol : float
        Rows are scaled to unit norm; a margin r above tol counts as positive.

    Returns
    -------
    ndarray
        D (n, P) bool, the pattern without active rows included where it is realised. For rows in general
        position and rank r there are 2 sum_{k<r} C(n - 1, k) of them.
    """
    X = np.asarray(X, dtype=float)
    n, d = X.shape
    if n > MAX_ROWS_FOR_ENUMERATION:
        raise ValueError(
            f"X has {n} rows; all 2^n sign vectors are tried, so at most {MAX_ROWS_FOR_ENUMERATION} are allowed"
        )
    norms = np.linalg.norm(X, axis=1)
    rows = np.flatnonzero(norms > 0)
    signs = cp.Parameter(len(rows))
    g, margin = cp.Variable(d), cp.Variable()
    unit_rows = X[rows] / norms[rows, np.newaxis]
    inside = [cp.multiply(signs, unit_rows @ g) >= margin, cp.abs(g) <= 1, margin <= 1]
    problem = cp.Problem(cp.Maximize(margin), inside)
    patterns = []
    for s in itertools.product((1.0, -1.0), repeat=len(rows)):
        signs.value = np.array(s)
        problem.solve(solver=cp.CLARABEL)
        if problem.value > tol:
            pattern = np.ones(n, dtype=bool)
            pattern[rows] = signs.value > 0
            patterns.append(pattern)
    return np.stack(patterns, axis=1)
