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
