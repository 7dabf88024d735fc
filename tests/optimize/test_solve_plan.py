"""The plan of "auto": which solvers follow each other, and what is kept of each."""

import sys

import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.solvers.interface import SolverResult
from cvxrelu.solvers.plan import Planned
from tests.helpers.cases import make_problem
from tests.helpers.plans import hard, plan_of


def test_slow_solver_is_followed_by_the_next():
    problem = hard()
    solution = cr.solve(problem)
    assert [one.solver for one in solution.attempts] == ["RFISTA", "CLARABEL"]
    assert solution.attempts[0].status in ("slow", "max_iter")  # a fast machine may reach its 10,000 iterations
    assert (solution.solver, solution.status) == ("CLARABEL", "optimal")
    assert {record.solver for record in solution.history} == {"RFISTA", "CLARABEL"}
    assert [record.time for record in solution.history] == sorted(record.time for record in solution.history)
    assert sum(one.time for one in solution.attempts) <= solution.time
    table = str(solution).splitlines()
    assert [line.split()[0] for line in table[-2:]] == ["RFISTA", "CLARABEL"]


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_slow_solver_resumes_where_it_paused(monkeypatch, kind):
    """A paused solver resumes its own iteration, whatever solver ran in between, at no cost in steps."""
    problem = make_problem(kind, loss="logistic", ratio=1e-5)
    alone = cr.solve(problem, "WorkingSet", tol=1e-8)
    assert alone.n_iter > 10
    plan = (
        Planned(cr.WorkingSet(), patience=0.0),
        Planned(cr.LeastSquares() if kind == "gated" else cr.RFISTA()),  # neither supports the problem
        Planned(cr.WorkingSet(), resumes=True),
    )
    monkeypatch.setattr(sys.modules["cvxrelu.optimize.solve"], "make_plan", lambda problem, time_left: plan)
    starts = []
    for name in ("gated_candidates", "relu_candidates"):
        original = getattr(sys.modules["cvxrelu.solvers.working_set.solver"], name)
        monkeypatch.setattr(
            f"cvxrelu.solvers.working_set.solver.{name}",
            lambda *args, original=original: starts.append(1) or original(*args),
        )
    solution = cr.solve(problem, tol=1e-8)
    first, second, third = solution.attempts
    assert (first.status, second.status, third.status) == ("slow", "failed", "optimal")
    assert first.n_iter < third.n_iter == solution.n_iter <= 1.25 * alone.n_iter
    assert len(starts) == 1
    counts = [record.n_iter for record in solution.history if record.solver == "WorkingSet"]
    assert counts == sorted(set(counts))


def test_next_solver_is_skipped_when_predicted_to_exceed_the_time_limit(monkeypatch):
    plan = (
        Planned(cr.RFISTA(), patience=0.0),
        Planned("CLARABEL", seconds=1e6),
        Planned(cr.RFISTA(), resumes=True),
    )
    monkeypatch.setattr(sys.modules["cvxrelu.optimize.solve"], "make_plan", lambda problem, time_left: plan)
    solution = cr.solve(make_problem("gated", shape="collinear", ratio=1e-2), time_limit=1e5)
    assert [one.solver for one in solution.attempts] == ["RFISTA", "RFISTA"]
    assert [one.status for one in solution.attempts] == ["slow", "optimal"]


def test_next_solver_is_skipped_when_it_does_not_fit_in_memory_at_its_turn(monkeypatch):
    asked = []
    monkeypatch.setattr(sys.modules["cvxrelu.optimize.solve"], "fits", lambda size: asked.append(size) or size == 0.0)
    solution = cr.solve(make_problem("relu", penalty="l1"), tol=1e-3)
    assert [one.solver for one in solution.attempts] == ["AugmentedLagrangian"]
    assert asked[0] > 0.0 == asked[1]


