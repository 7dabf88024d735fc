"""Cones and penalties of ConvexReLU."""

import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.cases import make_problem


def test_violation_is_the_largest_one():
    problem = make_problem("relu")
    rng = np.random.default_rng(0)
    V, W = rng.standard_normal((2, *problem.zero_weights()[0].shape))
    signs = 2.0 * problem.patterns.D - 1
    misses = [-(signs[:, i] * (problem.X @ part[0, i])) for part in (V, W) for i in range(len(problem.patterns))]
    assert problem.violation((V, W)) == pytest.approx(max(0.0, np.max(misses)))
    assert problem.violation(problem.repair((V, W))) == 0.0
    assert problem.violation(problem.zero_weights()) == 0.0


def test_nuclear_norm_is_for_gated_problems_only(data):
    with pytest.raises(ValueError, match="'nuclear' is for ConvexGatedReLU"):
        cr.ConvexReLU(*data, penalty="nuclear")


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax", "huber"])
@pytest.mark.parametrize("shape", ["tall", "wide"])
@pytest.mark.parametrize("columns", [(1.0,), (1e-6, 1.0, 1e4)])
def test_lam_max_is_the_largest_norm_of_all_projections(loss, shape, columns):
    c = 3 if loss == "softmax" else 2
    problem = make_problem("relu", loss, shape=shape, c=c, n_gates=30, columns=columns)
    _, products = problem.at_zero
    Z = np.concatenate([-products, products]).reshape(-1, problem.d)
    projected = problem.cones.shift(Z, problem.cones.projection_multipliers(Z, 0.0))
    assert len(Z) > 64  # not all at once
    assert problem.lam_max() == pytest.approx(np.linalg.norm(projected, axis=1).max(), rel=1e-9)


def test_lam_max_of_zero_targets_is_zero():
    problem = make_problem("relu", n_gates=30)
    assert problem.replace(y=np.zeros(problem.n)).lam_max() == 0.0
