import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.certificates import certificate as certificates
from cvxrelu.problems import cvxpy_backends as backends
from cvxrelu.solvers.interface import SolverResult
from cvxrelu.solvers.working_set.block_descent import BlockDescent
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems
from tests.helpers.cases import make_problem
from tests.helpers.plans import plan_of, without_gradients


def test_failure_keeps_the_best_point(monkeypatch):
    """A failed factorization leaves the best point so far, not zero weights."""
    problem = make_problem("gated", shape="collinear")
    direction, calls = NewtonSystems.direction, []

    def fail_late(self, step):
        calls.append(step)
        if len(calls) > 6:
            raise np.linalg.LinAlgError("singular")
        return direction(self, step)

    monkeypatch.setattr(NewtonSystems, "direction", fail_late)
    monkeypatch.setattr(BlockDescent, "supports", lambda problem: False)
    with pytest.warns(cr.ConvergenceWarning, match="The solver failed"):
        solution = cr.solve(problem, "WorkingSet", tol=1e-12)
    assert solution.status == "failed"
    assert "LinAlgError: singular" in solution.solver_status
    assert solution.objective < problem.objective(problem.zero_weights())


def test_weights_and_bound_of_different_attempts_are_combined(monkeypatch):
    """Poor weights with a good dual variable, then good weights without one: together they are optimal."""
    problem = make_problem("gated")
    best = cr.solve(problem, tol=1e-9)
    stalled = {"status": cr.Status.STALLED, "solver_status": "", "n_iter": 1, "solve_time": 0.0}
    runs = iter(
        [
            SolverResult(weights=0.9 * best.weights, t=best.dual.t, **stalled),
            SolverResult(weights=best.weights, **stalled),
        ]
    )
    plan_of(monkeypatch, cr.WorkingSet(), cr.RFISTA())
    for solver in (cr.WorkingSet, cr.RFISTA):
        monkeypatch.setattr(solver, "run", lambda self, problem, start, limits: next(runs))
    monkeypatch.setattr("cvxrelu.certificates.certificate._certify", without_gradients(certificates._certify))
    solution = cr.solve(problem, tol=1e-8)
    assert [one.rel_gap > 1e-3 for one in solution.attempts] == [True, True]
    assert solution.status == "optimal"
    assert solution.solver == "RFISTA"
    assert solution.certificate.rel_gap <= 1e-8
    again = cr.certify(problem, solution.weights, solution.dual)  # which scales the dual point again, to rounding
    assert solution.certificate.lower == pytest.approx(again.lower, rel=1e-14)


def test_status_is_optimal_only_with_the_certified_gap(monkeypatch):
    """A solver that claims success at a poor point is not trusted."""
    problem = make_problem("gated")
    original = cp.Problem.solve

    def solve_badly(program, *args, **kwargs):
        value = original(program, *args, **kwargs)
        program.var_dict["U"].value = program.var_dict["U"].value * 1.01
        return value

    monkeypatch.setattr(cp.Problem, "solve", solve_badly)
    with pytest.warns(cr.ConvergenceWarning, match="solver status: 'optimal"):
        solution = cr.solve(problem, "CLARABEL")
    assert solution.status == "inaccurate"
    assert solution.certificate.rel_gap > 1e-6


def test_failed_solver_returns_zero_weights(monkeypatch):
    def fail(program, *args, **kwargs):
        raise cp.error.SolverError("numerical trouble")

    problem = make_problem("relu")
    monkeypatch.setattr(cp.Problem, "solve", fail)
    monkeypatch.setattr(backends, "availability", lambda solver: backends.Availability.OK)
    with pytest.warns(cr.ConvergenceWarning, match="The solver failed"):
        solution = cr.solve(problem, "CLARABEL")
    assert solution.status == "failed"
    assert solution.solver_status == "numerical trouble"
    assert solution.objective == problem.objective(problem.zero_weights())
    assert 0.0 <= solution.lower <= solution.objective
