"""Objectives of weights with cancellation, against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

import cvxrelu as cr


def squared_loss(X, D, u, y):
    """Return the squared loss of gated weights u (P, d) in rational arithmetic."""
    total = Fraction(0)
    for row, mask, target in zip(X, D, y, strict=True):
        blocks = u[mask]
        products = (Fraction(a) * Fraction(b) for block in blocks for a, b in zip(row, block, strict=True))
        total += (sum(products) - Fraction(target)) ** 2
    return float(total / (2 * len(y)))


@pytest.mark.parametrize("kind", [cr.ConvexGatedReLU, cr.ConvexReLU])
def test_objectives_of_weights_with_cancellation(kind):
    """Nearly dependent columns need weights of 1e7 for predictions of 1."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((12, 3))
    X[:, 2] = X[:, 0] + 1e-7 * rng.standard_normal(12)
    patterns = cr.sample_patterns(X, 3, seed=0)
    u = 1e7 * np.array([1.0, 1e-7, -1.0]) + rng.standard_normal((len(patterns), 3))
    y = rng.standard_normal(12)
    problem = kind(X, y, patterns, lam=0.0, penalty="none")
    exact = squared_loss(X, np.asarray(patterns.D), u, y)
    weights = u[None] if kind is cr.ConvexGatedReLU else (u[None], np.zeros_like(u)[None])
    assert problem.objective(weights) == pytest.approx(exact, rel=1e-11)
    in_float64 = problem.loss.value(problem.operator.forward(u[None]), problem.Y)
    assert abs(in_float64 - exact) > 1e-10 * exact


@pytest.mark.parametrize(("penalty", "lam"), [("l1", 1e-22), ("group_l1", 1e-22), ("squared_l2", 1e-35)])
def test_weights_outside_a_thin_cone_by_rounding(penalty, lam):
    """Rows x and -x leave the cone {x'w = 0}, where both predictions are 0 and the optimum is 1/4.

    Weights of 1e14 miss it by 2^-52 of their products, and predict 0.004 in place of 0: their objective is below 1/4.
    """
    X = np.array([[1 / 3, 1 / 7], [-1 / 3, -1 / 7]])
    patterns = cr.ActivationPatterns(np.ones((2, 1), dtype=bool))
    problem = cr.ConvexReLU(X, np.array([1.0, 0.0]), patterns, lam=lam, penalty=penalty)
    V = 2.0**49 * np.array([[[np.nextafter(1 / 7, 1.0), -1 / 3]]])
    assert problem.objective((V, 0 * V)) < 0.2495
    certificate = cr.certify(problem, (V, 0 * V), dual=cr.solve(problem, "CLARABEL", tol=1e-5).dual)
    assert certificate.lower <= 0.25 <= certificate.upper
    assert certificate.upper == pytest.approx(0.25, rel=1e-4)
