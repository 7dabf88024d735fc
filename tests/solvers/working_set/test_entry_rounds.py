"""C-GReLU with l1: coordinate descent in the kernel of block descent, against CLARABEL and Newton steps."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.gated_rounds import gated_rounds
from cvxrelu.solvers.working_set import entry_rounds
from tests.helpers.cases import make_problem


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
@pytest.mark.parametrize("shape", ["tall", "wide"])
@pytest.mark.parametrize("ratio", [0.5, 0.01])
def test_agrees_with_clarabel(loss, shape, ratio):
    problem = make_problem("gated", loss, "l1", shape=shape, c=2, ratio=ratio)
    solution = cr.solve(problem, "WorkingSet", tol=1e-7)
    other = cr.solve(problem, "CLARABEL", tol=1e-8)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(other.objective, rel=1e-6)


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
def test_newton_steps_agree(loss, monkeypatch):
    problem = make_problem("gated", loss, "l1", ratio=0.05)
    solution = cr.solve(problem, "WorkingSet", tol=1e-9)
    monkeypatch.setattr(gated_rounds, "is_ready", lambda: False)
    assert cr.solve(problem, "WorkingSet", tol=1e-9).objective == pytest.approx(solution.objective, rel=2e-9)


def test_newton_steps_go_on_where_the_work_ends(monkeypatch):
    problem = make_problem("gated", penalty="l1", ratio=0.001)
    expected = cr.solve(problem, "CLARABEL", tol=1e-8).objective
    monkeypatch.setattr(entry_rounds, "_MOST_WORK", 1.0)
    monkeypatch.setattr(entry_rounds, "_CALL", 1.0)
    solution = cr.solve(problem, "WorkingSet", tol=1e-8)
    assert solution.status == "optimal"
    assert len(solution.history) > 1
    assert np.all(np.diff([record.n_iter for record in solution.history]) >= 0)
    assert solution.objective == pytest.approx(expected, rel=1e-7)


def test_starts_and_limits():
    problem = make_problem("gated", penalty="l1", ratio=0.01, n_gates=20)
    solution = cr.solve(problem, "WorkingSet", tol=1e-9)
    again = cr.solve(problem, "WorkingSet", tol=1e-8, start=solution.weights)
    assert again.n_iter == 0
    with pytest.warns(cr.ConvergenceWarning):
        short = cr.solve(problem, "WorkingSet", tol=1e-12, max_iter=1)
    assert (short.status, short.n_iter) == ("max_iter", 1)


def test_weighted_rows():
    problem = make_problem("gated", penalty="l1", ratio=0.05)
    weights = np.linspace(0.5, 2.0, problem.n)
    loss = cr.Weighted("huber", weights)
    weighted = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam, loss, "l1")
    solution = cr.solve(weighted, "WorkingSet", tol=1e-8)
    assert solution.objective == pytest.approx(cr.solve(weighted, "CLARABEL", tol=1e-8).objective, rel=1e-7)