def test_default_iteration_limit_of_a_solver_does_not_end_the_plan(monkeypatch):
    plan_of(monkeypatch, cr.RFISTA(max_iter=20), "CLARABEL")
    solution = cr.solve(hard())
    assert [one.status for one in solution.attempts] == ["max_iter", "optimal"]
    with pytest.warns(cr.ConvergenceWarning, match="raise max_iter"):
        limited = cr.solve(hard(), max_iter=20)
    assert [one.solver for one in limited.attempts] == ["RFISTA"]
    assert limited.status == "max_iter"


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("singular"), FloatingPointError("overflow"), ValueError("no")])
def test_plan_continues_after_an_exception(monkeypatch, error):
    def run(self, problem, start, limits):
        raise error

    problem = make_problem("gated")
    monkeypatch.setattr("cvxrelu.solvers.working_set.solver.WorkingSet.run", run)
    solution = cr.solve(problem)
    first, second = solution.attempts
    assert (first.solver, first.status) == ("WorkingSet", "failed")
    assert str(error) in first.solver_status
    assert (second.solver, second.status, solution.status) == ("CLARABEL", "optimal", "optimal")


def test_the_next_native_solver_starts_from_the_best_point(monkeypatch):
    problem = hard(1e-2)
    plan_of(monkeypatch, cr.RFISTA(max_iter=15), cr.RFISTA(max_iter=15))
    run, starts = cr.RFISTA.run, []

    def note(self, problem, start, limits):
        starts.append(start if start is None else problem.objective(start))
        return run(self, problem, start, limits)

    monkeypatch.setattr(cr.RFISTA, "run", note)
    with pytest.warns(cr.ConvergenceWarning, match=r"after RFISTA \(max_iter, .*\), RFISTA \(max_iter, .*\)"):
        solution = cr.solve(problem)
    assert starts[0] is None
    assert starts[1] == pytest.approx(solution.attempts[0].objective)
    assert solution.attempts[1].objective <= solution.attempts[0].objective


def test_ctrl_c_in_the_second_solver_returns_the_first_answer(monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    problem = hard()
    monkeypatch.setattr(cp.Problem, "solve", interrupt)
    with pytest.warns(cr.ConvergenceWarning, match="Ctrl-C"):
        solution = cr.solve(problem)
    assert solution.attempts[-1].status == "interrupted"
    assert (solution.solver, solution.status) == ("RFISTA", "interrupted")


def test_runs_of_a_cvxpy_solver_that_bring_nothing_wait_for_the_paused_solver(monkeypatch):
    runs, native = [], [cr.WorkingSet()]

    def solve_cvxpy(problem, *args, **kwargs):
        for k in range(4):
            runs.append(k)
            weights, status = problem.zero_weights(), cr.Status.INACCURATE
            yield SolverResult(weights=weights, status=status, solver_status="", n_iter=k, solve_time=0.0)

    def plan(problem, time_left):
        first, second = Planned(native[0], patience=0.0), Planned("CLARABEL", pauses=True)
        return first, second, Planned(native[0], resumes=True), Planned("CLARABEL", resumes=True)

    problem = make_problem("gated")
    module = sys.modules["cvxrelu.optimize.solve"]
    monkeypatch.setattr(module, "solve_cvxpy", solve_cvxpy)
    monkeypatch.setattr(module, "make_plan", plan)
    solution = cr.solve(problem, tol=1e-12)
    assert [one.solver for one in solution.attempts] == ["WorkingSet", "CLARABEL", "WorkingSet"]
    assert (solution.status, runs) == ("optimal", [0, 1])

    runs.clear()
    assert solution.attempts[0].n_iter + 1 < solution.attempts[-1].n_iter
    native[0] = cr.WorkingSet(max_iter=solution.attempts[0].n_iter + 1)  # too few once it resumes
    with pytest.warns(cr.ConvergenceWarning):
        solution = cr.solve(problem, tol=1e-12)
    assert [one.solver for one in solution.attempts] == ["WorkingSet", "CLARABEL", "WorkingSet", "CLARABEL"]
    assert runs == [0, 1, 0, 1, 2, 3]


def test_auto_takes_no_options_of_a_solver():
    with pytest.raises(TypeError, match="takes no solver options; got tol_feas"):
        cr.solve(make_problem("relu", penalty="l1"), tol_feas=0.1)


def test_the_only_solver_that_fits_raises_its_failure(monkeypatch):
    def run(*arguments):
        raise cr.exceptions.InsufficientMemoryError("too large")

    monkeypatch.setattr(cr.AugmentedLagrangian, "run", run)
    problem = make_problem("relu", penalty="l1")
    for module in ("cvxrelu.optimize.solve", "cvxrelu.solvers.plan"):
        monkeypatch.setattr(sys.modules[module], "fits", lambda size: size == 0.0)
    with pytest.raises(cr.exceptions.InsufficientMemoryError, match="too large"):
        cr.solve(problem)
