"""Losses of programs with one output in kernels: values, gradients, curvature and conjugates."""

from math import exp, log1p

import numpy as np

from cvxrelu.runtime.compilation import kernel

SQUARED, LOGISTIC, HUBER = range(3)
FLATTEST = 1e-3  # curvature of rows in a model, relative to the largest one


@kernel()
def value(loss, delta, f, y, weights, t):  # type: ignore[no-untyped-def]
    """Return F(f), and write n times its gradient."""
    total = 0.0
    for j in range(len(f)):
        if loss == LOGISTIC:
            margin = y[j] * f[j]
            small = exp(-abs(margin))
            total += weights[j] * (max(-margin, 0.0) + log1p(small))
            t[j] = -weights[j] * y[j] * (small if margin > 0.0 else 1.0) / (1.0 + small)
        else:
            residual = f[j] - y[j]
            size = abs(residual)
            inner = min(size, delta) if loss == HUBER else size
            total += weights[j] * inner * (size - 0.5 * inner)
            t[j] = weights[j] * (inner if residual > 0.0 else -inner)
    return total / len(f)


@kernel()
def compute_curvature(loss, delta, f, y, weights, heaviest, curvature):  # type: ignore[no-untyped-def]
    """Write the second derivatives of the loss, relative to their bound."""
    for j in range(len(f)):
        own = 1.0
        if loss == LOGISTIC:
            small = exp(-abs(f[j]))
            own = 4.0 * small / ((1.0 + small) * (1.0 + small))
        elif loss == HUBER and abs(f[j] - y[j]) > delta:
            own = 0.0
        curvature[j] = max(own * weights[j] / heaviest, FLATTEST)


@kernel()
def conjugate(loss, scale, t, y, weights):  # type: ignore[no-untyped-def]
    """Return F* at a multiple of t / n."""
    total = 0.0
    for j in range(len(t)):
        if loss == LOGISTIC:
            a = min(max(-y[j] * scale * t[j] / weights[j], 0.0), 1.0)
            if 0.0 < a < 1.0:
                total += weights[j] * (a * np.log(a) + (1.0 - a) * log1p(-a))
        else:
            value = scale * t[j]
            total += value * (0.5 * value / weights[j] + y[j])
    return total / len(t)


@kernel()
def feasible_scale(loss, t, y, bound, largest):  # type: ignore[no-untyped-def]
    """Return a feasible scale of t, whose dual constraint values are at most ``largest``: the best if squared."""
    limit = bound / largest if largest > 0.0 else np.inf
    if loss != SQUARED:
        return min(1.0, limit)
    along, square = 0.0, 0.0
    for j in range(len(t)):
        along -= t[j] * y[j]
        square += t[j] * t[j]
    return min(max(along / square, 0.0), limit) if square > 0.0 else 0.0
