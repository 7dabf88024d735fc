import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.cases import make_data
from tests.helpers.decompositions import make, singular_problem


@pytest.mark.parametrize("method", ["socp", "l2", "witness"])
def test_the_two_step_solver_is_feasible_and_honest(method):
    problem, _ = make("tall")
    problem = problem.with_lam(0.1 * problem.lam_max())
    exact = cr.solve(problem, "CLARABEL")
    with pytest.warns(cr.ConvergenceWarning, match="Decompose"):
        solution = cr.solve(problem, cr.Decompose(method=method))
    assert solution.status == "inaccurate"
    assert problem.violation(solution.weights) == 0.0
    assert solution.lower <= exact.objective <= solution.objective
    warm = cr.solve(problem, "WorkingSet", start=solution.weights)
    assert warm.objective == pytest.approx(exact.objective, rel=1e-5)
    augmented = cr.solve(problem, "AugmentedLagrangian", start=solution.weights, tol=1e-3)
    assert augmented.objective == pytest.approx(exact.objective, rel=2e-3)


def test_the_two_step_solver_needs_a_relu_problem():
    problem, _ = make()
    gated = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, 0.1)
    with pytest.raises(cr.SolverError, match="Decompose solves ConvexReLU"):
        cr.solve(gated, "decompose")
    with pytest.raises(ValueError, match="gated_tol"):
        cr.Decompose(gated_tol=0.0)


def test_without_a_penalty_the_two_step_solver_is_optimal():
    X = make_data("tripled")
    problem = cr.ConvexReLU(X, np.random.default_rng(0).standard_normal(len(X)), cr.sample_patterns(X, 4), 0.0)
    solution = cr.solve(problem, "decompose", tol=1e-9)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(cr.solve(problem, "CLARABEL").objective, rel=1e-7)


def test_singular_blocks_are_left_out_with_a_warning():
    problem = singular_problem()
    with pytest.warns(cr.ConvergenceWarning, match=r"1 block\(s\) of singular patterns have no decomposition"):
        solution = cr.solve(problem, "decompose")
    assert solution.certificate.max_violation <= 1e-12
    # The row active only in singular patterns cannot be fitted: its loss is 1/2 (-1)^2 / 3.
    assert solution.lower <= 1 / 6 <= solution.objective + 1e-12
