"""Block descent on rows in WorkingSet: agreement with Newton steps and Clarabel, limits, and when it is taken."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.row_descent import descend_on_rows
from cvxrelu.solvers.working_set import gated_rounds, row_descent
from cvxrelu.solvers.working_set.gated_newton import ProximalNewton
from cvxrelu.solvers.working_set.row_descent import SAVINGS, RowDescent
from tests.helpers.cases import assert_agrees, make_problem
from tests.helpers.working_sets import TOL, assert_compiled_once_it_pays, many_patterns, solve


@pytest.fixture
def on_rows(monkeypatch):
    """Take descent on rows wherever it applies, for as long as it converges; return the cycles of each call."""
    cycles, descend = [], RowDescent._descend
    descend_on_rows.compile()

    def counted(self, *arguments):
        before = self.n_cycles
        gap = descend(self, *arguments)
        cycles.append(self.n_cycles - before)
        return gap

    monkeypatch.setattr(RowDescent, "relative_work", classmethod(lambda cls, problem, tol: 0.0))
    monkeypatch.setattr(RowDescent, "pays", lambda self, new: True)
    monkeypatch.setattr(RowDescent, "_descend", counted)
    return cycles


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.03, 0.003])
@pytest.mark.parametrize("shape", ["tall", "wide", "collinear", "doubled"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
def test_solutions_agree_with_an_interior_point_solver(on_rows, loss, shape, ratio):
    problem = make_problem("gated", loss, "group_l1", shape=shape, n_gates=20, ratio=ratio)
    solution = solve(problem, tol=TOL)
    assert_agrees(problem, solution, TOL)
    assert on_rows
    reference = cr.solve(problem, "CLARABEL")
    assert solution.objective == pytest.approx(reference.objective, rel=1e-6)


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-10, 1e-12])
def test_every_tolerance_is_reached(on_rows, tol):
    problem = many_patterns(ratio=0.1)
    solution = solve(problem, tol=tol)
    assert solution.certificate.rel_gap <= tol
    assert on_rows


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_badly_scaled_data(on_rows, scale):
    made = many_patterns(ratio=0.1)
    X = made.X * np.array([scale, 1.0, 1.0, 1.0])
    problem = cr.ConvexGatedReLU(X, made.y / scale, cr.sample_patterns(X, 50, seed=0))
    problem = problem.with_lam(0.1 * problem.lam_max())
    assert solve(problem, tol=TOL).certificate.rel_gap <= TOL
    assert on_rows


def test_weighted_rows(on_rows):
    made = many_patterns("logistic", ratio=0.1)
    weights = np.linspace(0.1, 3.0, made.n)
    problem = cr.ConvexGatedReLU(made.X, made.y, made.patterns, loss=cr.Weighted(cr.Logistic(), weights))
    problem = problem.with_lam(0.1 * problem.lam_max())
    assert_agrees(problem, solve(problem, tol=TOL), TOL)
    assert on_rows


def test_iterations_are_limited(on_rows):
    problem = many_patterns(ratio=0.01)
    solution = solve(problem, solver=cr.WorkingSet(), tol=1e-12, max_iter=7)
    assert sum(on_rows) == solution.n_iter == 7
    assert solution.status == "max_iter"


def test_newton_steps_follow_where_descent_is_slow(monkeypatch, on_rows):
    steps, minimise = [], ProximalNewton.minimise
    monkeypatch.setattr(RowDescent, "pays", lambda self, new: len(on_rows) < 2)
    monkeypatch.setattr(ProximalNewton, "minimise", lambda *args: steps.append(1) or minimise(*args))
    problem = many_patterns(ratio=0.01)
    assert_agrees(problem, solve(problem, tol=TOL), TOL)
    assert len(on_rows) >= 2
    assert steps


def test_it_is_compiled_once_it_pays(monkeypatch):
    monkeypatch.setattr(RowDescent, "relative_work", classmethod(lambda cls, problem, tol: 0.0))
    assert_compiled_once_it_pays(monkeypatch, descend_on_rows, SAVINGS, 2.0)


def wide(n, d, *, dtype=np.float64, ratio=0.1, n_gates=500):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(dtype)
    problem = cr.ConvexGatedReLU(X, np.abs(X[:, 0]), cr.sample_patterns(X, n_gates, seed=0))
    return problem.with_lam(ratio * problem.lam_max())


def test_it_is_taken_for_few_rows_and_many_columns(monkeypatch):
    taken, init = [], RowDescent.__init__
    monkeypatch.setattr(RowDescent, "__init__", lambda self, *args: taken.append(1) or init(self, *args))
    descend_on_rows.compile()
    solve(wide(300, 40), tol=1e-3)
    assert taken
    assert RowDescent.relative_work(wide(20_000, 5), 1e-6) > 1.0
    assert RowDescent.relative_work(wide(300, 40, dtype=np.float32), 1e-6) == np.inf
    assert RowDescent.relative_work(wide(1000, 40), 1e-2) < RowDescent.relative_work(wide(1000, 40), 1e-6)


def test_memory_is_limited(monkeypatch):
    monkeypatch.setattr(row_descent, "_MOST_ROWS", 100)
    monkeypatch.setattr(RowDescent, "relative_work", classmethod(lambda cls, problem, tol: 0.0))
    descend_on_rows.compile()
    added = []
    monkeypatch.setattr(RowDescent, "add", lambda self, *args: added.append(1))
    problem = many_patterns(ratio=0.1)
    assert gated_rounds.descend_on_rows.is_ready()
    assert_agrees(problem, solve(problem, tol=TOL), TOL)
    assert not added
