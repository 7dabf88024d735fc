"""Dual points at lam = 0."""

import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.cases import LOSSES, make_problem


def test_dual_point_at_lam_zero_is_annihilated():
    problem = make_problem("gated", ratio=0.0)
    U = np.random.default_rng(0).standard_normal((1, len(problem.patterns), problem.d))
    point = problem.dual_point(problem.gradient_point(U))
    assert point.value > 0.01
    assert np.abs(problem.operator.adjoint(point.t)).max() <= 1e-14


@pytest.mark.parametrize("loss", LOSSES)
def test_column_scales_do_not_change_the_bound_at_lam_zero(loss):
    problem = make_problem("gated", loss, shape="tripled", c=3, ratio=0.0)
    t = problem.gradient_point(problem.zero_weights())
    points = [
        type(problem)(problem.X * scales, problem.Y, cr.ActivationPatterns(problem.patterns.D), 0.0, loss).dual_point(t)
        for scales in ([1.0, 1.0, 1.0], [1e-8, 1.0, 1e8], [1e150, 1e-150, 0.0])
    ]
    assert points[0].value > 0.01
    assert points[1].value == pytest.approx(points[0].value, rel=1e-9)
    assert points[2].value >= points[0].value * (1 - 1e-9)  # one column less
