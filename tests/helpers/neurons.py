"""Data with degenerate rows, and the largest |t'(Xu)_+| on them by enumeration."""

import numpy as np
from hypothesis import strategies as st

import cvxrelu as cr

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ["generic", "constant", "integers", "repeated", "opposite", "collinear", "scaled"]


def make_rows(kind, n, d, rng):
    X = rng.standard_normal((n, d))
    if kind == "constant":
        X[:, -1] = 1.0
    elif kind == "integers":  # zero, duplicate, opposite and parallel rows
        X = rng.integers(-1, 2, size=(n, d)).astype(float)
    elif kind == "repeated":
        X = X[rng.integers(0, n, size=n)] * rng.choice([1.0, 3.0], size=(n, 1))
    elif kind == "opposite":
        X[n // 2 :] = -X[: n - n // 2]
    elif kind == "collinear":
        X = np.column_stack([X, X @ rng.standard_normal((d, 2))])
    elif kind == "scaled":
        X = X * 10.0 ** rng.uniform(-4, 4, size=d)
    return X


def largest_by_enumeration(X, t):
    """Return the largest |t'(Xu)_+| over all cones of the arrangement, by projections, without branch and bound."""
    problem = cr.ConvexReLU(X, np.zeros(len(X)), cr.enumerate_patterns(X), lam=1e-300)
    return float(problem.dual_constraint_values(t[:, None])[0].max())


def ordinary(n=120, d=5):
    """Return Gaussian rows with a column of ones, and a dual variable."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    return X, rng.standard_normal(n)
