"""Losses of programs with one output in kernels: values, gradients, curvature and conjugates.

Terms of rows are computed without branches, so that LLVM computes several at once, and are then added up.
"""

import numpy as np

from cvxrelu.numerics.elementary import exp, log, log1p
from cvxrelu.numerics.rounding import TINY
from cvxrelu.runtime.blas import inner
from cvxrelu.runtime.compilation import kernel

SQUARED, LOGISTIC, HUBER = range(3)
FLATTEST = 1e-3  # curvature of rows in a model, relative to the largest one


@kernel()
def value(loss, delta, f, y, weights, t, terms):  # type: ignore[no-untyped-def]
    """Return F(f), write n times its gradient, and overwrite the terms of the rows."""
    if loss == LOGISTIC:
        for j in range(len(f)):
            margin = y[j] * f[j]
            small = exp(-abs(margin))
            terms[j] = max(-margin, 0.0) + log1p(small)
            t[j] = -weights[j] * y[j] * (small if margin > 0.0 else 1.0) / (1.0 + small)
    else:
        for j in range(len(f)):
            residual = f[j] - y[j]
            size = abs(residual)
            inner_size = min(size, delta) if loss == HUBER else size
            terms[j] = inner_size * (size - 0.5 * inner_size)
            t[j] = weights[j] * (inner_size if residual > 0.0 else -inner_size)
    return inner(weights, terms) / len(f)


@kernel()
def compute_curvature(loss, delta, f, y, weights, t, heaviest, curvature):  # type: ignore[no-untyped-def]
    """Write the second derivatives of the loss at f, with gradient t / n, relative to their bound."""
    for j in range(len(f)):
        own = 1.0
        if loss == LOGISTIC:
            a = abs(t[j]) / weights[j]
            own = 4.0 * a * (1.0 - a)
        elif loss == HUBER and abs(f[j] - y[j]) > delta:
            own = 0.0
        curvature[j] = max(own * weights[j] / heaviest, FLATTEST)


@kernel()
def conjugate(loss, scale, t, y, weights, terms):  # type: ignore[no-untyped-def]
    """Return F* at a multiple of t / n, and overwrite the terms of the rows."""
    if loss == LOGISTIC:
        for j in range(len(t)):
            a = min(max(-y[j] * scale * t[j] / weights[j], 0.0), 1.0)
            a = min(a, 1.0 - a)  # the entropy is symmetric
            terms[j] = a * log(max(a, TINY)) + (1.0 - a) * log1p(-a)
    else:
        for j in range(len(t)):
            change = scale * t[j] / weights[j]
            terms[j] = change * (0.5 * change + y[j])
    return inner(weights, terms) / len(t)


@kernel()
def feasible_scale(loss, t, y, bound, largest):  # type: ignore[no-untyped-def]
    """Return a feasible scale of t, whose dual constraint values are at most ``largest``: the best if squared."""
    limit = bound / largest if largest > 0.0 else np.inf
    if loss != SQUARED:
        return min(1.0, limit)
    square = inner(t, t)
    return min(max(-inner(t, y) / square, 0.0), limit) if square > 0.0 else 0.0
