"""Gated weights to decompose, and a problem with a singular pattern."""

import numpy as np

import cvxrelu as cr
from tests.helpers.cases import make_data

MEASURES = {
    "socp": lambda v, w: np.linalg.norm(v) + np.linalg.norm(w),
    "l2": lambda v, w: np.sum(v**2) + np.sum(w**2),
    "l1": lambda v, w: np.abs(v).sum() + np.abs(w).sum(),
}


def make(shape="tall", c=1, n_gates=8, seed=0, n=None, d=None):
    """Return a problem and random gated weights: one zero block, one in its cone, one whose negative is."""
    rng = np.random.default_rng(seed)
    X = make_data(shape, seed) if n is None else rng.standard_normal((n, d))
    patterns = cr.sample_patterns(X, n_gates, seed=seed)
    problem = cr.ConvexReLU(X, rng.standard_normal((len(X), c)), patterns, 1e-3)
    U = rng.standard_normal((c, len(patterns), X.shape[1]))
    for i, scale in enumerate((0.0, 1.0, -1.0)[: len(patterns)]):
        U[0, i] = scale * patterns.G[:, i]
    return problem, U


def singular_problem():
    """x_1 = -x_2, both active: the cone is the hyperplane {w : x_1'w = 0} cut by the third row."""
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    patterns = cr.ActivationPatterns(np.array([[1, 1], [1, 0], [1, 1]]))
    assert patterns.is_singular(X).tolist() == [True, False]
    return cr.ConvexReLU(X, np.array([1.0, -1.0, 0.5]), patterns, 0.0)


def assert_decomposed(problem, U, V, W):
    assert problem.violation((V, W)) == 0.0
    size = np.maximum(np.abs(V), np.abs(W)).max(axis=-1, keepdims=True)
    assert (np.abs(V - W - U) <= 4 * np.finfo(float).eps * size).all()
    assert not V[~np.any(U, axis=-1)].any()
    assert not W[~np.any(U, axis=-1)].any()
