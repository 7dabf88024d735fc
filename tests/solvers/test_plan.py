import numpy as np

import cvxrelu as cr
from cvxrelu.solvers.plan import interior_point_cost, make_plan
from tests.helpers.cases import make_problem


def test_the_cost_of_an_interior_point_grows_with_the_problem():
    X = np.random.default_rng(0).standard_normal((200, 5))
    small, large = (interior_point_cost(cr.ConvexReLU(X, X[:, 0], cr.sample_patterns(X, k, seed=0))) for k in (5, 50))
    assert small.seconds < large.seconds
    assert small.size < large.size


def test_semidefinite_cones_beside_exponential_ones_cost_more():
    """Clarabel ends "inaccurate" on many of them, and is run several times."""
    costs = {
        (loss, penalty): interior_point_cost(make_problem("gated", loss, penalty=penalty, c=2)).seconds
        for loss in ("squared", "softmax")
        for penalty in ("group_l1", "nuclear")
    }
    extra = {loss: costs[loss, "nuclear"] - costs[loss, "group_l1"] for loss in ("squared", "softmax")}
    assert extra["softmax"] > 10 * extra["squared"] > 0


def test_plan_omits_unaffordable_interior_point_solvers():
    problem = make_problem("gated")
    names = ["WorkingSet", "CLARABEL", "WorkingSet", "CLARABEL", "RFISTA"]
    assert [one.name for one in make_plan(problem, np.inf)] == names
    assert [one.name for one in make_plan(problem, 1e-3)] == ["WorkingSet", "RFISTA"]
    l1 = make_problem("relu", penalty="l1")
    assert [one.name for one in make_plan(l1, np.inf)] == ["CLARABEL", "AugmentedLagrangian"]
