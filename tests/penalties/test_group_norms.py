import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.penalties.registry import get_penalty
from tests.helpers.prox_jacobians import each_shape, matrix, middle_threshold, twice


@each_shape
@pytest.mark.parametrize("name", ["group_l1", "l1"])
def test_diagonal_matches_the_product(name, shape):
    rng = np.random.default_rng(0)
    w, a = rng.standard_normal(shape), rng.uniform(0.0, 2.0, shape)
    jacobian = get_penalty(name).prox_jacobian(w, middle_threshold(name, w))
    half = matrix(jacobian.half, shape)
    np.testing.assert_allclose(jacobian.diagonal(a).ravel(), np.diag((half * a.ravel()) @ half), atol=1e-13)


def test_one_output_may_be_zero_where_another_is_not():
    w = np.zeros((2, 2, 3))
    w[0, 0], w[1, 1] = [3.0, 4.0, 0.0], [0.0, 0.0, 2.0]
    jacobian = get_penalty("group_l1").prox_jacobian(w, 1.0)
    half = jacobian.half(np.ones_like(w))
    assert not half[0, 1].any()
    assert not half[1, 0].any()
    # s = 1 - 1/5, e = (0.6, 0.8, 0): M e = e, M x = s x across it
    np.testing.assert_allclose(twice(jacobian, w)[0, 0], w[0, 0], atol=1e-14)
    across = np.zeros_like(w)
    across[0, 0] = [0.8, -0.6, 1.0]
    np.testing.assert_allclose(twice(jacobian, across)[0, 0], 0.8 * across[0, 0], atol=1e-14)


def test_feature_groups_are_not_separable_over_patterns():
    X = np.random.default_rng(0).standard_normal((6, 2))
    problem = cr.ConvexGatedReLU(X, X[:, 0], cr.sample_patterns(X, 3), 0.1, penalty="feature_group_l1")
    assert not isinstance(problem.penalty, PatternNorm)
    with pytest.raises(TypeError, match="penalty must be separable over patterns; got FeatureGroupL1"):
        problem.dual_constraint_values(np.ones((6, 1)))
