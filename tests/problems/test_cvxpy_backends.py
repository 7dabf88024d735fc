import cvxpy as cp
import pytest

import cvxrelu as cr
from cvxrelu.problems import cvxpy_backends as backends
from cvxrelu.problems.cvxpy_backends import BACKENDS
from cvxrelu.solvers.cvxpy_solver import _limits
from tests.helpers.cases import make_problem
from tests.helpers.needs import SOLVERS, needs


def test_missing_solver_names_the_remedy(monkeypatch):
    monkeypatch.setattr(cp, "installed_solvers", lambda: ["CLARABEL", "SCS"])
    with pytest.raises(cr.SolverNotAvailableError, match="MOSEK is not installed: run 'pip install mosek'.*CLARABEL"):
        cr.solve(make_problem("gated"), "MOSEK")
    assert backends.availability("MOSEK") == "missing"


def test_licence_errors_are_distinguished_from_failures(monkeypatch):
    original = cp.Problem.solve
    limit = [0]

    class LicenceError(Exception):
        pass

    def solve_small(program, *args, **kwargs):
        if program.size_metrics.num_scalar_variables > limit[0]:
            raise LicenceError("1234")
        return original(program, *args, **kwargs)

    monkeypatch.setattr(cp.Problem, "solve", solve_small)
    monkeypatch.setitem(backends.BACKENDS, "CLARABEL", backends.Backend("clarabel", licensed=True))
    problem = make_problem("gated")
    with pytest.raises(cr.SolverNotAvailableError, match="CLARABEL is installed but does not run.*licence"):
        cr.solve(problem, "CLARABEL")
    limit[0] = 10
    with pytest.raises(cr.SolverNotAvailableError, match="licence of solver CLARABEL limits the size"):
        cr.solve(problem, "CLARABEL")


def test_solver_without_support_for_cones():
    with pytest.raises(cr.SolverError, match="OSQP does not support squared loss with penalty group_l1.*CLARABEL"):
        cr.solve(make_problem("gated"), "OSQP")


@needs("ecos")
def test_ecos_has_no_nuclear_norm():
    with pytest.raises(cr.SolverError, match="ECOS does not support squared loss with penalty nuclear"):
        cr.solve(make_problem("gated", penalty="nuclear", c=3), "ECOS")


def test_installed_solvers_are_available():
    for solver in SOLVERS:
        assert backends.availability(solver) == "ok"


def test_tolerance_and_limits_reach_each_solver():
    def settings(solver, max_iter, time_limit):
        backend = BACKENDS[solver]
        return backend.settings(1e-8, _limits(solver, backend, max_iter, time_limit))

    assert settings("CLARABEL", 7, 2.0) == {
        "tol_gap_abs": 1e-8,
        "tol_gap_rel": 1e-8,
        "tol_feas": 1e-8,
        "max_iter": 7,
        "time_limit": 2.0,
        "accept_unknown": True,
    }
    assert settings("SCS", 7, 2.0) == {"eps_abs": 1e-8, "eps_rel": 1e-8, "max_iters": 7, "time_limit_secs": 2.0}
    assert settings("ECOS", 7, None) == {"abstol": 1e-8, "reltol": 1e-8, "feastol": 1e-8, "max_iters": 7}
    mosek = settings("MOSEK", 7, 2.0)
    assert mosek["mosek_params"]["MSK_DPAR_OPTIMIZER_MAX_TIME"] == 2.0
    assert set(mosek) == {"mosek_params", "accept_unknown"}
