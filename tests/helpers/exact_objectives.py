"""Primal and dual objectives in exact arithmetic, whose transcendental functions have eighty digits."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np


def fractions(array):
    flat = np.empty(np.size(array), dtype=object)
    flat[:] = [Fraction(number) for number in np.asarray(array, dtype=float).ravel().tolist()]
    return flat.reshape(np.shape(array))


def decimal(number):
    number = Fraction(number)
    return Decimal(number.numerator) / Decimal(number.denominator)


def exact_norms(rows):
    return [decimal(sum(x * x for x in row)).sqrt() for row in rows]


def exact_singular(matrix):
    """Return the largest singular value and the sum of singular values of one or two rows."""
    if len(matrix) == 1:
        return exact_norms(matrix) * 2
    a, b, c = (sum(x * y for x, y in zip(matrix[i], matrix[j], strict=True)) for i, j in ((0, 0), (0, 1), (1, 1)))
    det = decimal(a * c - b * b)
    largest = ((decimal(a + c) + decimal((a - c) ** 2 + 4 * b * b).sqrt()) / 2).sqrt()
    return largest, (decimal(a + c) + 2 * det.sqrt()).sqrt()


def log_sum_exp(numbers):
    *others, top = sorted(numbers)
    rest = sum((number - top).exp() for number in others)
    return top + ((1 + rest).ln() if rest > Decimal("1e-30") else rest - rest * rest / 2)


def groups(penalty, blocks):
    flat = blocks.reshape(-1, blocks.shape[-1])
    return {"group_l1": flat, "feature_group_l1": flat.T, "l1": flat.reshape(-1, 1)}[penalty]


def exact_objective(problem, weights):
    """Return the objective of weights, asserting in rational arithmetic that they are in their cones."""
    X, Y, D = fractions(problem.operator.X), fractions(problem.Y), np.asarray(problem.patterns.D)
    blocks = fractions(problem.blocks(weights))
    sides = blocks if blocks.ndim == 4 else blocks[None]
    prediction = fractions(np.zeros(Y.shape))
    for side, sign in zip(sides, (1, -1), strict=False):
        for k, i in np.ndindex(side.shape[:2]):
            if any(side[k, i]):
                products = X @ side[k, i]
                prediction[:, k] += sign * np.where(D[:, i], products, 0)
                if len(sides) == 2:
                    assert all(np.where(D[:, i], products, -products) >= 0)
    name, n = problem.loss.name, problem.n
    if name in ("squared", "huber"):
        size = abs(prediction - Y)
        inner = np.minimum(size, Fraction(problem.loss.delta)) if name == "huber" else size
        loss = decimal(np.sum(inner * (size - inner / 2)) / n)
    else:
        margins = [[-y * f] for y, f in zip(Y.ravel(), prediction.ravel(), strict=True)]
        if name == "softmax":
            labels = np.argmax(problem.Y, axis=1).tolist()
            margins = [list(np.delete(row - row[k], k)) for k, row in zip(labels, prediction, strict=True)]
        loss = sum(log_sum_exp([Decimal(0), *map(decimal, row)]) for row in margins) / n
    if problem.lam == 0.0 or problem.penalty.name == "none":
        return loss
    if problem.penalty.name == "nuclear":
        omega = sum(exact_singular(blocks[:, i])[1] for i in range(blocks.shape[1]))
    elif problem.penalty.name == "squared_l2":
        omega = decimal(np.sum(blocks * blocks) / 2)
    else:
        omega = sum(exact_norms(groups(problem.penalty.name, blocks)))
    return loss + Decimal(problem.lam) * omega


def exact_dual_objective(problem, point):
    """Return the dual objective of a point, asserting in rational arithmetic that it is feasible."""
    X, Y, t, n = fractions(problem.operator.X), fractions(problem.Y), fractions(point.t), problem.n
    D, lam = np.asarray(problem.patterns.D), Fraction(problem.lam)
    masked = np.where(D.T[None], t.T[:, None, :], 0)
    argument = masked @ X
    if point.multipliers is not None:
        g = fractions(point.multipliers.toarray()).reshape(2, *masked.shape)
        assert (g >= 0).all()
        argument = np.stack([-argument, argument]) + np.where(D.T, g, -g) @ X
    conjugate = Decimal(0)
    if problem.lam == 0.0 or problem.penalty.name == "none":
        assert not argument.any()
    elif problem.penalty.name == "squared_l2":
        conjugate = decimal(np.sum(argument * argument) / (2 * lam))
    elif problem.penalty.name == "nuclear":
        assert all(exact_singular(argument[:, i])[0] <= Decimal(problem.lam) for i in range(argument.shape[1]))
    else:
        assert all(sum(x * x for x in row) <= lam * lam for row in groups(problem.penalty.name, argument))
    name = problem.loss.name
    if name in ("squared", "huber"):
        if name == "huber":
            assert all(abs(n * t).ravel() <= Fraction(problem.loss.delta))
        return -decimal(np.sum(t * (n * t / 2 + Y))) - conjugate
    if name == "logistic":
        a = (-n * Y * t).ravel()
        assert all(a >= 0)
        probabilities = [*a, *(1 - a)]
        assert all(1 - a >= 0)
    else:
        p = n * t + Y
        assert all(sum(row) == 1 for row in p)
        probabilities = list(p.ravel())
        assert min(probabilities) >= 0
    return -sum((decimal(p) * decimal(p).ln() for p in probabilities if p > 0), Decimal(0)) / n - conjugate


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
