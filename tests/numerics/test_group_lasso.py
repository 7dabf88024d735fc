"""Block descent for the group lasso: optimality conditions, bounds and work, on all kinds of Gram matrices."""

import numpy as np
import pytest

from cvxrelu.numerics.group_lasso import SWEEPS, descend, scratch


def design(kind, n=40, k=7, d=3, seed=0):
    """Return blocks B (n, k d) and y (n,)."""
    rng = np.random.default_rng(seed)
    n, d = {"wide": (8, 5), "single": (40, 1), "long": (60, 9)}.get(kind, (n, d))
    B = rng.standard_normal((n, k * d))
    if kind == "duplicate":
        B[:, d : 2 * d] = B[:, :d]
    if kind == "zero":
        B[:, d : 2 * d] = 0.0
        B[:, -1] = 0.0
    if kind == "scaled":
        B *= np.resize([0.1, 1.0, 10.0], k * d)
    if kind == "one block":
        B = B[:, :d]
    y = B @ rng.standard_normal(B.shape[1]) / np.linalg.norm(B) + 0.3 * rng.standard_normal(n)
    return B, 1e4 * y if kind == "large" else y, d


KINDS = ["tall", "wide", "single", "long", "duplicate", "zero", "scaled", "one block", "large"]


def run(B, y, d, ratio, tol=1e-10, cycles=3_000, u=None, calls=1):
    """Return weights (k, d), objective, gap, cycles, G u and the threshold, of the last of some calls."""
    gram, linear, k = (B.T @ B).astype(np.float32), B.T @ y, B.shape[1] // d
    bounds = [max(np.linalg.eigvalsh(gram[i : i + d, i : i + d].astype(float))[-1], 1e-300) for i in range(0, k * d, d)]
    threshold = ratio * np.linalg.norm(linear.reshape(k, d), axis=1).max()
    u, state = np.zeros(k * d) if u is None else u, np.empty(3)
    work = scratch(k, d)
    for _ in range(calls):
        residual = y - B @ u
        slopes, square, target = B.T @ residual, float(residual @ residual), tol * float(y @ y)
        descend(gram, slopes, np.array(bounds), square, threshold, target, cycles, u, *work, state)
    return u.reshape(k, d), *state, work[0][1], threshold


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.03, 1e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimality_conditions_hold(kind, ratio):
    B, y, d = design(kind)
    tol = 1e-8 if kind == "scaled" else 1e-12  # descent is slow there, and WorkingSet changes to Newton steps
    u, objective, gap, _, product, threshold = run(B, y, d, ratio, tol=tol, calls=8)
    k = len(u)
    residual = y - B @ u.ravel()
    assert gap <= tol * (y @ y)
    assert objective == pytest.approx(0.5 * residual @ residual + threshold * np.linalg.norm(u, axis=1).sum(), rel=1e-9)
    np.testing.assert_allclose(product, B.T @ (B @ u.ravel()), rtol=1e-6, atol=1e-6 * np.abs(B.T @ y).max())
    slopes, sizes = (B.T @ residual).reshape(k, d), np.linalg.norm(u, axis=1)
    assert np.linalg.norm(slopes, axis=1).max() <= threshold * (1 + 1e-3)
    for slope, weights in zip(slopes[sizes > 0.0], u[sizes > 0.0], strict=True):
        aligned = slope @ weights / (threshold * np.linalg.norm(weights))
        assert aligned == pytest.approx(1.0, abs=1e-3 if np.linalg.norm(weights) > 1e-3 * sizes.max() else 0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gap_is_that_of_a_dual_feasible_point(kind):
    B, y, d = design(kind)
    u, objective, gap, n_cycles, _, threshold = run(B, y, d, 0.2, tol=0.0, cycles=2)
    assert n_cycles == 2
    residual = y - B @ u.ravel()
    largest = np.linalg.norm((B.T @ residual).reshape(len(u), d), axis=1).max()
    duals = [s * residual for s in np.linspace(0.0, threshold / largest, 1001)]
    best = max(0.5 * y @ y - 0.5 * (y - dual) @ (y - dual) for dual in duals)
    assert objective - gap == pytest.approx(best, abs=1e-5 * (y @ y))


@pytest.mark.parametrize("ratio", [0.3, 0.03])
@pytest.mark.parametrize("kind", KINDS)
def test_calls_with_exact_slopes_converge_beyond_float32(kind, ratio):
    B, y, d = design(kind)
    for calls, tol in ((1, 1e-6), (5, 1e-10 if kind == "scaled" else 1e-12)):
        u, *_, threshold = run(B, y, d, ratio, tol=0.1 * tol, cycles=500, calls=calls)
        residual = y - B @ u.ravel()
        largest = np.linalg.norm((B.T @ residual).reshape(u.shape), axis=1).max()
        dual = min(threshold / largest, y @ residual / (residual @ residual)) * residual
        upper = 0.5 * residual @ residual + threshold * np.linalg.norm(u, axis=1).sum()
        assert upper - dual @ (y - 0.5 * dual) <= tol * (y @ y)


def test_it_stops_at_the_first_sweep_below_the_target():
    B, y, d = design("tall")
    _, _, gap, n_cycles, _, _ = run(B, y, d, 0.1, tol=1e-3)
    assert 1e-5 * (y @ y) < gap <= 1e-3 * (y @ y)
    assert n_cycles < run(B, y, d, 0.1, tol=1e-8)[3]


def test_it_starts_from_the_given_weights():
    B, y, d = design("tall")
    u = run(B, y, d, 0.1, tol=1e-9, calls=2)[0]
    assert run(B, y, d, 0.1, tol=1e-8, u=u.ravel().copy())[3] == 0


def test_extrapolation_saves_most_sweeps():
    """A chain of correlated columns, on which plain descent is slow."""
    rng = np.random.default_rng(0)
    B = np.cumsum(rng.standard_normal((100, 30)), axis=1)
    y = B @ np.repeat(rng.standard_normal(15), 2) + rng.standard_normal(100)
    sweeps = SWEEPS * run(B, y, 2, 1e-2, tol=1e-6)[3]
    assert sweeps <= 0.3 * plain_sweeps(B, y, 2, 1e-2, 1e-6)


def plain_sweeps(B, y, d, ratio, tol):
    """Return the sweeps of block descent without extrapolation, in NumPy."""
    gram, linear = B.T @ B, B.T @ y
    k = len(linear) // d
    threshold = ratio * np.linalg.norm(linear.reshape(k, d), axis=1).max()
    u = np.zeros((k, d))
    blocks = [slice(i * d, (i + 1) * d) for i in range(k)]
    bounds = [np.linalg.eigvalsh(gram[block, block])[-1] for block in blocks]
    for sweep in range(1, 20_000):
        for i, block in enumerate(blocks):
            v = u[i] + (linear[block] - gram[block] @ u.ravel()) / bounds[i]
            u[i] = max(0.0, 1.0 - threshold / bounds[i] / np.linalg.norm(v)) * v
        residual = y - B @ u.ravel()
        largest = np.linalg.norm((B.T @ residual).reshape(k, d), axis=1).max()
        dual = min(threshold / largest, y @ residual / (residual @ residual)) * residual
        upper = 0.5 * residual @ residual + threshold * np.linalg.norm(u, axis=1).sum()
        if upper - 0.5 * (y @ y - (y - dual) @ (y - dual)) <= tol * (y @ y):
            return sweep
    return np.inf
