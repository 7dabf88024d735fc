"""Primal and dual objectives in exact arithmetic, whose transcendental functions have eighty digits."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

from reference.rationals import rational
from reference.rounded.exact import conjugate, dual_cost, loss_value, norm_value


def exact_objective(problem, weights):
    """Return the objective of weights, asserting in rational arithmetic that they are in their cones."""
    X, Y, D = rational(problem.operator.X), rational(problem.Y), np.asarray(problem.patterns.D)
    blocks = rational(problem.blocks(weights))
    sides = blocks if blocks.ndim == 4 else blocks[None]
    prediction = rational(np.zeros(Y.shape))
    for side, sign in zip(sides, (1, -1), strict=False):
        for k, i in np.ndindex(side.shape[:2]):
            if any(side[k, i]):
                products = X @ side[k, i]
                prediction[:, k] += sign * np.where(D[:, i], products, 0)
                if len(sides) == 2:
                    assert all(np.where(D[:, i], products, -products) >= 0)
    loss = loss_value(problem.loss.name, getattr(problem.loss, "delta", None), prediction, Y)
    if problem.lam == 0.0 or problem.penalty.name == "none":
        return loss
    return loss + Decimal(problem.lam) * norm_value(problem.penalty.name, blocks)


def exact_dual_objective(problem, point):
    """Return the dual objective of a point, asserting in rational arithmetic that it is feasible."""
    X, Y, t, D = rational(problem.operator.X), rational(problem.Y), rational(point.t), np.asarray(problem.patterns.D)
    masked = np.where(D.T[None], t.T[:, None, :], 0)
    argument = masked @ X
    if point.multipliers is not None:
        g = rational(point.multipliers.toarray()).reshape(2, *masked.shape)
        assert (g >= 0).all()
        argument = np.stack([-argument, argument]) + np.where(D.T, g, -g) @ X
    cost = dual_cost(problem.penalty.name, argument, Fraction(problem.lam))
    assert cost is not None
    value = conjugate(problem.loss.name, getattr(problem.loss, "delta", None), t, Y)
    assert value is not None
    return -value - cost


def assert_proven(certificate):
    """Assert that both bounds hold exactly for the weights and the dual point of the certificate."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 80, -(10**12), 10**12
        assert certificate.rigor == "rounded"
        problem = certificate.problem
        upper = exact_objective(problem, certificate.weights)
        assert not certificate.upper < upper, (certificate.upper, upper)
        lower = exact_dual_objective(problem, certificate.dual)
        assert 0.0 <= certificate.lower <= lower
        assert certificate.dual.value >= certificate.lower
        assert certificate.lower <= certificate.upper
