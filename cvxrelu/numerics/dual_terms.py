"""Dual terms of the separable losses for kernels: see `cvxrelu.losses.base.DualTerm`."""

from math import exp, log, log1p

import numpy as np

from cvxrelu.numerics.boundary import MIN_LABEL_PROBABILITY, MIN_PROBABILITY, SHORTENINGS, SHORTER, TO_BOUNDARY
from cvxrelu.numerics.gated_losses import HUBER, LOGISTIC
from cvxrelu.runtime.blas import inner
from cvxrelu.runtime.compilation import kernel


@kernel()
def dual_terms(  # type: ignore[no-untyped-def]
    loss, delta, lam, sigma, largest, shift, t, y, prediction, gradient, response
):
    """Write the gradient of psi and the response; return F, the term of psi and the bound of the dual."""
    c, n = y.shape
    value, conjugate, square, along, highest = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(c):
        for j in range(n):
            target, dual, f = y[i, j], t[i, j], prediction[i, j]
            square += dual * dual
            along += dual * target
            highest = max(highest, abs(dual))
            if loss == LOGISTIC:
                margin = target * f
                value += max(-margin, 0.0) + log1p(exp(-abs(margin)))
                a = min(max(-n * target * dual, MIN_PROBABILITY), 1.0 - MIN_LABEL_PROBABILITY)
                gradient[i, j] = -target * (log(a) - log1p(-a)) - f
                response[i, j] = a * (1.0 - a) / n
                conjugate += (a * log(a) + (1.0 - a) * log1p(-a)) / n
            else:
                residual = f - target
                size = abs(residual)
                inside = min(size, delta) if loss == HUBER else size
                value += inside * (size - 0.5 * inside)
                gradient[i, j] = n * dual + target - f
                response[i, j] = 1.0 / n
                conjugate += dual * (0.5 * n * dual + target)
                if loss == HUBER:
                    moved, bound = shift[i, j] + sigma * dual, sigma * delta / n
                    moved -= min(max(moved, -bound), bound)
                    if moved != 0.0:
                        gradient[i, j] += moved
                        response[i, j] = 1.0 / (n + sigma)
                        conjugate += moved * moved / (2.0 * sigma)
    limit = lam / largest if largest > 0.0 else np.inf
    if loss == LOGISTIC:
        scale = min(1.0, limit)
        bound = 0.0
        for i in range(c):
            for j in range(n):
                a = min(max(-n * y[i, j] * scale * t[i, j], 0.0), 1.0)
                if 0.0 < a < 1.0:
                    bound -= (a * log(a) + (1.0 - a) * log1p(-a)) / n
        return value / n, conjugate, bound
    if loss == HUBER:
        limit = min(limit, delta / (n * highest) if highest > 0.0 else np.inf)
        scale = min(1.0, limit)
    else:
        scale = min(max(-along / (n * square), 0.0), limit) if square > 0.0 else 0.0
    return value / n, conjugate, -scale * (0.5 * n * scale * square + along)


@kernel()
def damp(t, y, gradient, step, undamped):  # type: ignore[no-untyped-def]
    """Damp a step to keep -n y t inside (0, 1), by entry, and shorten it until it descends."""
    c, n = y.shape
    for i in range(c):
        for j in range(n):
            undamped[i, j] = step[i, j]
    length = 1.0
    for _ in range(SHORTENINGS + 1):
        for i in range(c):
            for j in range(n):
                a, change = -n * y[i, j] * t[i, j], -n * y[i, j] * length * undamped[i, j]
                distance = max(a, MIN_PROBABILITY) if change < 0.0 else max(1.0 - a, MIN_LABEL_PROBABILITY)
                step[i, j] = length * undamped[i, j]
                if abs(change) > TO_BOUNDARY * distance:
                    ratio = distance / abs(change)
                    step[i, j] *= ratio * (1.0 - TO_BOUNDARY * (1.0 - TO_BOUNDARY) * ratio)
        if inner_product(gradient, step) < 0.0:
            break
        length *= SHORTER


@kernel()
def inner_product(a, b):  # type: ignore[no-untyped-def]
    """Return the inner product of two matrices."""
    total = 0.0
    for i in range(len(a)):
        total += inner(a[i], b[i])
    return total
