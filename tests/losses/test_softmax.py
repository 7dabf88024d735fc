import math

import numpy as np

from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from tests.helpers.dual_terms import draw, interior, tangent


def test_projection_of_a_huge_row_is_a_vertex():
    Y = np.array([[0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(
        SoftmaxCrossEntropy().project_domain(np.array([[1e20, 9e19, 0.0]]), Y) + Y, [[1, 0, 0]]
    )


def test_projection_onto_a_large_simplex_keeps_its_sums():
    rng = np.random.default_rng(0)
    Y = np.eye(5, 20_000)
    t = (rng.random(Y.shape) / Y.shape[1] - 0.5 * Y) / len(Y)
    p = len(Y) * SoftmaxCrossEntropy().project_domain(t, Y) + Y
    np.testing.assert_allclose([math.fsum(row) for row in p], 1.0, rtol=0, atol=1e-14)


def test_moved_keeps_the_row_sums_of_softmax():
    term, Y, rng, _ = draw("softmax")
    t = interior("softmax", Y, rng)
    for _ in range(2000):
        step = 1e-3 * tangent("softmax", rng.standard_normal(Y.shape)) + 1e-13  # a drift that would accumulate
        t = term.moved(t, min(1.0, term.longest_step(t, step)) * step)
    np.testing.assert_allclose((len(Y) * t + Y).sum(axis=1), 1.0, atol=1e-14)
