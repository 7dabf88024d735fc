import pytest

import cvxrelu as cr
from tests.helpers.cases import make_problem


def test_solution_attributes():
    problem = make_problem("relu")
    solution = cr.solve(problem, "CLARABEL")
    assert solution.problem is problem
    assert solution.solver == "CLARABEL"
    assert solution.solver_status == "optimal"
    assert solution.n_iter > 3
    assert solution.time >= solution.compile_time + solution.solve_time > 0.0
    assert solution.gap == solution.objective - solution.lower >= 0.0
    assert [(record.objective, record.lower) for record in solution.history] == [(solution.objective, solution.lower)]
    assert solution.network().objective(problem.X, problem.y, problem.lam) == pytest.approx(
        solution.objective, rel=1e-12
    )
    assert "status='optimal'" in repr(solution)
