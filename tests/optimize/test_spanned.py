import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.optimize.spanned import span
from tests.helpers.cases import make_problem


@pytest.mark.parametrize(("loss", "shape"), [("squared", "wide"), ("squared", "collinear"), ("huber", "tall")])
def test_relu_without_a_penalty_is_solved_as_gated(loss, shape):
    problem = make_problem("relu", loss, "none", shape=shape)
    gated = cr.solve(make_problem("gated", loss, "none", shape=shape), tol=1e-8)
    solution = cr.solve(problem, tol=1e-8)
    assert solution.status == "optimal"
    assert solution.attempts[0].solver in ("LeastSquares", "RFISTA")  # which have no cones
    assert problem.violation(solution.weights) == 0.0
    assert abs(solution.objective - gated.objective) <= 1e-8 * gated.objective + problem.resolution


def test_the_gated_form_and_the_way_back():
    problem = make_problem("relu", penalty="none")
    form = span(problem)
    assert isinstance(form.problem, cr.ConvexGatedReLU)
    assert form.start(None) is None
    weights = cr.solve(problem.with_lam(0.0), "CLARABEL").weights
    assert np.array_equal(form.start(weights), weights[0] - weights[1])
    penalised = make_problem("relu")
    assert span(penalised).problem is penalised
    X = problem.X
    flat = cr.ActivationPatterns(np.ones((2 * len(X), 1), dtype=bool))  # the cone is a subspace
    singular = cr.ConvexReLU(np.vstack([X, -X]), np.tile(X[:, 0], 2), flat, penalty="none")
    assert span(singular).problem is singular  # a cone without a strict interior
