"""Fixtures for the tests of figures: a problem, its solution and path, and axes without a display."""

import numpy as np
import pytest

import cvxrelu as cr


@pytest.fixture
def ax():
    from matplotlib.figure import Figure  # optional: files that use axes are skipped without it

    return Figure().subplots()


def small(seed=0, n=30, d=2):
    """Return data of d - 1 features and a constant."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.uniform(-1.0, 1.0, (n, d - 1)), np.ones(n)])
    return X, np.abs(X[:, 0]) - 0.2


@pytest.fixture(scope="module")
def problem():
    X, y = small(d=3)
    return cr.ConvexReLU(X, y, cr.sample_patterns(X, 8), 0.02)


@pytest.fixture(scope="module")
def solution(problem):
    return cr.solve(problem, tol=1e-8)


@pytest.fixture(scope="module")
def path(problem):
    return cr.regularization_path(problem, n_lams=5, eps=1e-2)
