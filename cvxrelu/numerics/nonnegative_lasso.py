"""Interior-point method for the non-negative lasso: min over c >= 0 of 1/2 ||A c - y||^2 + l sum(c), by A'A and A'y."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import TINY

_MAX_STEPS = 60
_LEAST_START = 0.1  # of a coefficient, relative to their mean
_LEAST_MEAN = 1e-3  # of the coefficients at the start, relative to the largest for a single column
_LEAST_SLACK = 0.05  # of a column at the start, relative to its level
_TO_BOUNDARY = 0.99
_RIDGE = 1e-14  # relative to the diagonal, for columns equal to rounding


def nonnegative_lasso(
    gram: FloatArray,
    correlations: FloatArray,
    level: float,
    energy: float,
    start: FloatArray,
    gap_tol: float,
    expired: Callable[[], bool],
) -> tuple[FloatArray, FloatArray]:
    """Return coefficients c > 0 (m,) near the central path with a duality gap of at most ``gap_tol``, and their slacks.

    Mehrotra's predictor-corrector method. The gap is larger where rounding ends the steps, or time is up.

    Parameters
    ----------
    gram : ndarray of shape (m, m)
        A'A.
    correlations : ndarray of shape (m,)
        A'y.
    level : float
        l > 0, the same for all columns.
    energy : float
        y'y.
    start : ndarray of shape (m,)
        Coefficients that may be near the solution.
    gap_tol : float
        Duality gap.
    expired : callable
        Returns whether time is up; asked before each step.
    """
    diagonal = gram.diagonal()
    linear = correlations - level
    mean = max(float(start.mean()), _LEAST_MEAN * float(linear.max()) / max(float(diagonal.mean()), TINY), TINY)
    c = np.maximum(start, _LEAST_START * mean)
    slacks = np.maximum(gram @ c - linear, _LEAST_SLACK * level)
    best, best_gap = (c, slacks), np.inf
    for _ in range(_MAX_STEPS):
        fitted = gram @ c
        gap = _duality_gap(c, fitted, correlations, level, energy)
        if gap < best_gap:
            best, best_gap = (c, slacks), gap
        if not gap > gap_tol or expired():
            break
        system = np.array(gram, order="F")
        system.ravel(order="K")[:: len(c) + 1] += slacks / c + _RIDGE * diagonal
        factor, failed = lapack.dpotrf(system, overwrite_a=1, clean=0)
        if failed:
            break
        residual = fitted - linear - slacks
        products = c * slacks
        step = lapack.dpotrs(factor, -slacks - residual)[0]
        change = -slacks - slacks * step / c
        affine = float((c + _length(c, step) * step) @ (slacks + _length(slacks, change) * change))
        centre = (affine / float(products.sum())) ** 3 * float(products.mean())
        products = centre - products - step * change
        step = lapack.dpotrs(factor, products / c - residual)[0]
        change = (products - slacks * step) / c
        length = _TO_BOUNDARY * min(_length(c, step), _length(slacks, change))
        c, slacks = c + length * step, slacks + length * change
    return best


def _length(values: FloatArray, step: FloatArray) -> float:
    """Return the largest step length, at most 1, that keeps all values non-negative."""
    return 1.0 / max(1.0, float((-step / values).max()))


def _duality_gap(c: FloatArray, fitted: FloatArray, correlations: FloatArray, level: float, energy: float) -> float:
    """Return the objective at c minus the dual objective at the best multiple >= 0 of the residual y - A c."""
    explained, correlated = float(c @ fitted), float(correlations @ c)
    residual = max(explained - 2.0 * correlated + energy, TINY)
    along, largest = max(energy - correlated, 0.0), float((correlations - fitted).max())
    scale = along / residual if along * largest <= level * residual else level / largest
    return 0.5 * residual + level * float(c.sum()) - scale * (along - 0.5 * scale * residual)
