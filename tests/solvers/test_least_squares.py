"""LeastSquares with rows, columns or targets of very different size: gaps as small as for well-scaled data."""

import itertools
import warnings

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.solvers import least_squares

SIZES = [(80, 5, 8), (30, 60, 6), (150, 10, 10)]
CASES = ["plain", "row", "rows", "target", "entry", "columns", "rows and columns"]


def make_problem(case, size, c, lam, penalty="squared_l2"):
    """Return a problem at lam, relative to the lam_max of group_l1."""
    n, d, n_gates = size
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, d))
    Y = rng.standard_normal((n, c)) + X[:, :1]
    if case == "row":
        X[3] *= 1e6
    elif case == "rows":
        X[[3, 7, 9]] *= np.array([1e6, 1e4, 1e8])[:, None]
    elif case == "target":
        Y[3] *= 1e6
    elif case == "entry":
        X[3, 0] = 1e6
    elif case == "columns":
        X = X * np.logspace(-6, 6, d)
    elif case == "rows and columns":
        X = X * np.logspace(-3, 3, d)
        X[3] *= 1e6
    patterns = cr.sample_patterns(X, n_gates=n_gates, seed=0)
    largest = cr.ConvexGatedReLU(X, Y, patterns, 1.0).lam_max()
    return cr.ConvexGatedReLU(X, Y, patterns, lam * largest, penalty=penalty)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_ridge(case, size, c):
    for lam in (1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12):
        solution = cr.solve(make_problem(case, size, c, lam), "LeastSquares")
        assert solution.status == "optimal"
        assert -1e-12 <= solution.certificate.rel_gap <= 1e-6


@pytest.mark.parametrize(("case", "c"), [*itertools.product(["row", "rows", "columns"], [1, 3])])
def test_ridge_by_lsmr(case, c, monkeypatch):
    monkeypatch.setattr(least_squares, "_MOST_WORK", 0.0)
    for size, lam in itertools.product(SIZES, (1e-4, 1e-8)):
        solution = cr.solve(make_problem(case, size, c, lam), cr.LeastSquares(dense_rows=0))
        assert solution.solver_status == "LeastSquares: LSMR, preconditioned" or lam == 1e-4
        assert solution.status == "optimal"


def test_lsmr_without_a_preconditioner_gives_its_best_point(monkeypatch):
    monkeypatch.setattr(least_squares, "_MOST_WORK", 0.0)
    monkeypatch.setattr(least_squares, "_MOST_TRIANGLE_WORK", 0.0)
    problem = make_problem("row", SIZES[0], 1, 1e-8)
    with pytest.warns(cr.ConvergenceWarning):
        solution = cr.solve(problem, cr.LeastSquares(dense_rows=0))
    assert solution.solver_status == "LeastSquares: LSMR"
    assert solution.lower <= cr.solve(problem, "LeastSquares").objective * (1 + 1e-9) <= solution.objective * (1 + 2e-9)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("size", [SIZES[0], SIZES[2]])
@pytest.mark.parametrize("case", CASES)
def test_without_penalty(case, size, c):
    problem = make_problem(case, size, c, 0.0, "none")
    assert cr.solve(problem, "LeastSquares").status == "optimal"


@pytest.mark.parametrize("case", ["plain", "row", "target", "entry", "columns"])
def test_fittable_rows_are_fitted(case):
    problem = make_problem(case, SIZES[1], 3, 0.0, "none")
    solution = cr.solve(problem, "LeastSquares")
    assert solution.status == "optimal"
    assert solution.objective <= 1e-19 * problem.objective(problem.zero_weights())


@pytest.mark.parametrize(("case", "lam"), [*itertools.product(["row", "entry"], [1e-3, 1e-6])])
def test_clarabel_agrees(case, lam):
    problem = make_problem(case, SIZES[0], 1, lam)
    solution = cr.solve(problem, "LeastSquares", tol=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        other = cr.solve(problem, "CLARABEL")
    assert solution.objective <= other.objective * (1 + 1e-8)
    assert other.lower <= solution.objective
    assert other.objective <= solution.objective * (1 + 1e-3)


@pytest.mark.parametrize("lam", [1e-20, 1e-40])
def test_negligible_penalty(lam):
    """The weights equal those without a penalty; a positive bound would need A't = 0 below rounding."""
    free = cr.solve(make_problem("plain", SIZES[0], 1, 0.0, "none"), "LeastSquares")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        solution = cr.solve(make_problem("plain", SIZES[0], 1, lam), "LeastSquares")
    assert solution.lower <= free.objective * (1 + 1e-12)
    assert solution.objective == pytest.approx(free.objective, rel=1e-12)


def test_well_scaled_data_use_the_kernel():
    for lam in (1e-1, 1e-4):
        solution = cr.solve(make_problem("plain", SIZES[2], 3, lam), "LeastSquares")
        assert solution.solver_status == "LeastSquares: kernel"
