"""Interior-point method for the non-negative lasso: agreement with SciPy's NNLS."""

import numpy as np
import pytest
from scipy.optimize import nnls

from cvxrelu.numerics.nonnegative_lasso import nonnegative_lasso


def _objective(A, y, level, c):
    return 0.5 * np.sum((A @ c - y) ** 2) + level * c.sum()


def _exact(A, y, level):
    """Return the solution by NNLS: the linear term completes the square for columns of full rank."""
    root = np.linalg.cholesky(A.T @ A)
    return nnls(root.T, np.linalg.solve(root, A.T @ y - level))[0]


def _solve(A, y, level, gap_tol, start=None):
    start = np.zeros(A.shape[1]) if start is None else start
    return nonnegative_lasso(A.T @ A, A.T @ y, level, float(y @ y), start, gap_tol, lambda: False)


def _data(m, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((60, m)) + 0.5, rng.standard_normal(60) + 1.0


@pytest.mark.parametrize("ratio", [0.9, 0.3, 1e-2, 1e-4])
@pytest.mark.parametrize("m", [1, 7, 40])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_objective_is_within_the_gap_of_the_optimum(m, ratio, scale):
    A, y = _data(m, seed=m)
    level = ratio * (A.T @ y).max()
    exact = _exact(A, y, level)
    optimum = _objective(A, y, level, exact)
    for start in (None, 2.0 / scale * exact, np.ones(m) / scale):
        c, slacks = _solve(scale * A, y, scale * level, 1e-8 * optimum, start)
        assert np.all(c > 0.0)
        assert np.all(slacks > 0.0)
        assert _objective(scale * A, y, scale * level, c) <= (1.0 + 2e-8) * optimum


def test_coefficients_and_slacks_tell_the_support():
    A, y = _data(20, seed=0)
    level = 0.2 * (A.T @ y).max()
    c, slacks = _solve(A, y, level, 1e-9)
    used = c * np.sum(A**2, axis=0) > slacks
    np.testing.assert_array_equal(used, _exact(A, y, level) > 0.0)
    assert 0 < used.sum() < len(used)


def test_equal_columns():
    A, y = _data(10, seed=1)
    level = 0.1 * (A.T @ y).max()
    optimum = _objective(A, y, level, _exact(A, y, level))
    doubled = np.hstack([A, A])
    c, _ = _solve(doubled, y, level, 1e-8 * optimum)
    assert _objective(doubled, y, level, c) <= (1.0 + 2e-8) * optimum


def test_zero_is_optimal_above_the_largest_correlation():
    A, y = _data(10, seed=2)
    c, _ = _solve(A, y, 2.0 * (A.T @ y).max(), 1e-8)
    assert _objective(A, y, 0.0, c) <= 0.5 * y @ y + 1e-8


def test_loose_tolerance_takes_points_inside():
    """Far from the boundary, coefficients outside the support are not yet negligible."""
    A, y = _data(20, seed=3)
    level = 0.2 * (A.T @ y).max()
    loose, tight = (_solve(A, y, level, gap)[0].min() for gap in (1.0, 1e-9))
    assert loose > 1e3 * tight


@pytest.mark.parametrize("factor", [1.05, 1.1, 1.3, 1.7])
def test_starts_beyond_the_optimum_are_not_taken_for_it(factor):
    """There the residual may have a negative product with y: the best multiple >= 0 of it is zero."""
    rng = np.random.default_rng(20)
    A = rng.standard_normal((60, 5))
    y = A @ np.abs(rng.standard_normal(5)) + 0.1 * rng.standard_normal(60)
    level = 0.01 * (A.T @ y).max()
    exact = _exact(A, y, level)
    c, _ = _solve(A, y, level, 1e-10, factor * exact)
    assert _objective(A, y, level, c) <= (1.0 + 1e-8) * _objective(A, y, level, exact)


def test_columns_of_zeros_have_no_use():
    A, y = _data(4, seed=0)
    level, others = 0.1 * (A.T @ y).max(), [0, 2, 3]
    A[:, 1] = 0.0
    c, _ = _solve(A, y, level, 1e-9)
    assert level * c[1] <= 1e-8
    optimum = _objective(A[:, others], y, level, _exact(A[:, others], y, level))
    assert _objective(A, y, level, c) <= optimum + 1e-8
    c, _ = nonnegative_lasso(np.zeros((1, 1)), np.zeros(1), 1.0, 1.0, np.ones(1), 1e-6, lambda: False)
    assert 0.0 < c[0] <= 1e-6


def test_time_is_asked_before_each_step():
    A, y = _data(40, seed=0)
    asked = []

    def expired():
        asked.append(True)
        return len(asked) == 3

    level = 1e-4 * (A.T @ y).max()
    c, _ = nonnegative_lasso(A.T @ A, A.T @ y, level, float(y @ y), np.zeros(40), 1e-12, expired)
    assert len(asked) == 3
    assert np.all(c > 0.0)
