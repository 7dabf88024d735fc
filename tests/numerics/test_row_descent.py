"""Block descent on rows: optimality conditions and bounds on masked data, against sums written out."""

import numpy as np
import pytest

from cvxrelu.numerics.row_descent import descend_on_rows, work_arrays
from cvxrelu.runtime.vectors import padded

KINDS = ["tall", "wide", "one column", "doubled", "zero", "scaled", "one row", "large"]


def design(kind, seed=0):
    """Return X (n, d), masks (n, k), y and curvature (n,)."""
    rng = np.random.default_rng(seed)
    n, d, k = {"wide": (12, 9, 6), "one column": (40, 1, 5), "one row": (30, 3, 4)}.get(kind, (50, 6, 5))
    X, D = rng.standard_normal((n, d)), rng.random((n, k)) < 0.6
    if kind == "doubled":
        D[:, 1] = D[:, 0]
        X[:, -1] = X[:, 0]
    if kind == "zero":
        D[:, 1] = False
        X[:, -1] = 0.0
    if kind == "scaled":
        X *= np.logspace(-1.0, 1.0, d)
    if kind == "one row":
        D[:, 1] = np.arange(n) == 3
    y = np.abs(X[:, 0]) + 0.3 * rng.standard_normal(n)
    return X, D, 1e6 * y if kind == "large" else y, rng.uniform(1e-3, 1.0, n)


def run(X, D, y, v, ratio, *, tol, cycles=2_000, u=None, calls=1):
    """Return weights (k, d), v (y - f), objective, gap, cycles of the last call, and the threshold."""
    (n, d), k, wide = X.shape, D.shape[1], padded(X.shape[1], np.dtype(np.float32))
    v = v.astype(np.float32)
    blocks = [D[:, [i]] * X for i in range(k)]
    threshold = ratio * max(np.linalg.norm(block.T @ (v * y)) for block in blocks)
    lists = [np.flatnonzero(D[:, i]).astype(np.int32) for i in range(k)]
    bounds = [max(np.linalg.norm(block.T @ (v[:, None] * block), 2), 1e-300) * (1.0 + 1e-5) for block in blocks]
    data, weights, slope = np.zeros((n, wide), dtype=np.float32), np.zeros((k, wide)), np.zeros((k, wide))
    data[:, :d] = X
    if u is not None:
        weights[:, :d] = u
    target = tol * float(y @ (v * y))
    for _ in range(calls):  # from exact gradients
        residual, state, (change, *work) = v * (y - predict(X, D, weights[:, :d])), np.empty(3), work_arrays(n, k, wide)
        slope[:, :d] = slopes(X, D, residual)
        descend_on_rows(
            data.ravel(), np.concatenate(lists), np.cumsum([0, *map(len, lists)]), np.array(bounds), v, y, residual,
            slope.ravel(), threshold, target, cycles, weights.reshape(-1), change, *work, state,
        )  # fmt: skip
    assert not weights[:, d:].any()
    return weights[:, :d], residual + change, *state, threshold


def predict(X, D, u):
    return np.einsum("ni,nd,id->n", D, X, u)


def slopes(X, D, residual):
    return np.einsum("ni,nd,n->id", D, X, residual)


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.03, 1e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimality_conditions_hold(kind, ratio):
    X, D, y, v = design(kind)
    tol = 1e-4 if kind == "scaled" else 1e-8  # descent is slow there, and WorkingSet changes to Newton steps
    u, residual, objective, gap, _, threshold = run(X, D, y, v, ratio, tol=tol, calls=3)
    assert gap <= tol * (y @ (v * y))
    exact = v.astype(np.float32) * (y - predict(X, D, u))
    np.testing.assert_allclose(residual, exact, rtol=0, atol=1e-6 * np.abs(v * y).max())
    norms = np.linalg.norm(u, axis=1)
    assert objective == pytest.approx(0.5 * exact @ (exact / v) + threshold * norms.sum(), rel=1e-6)
    size = np.linalg.norm(slopes(X, D, exact), axis=1)
    accuracy = 0.1 if kind == "scaled" else 1e-2
    assert size.max() <= threshold * (1.0 + accuracy)
    assert np.all(size[norms > 1e-2 * norms.max()] >= threshold * (1.0 - accuracy))


@pytest.mark.parametrize("kind", KINDS)
def test_the_gap_is_that_of_a_dual_feasible_point(kind):
    X, D, y, v = design(kind)
    _, residual, objective, gap, n_cycles, threshold = run(X, D, y, v, 0.2, tol=1e-4)
    largest = np.linalg.norm(slopes(X, D, residual), axis=1).max()
    scales = np.linspace(0.0, threshold / largest, 100_001)
    best = (scales * (residual @ y) - 0.5 * scales**2 * (residual @ (residual / v))).max()
    assert gap <= 1e-4 * (y @ (v * y))
    assert objective - gap == pytest.approx(best, abs=1e-6 * (y @ (v * y)))
    assert n_cycles >= 1


def test_a_start_is_used_and_cycles_are_limited():
    X, D, y, v = design("tall")
    first, *_, gap, n_cycles, _ = run(X, D, y, v, 0.01, tol=0.0, cycles=3)
    assert n_cycles == 3
    second, *_, better, _, _ = run(X, D, y, v, 0.01, tol=0.0, cycles=3, u=first)
    whole, *_, best, _, _ = run(X, D, y, v, 0.01, tol=1e-12, calls=5)
    assert best < better < gap
    assert np.linalg.norm(second - whole) < np.linalg.norm(first - whole)
    _, _, _, _, n_cycles, _ = run(X, D, y, v, 0.01, tol=1e-11, u=whole)
    assert n_cycles == 1


def test_zero_is_found_for_strong_penalties():
    X, D, y, v = design("tall")
    u, *_ = run(X, D, y, v, 1.0 + 1e-9, tol=1e-12)
    assert not u.any()
