"""Dual points at lam = 0."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.problems import annihilation
from cvxrelu.problems.operators.gated_operator import GatedOperator
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


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
def test_singular_values_and_lsmr_find_the_same_dual_point(monkeypatch, loss):
    problem = make_problem("gated", loss, c=2, ratio=0.0, n_gates=2)
    t = problem.gradient_point(problem.zero_weights())
    by_values = problem.dual_point(t)
    monkeypatch.setattr(annihilation, "_MAX_SVD_WORK", 0.0)
    by_lsmr = problem.dual_point(t)
    assert by_values.value > 0.0
    assert np.abs(by_values.t - by_lsmr.t).max() <= 1e-9 * np.abs(t).max()


def test_a_dual_point_at_lam_zero_takes_few_products_whatever_the_condition(monkeypatch):
    """LSMR took twenty thousand, one after another, with entries of t at the bounds of Huber's domain."""
    rng = np.random.default_rng(0)
    X = np.exp(1.5 * rng.standard_normal((36, 9)))
    Y = rng.standard_normal((36, 3))
    problem = cr.ConvexGatedReLU(X, Y, cr.sample_patterns(X, 7, seed=0), 0.0, cr.Huber(1e-3), "none")
    t = problem.gradient_point(problem.zero_weights())
    calls, adjoint = [], GatedOperator.adjoint
    monkeypatch.setattr(GatedOperator, "adjoint", lambda *args: calls.append(1) or adjoint(*args))
    problem.dual_point(t)
    assert len(calls) <= 60
