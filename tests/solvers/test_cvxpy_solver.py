"""CVXPY's solvers behind `cvxrelu.solve`: units of features, and whose limit ended them."""

from dataclasses import replace

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.problems.cvxpy_backends import BACKENDS
from cvxrelu.solvers import cvxpy_solver


def columns_far_apart(seed, exponents, penalty):
    """Return a C-ReLU problem of three classes with heavy-tailed columns times powers of ten."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_t(2, size=(50, 4)), np.ones(50)])
    z = rng.standard_normal(50) + np.abs(X[:, 0])
    X *= 10.0 ** np.array(exponents)
    Y = np.eye(3)[np.digitize(z, np.quantile(z, [0.3, 0.9]))]
    patterns = cr.sample_patterns(X, 8, seed=1)
    problem = cr.ConvexReLU(X, Y, patterns, lam=1e-3, loss="softmax", penalty=penalty)
    return problem if penalty == "squared_l2" else problem.with_lam(1e-3 * problem.lam_max())


@pytest.mark.parametrize(
    ("seed", "exponents", "penalty"), [(9, (2, 0, 2, -3, 2), "squared_l2"), (10, (3, -2, -1, 6, 4), "l1")]
)
def test_columns_of_very_different_size(seed, exponents, penalty):
    """In units in which the penalty is about 1 the largest columns are huge: other units follow."""
    solution = cr.solve(columns_far_apart(seed, exponents, penalty), "CLARABEL", tol=1e-6)
    assert solution.status == "optimal"
    assert len(solution.history) > 1  # the first units did not do


@pytest.mark.filterwarnings("ignore::cvxrelu.ConvergenceWarning")
@pytest.mark.parametrize("time_limit", [None, 600.0])
def test_limit_of_the_solver_is_not_that_of_the_caller(monkeypatch, time_limit):
    """A limit of Clarabel's own does not end a solve as the caller's limit of time would."""
    problem = columns_far_apart(9, (2, 0, 2, -3, 2), "squared_l2")
    limited = cr.solve(problem, "CLARABEL", time_limit=time_limit, max_iter=3)
    assert (limited.status, len(limited.history)) == ("max_iter", 1)
    few = replace(BACKENDS["CLARABEL"], always={"accept_unknown": True, "max_iter": 3})
    monkeypatch.setitem(BACKENDS, "CLARABEL", few)
    solution = cr.solve(problem, "CLARABEL", time_limit=time_limit)
    assert solution.status == "max_iter"
    assert len(solution.history) == 2  # one in each of the units


@pytest.mark.filterwarnings("ignore::cvxrelu.ConvergenceWarning")
def test_no_further_run_when_time_is_up(monkeypatch):
    """Neither at a smaller tolerance nor in other units."""
    problem = columns_far_apart(9, (2, 0, 2, -3, 2), "squared_l2")
    monkeypatch.setattr(cvxpy_solver._Run, "time_left", lambda run: 0.0)
    assert len(cr.solve(problem, "CLARABEL").history) == 1
