import cvxpy as cp
import pytest

import cvxrelu as cr
from tests.helpers.decompositions import assert_decomposed, make
from tests.helpers.needs import needs


@pytest.mark.parametrize("solver", [pytest.param("ECOS", marks=needs("ecos")), "SCS"])
@pytest.mark.parametrize("method", ["socp", "l2", "l1", "feasible"])
def test_other_solvers_are_feasible(method, solver):
    problem, U = make()
    assert_decomposed(problem, U, *cr.decompose(problem, U, method, solver=solver))


@pytest.mark.parametrize("method", ["socp", "l1"])
def test_a_missing_solver_is_reported(method, monkeypatch):
    problem, U = make()
    monkeypatch.setattr(cp, "installed_solvers", lambda: ["CLARABEL", "SCS"])
    with pytest.raises(cr.SolverNotAvailableError, match="MOSEK is not installed"):
        cr.decompose(problem, U, method, solver="MOSEK")
