"""The squared loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvxrelu._validation import FloatArray, as_float64
from cvxrelu.losses.base import ConjugateDerivatives, DualTerm, Loss
from cvxrelu.numerics.rounding import above, distances_above, dot_radius, mean_above
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["Squared"]


@dataclass(frozen=True)
class Squared(Loss):
    """F(f) = 1/(2n) ||f - Y||_F^2; F*(t) = n/2 ||t||_F^2 + <t, Y>.

    Half the mean over rows of the squared error summed over outputs. The authors' package (pyscnn) divides by 2 n c.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> predictions, targets = np.array([[2.0], [0.0]]), np.array([[0.0], [1.0]])
    >>> cr.Squared().value(predictions, targets)
    1.25
    """

    name: ClassVar[str] = "squared"
    sums_over_entries: ClassVar[bool] = True

    def check_targets(self, Y: FloatArray) -> None:
        """Accept every finite target."""

    def value(self, f: FloatArray, Y: FloatArray) -> float:
        """Return 1/(2n) ||f - Y||_F^2."""
        residual = f - Y
        return float(np.vdot(residual, residual)) / (2 * len(Y))

    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return (f - Y) / n."""
        return (f - Y) / len(Y)

    def bregman(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> float:
        """Return 1/(2n) ||step||_F^2."""
        return float(np.sum(step * step)) / (2 * len(Y))

    def conjugate(self, t: FloatArray, Y: FloatArray) -> float:
        """Return n/2 ||t||_F^2 + <t, Y>, finite everywhere."""
        t = as_float64(t)
        return float(len(Y) / 2 * np.vdot(t, t) + np.vdot(t, Y))

    def smoothness(self, n: int) -> float:
        """Return 1/n."""
        return 1.0 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t itself: the domain is the whole space."""
        return as_float64(t)

    def rescaled(self, scale: float) -> Squared:
        """Return the loss itself, which is homogeneous of degree 2."""
        return self

    def best_scale(self, t: FloatArray, Y: FloatArray, limit: float) -> float:
        """Return the maximiser of -F*(scale * t) over [0, limit]: -<t, Y> / (n ||t||_F^2), clipped; 0 for t = 0."""
        largest = float(np.abs(t).max())
        if largest == 0.0:
            return 0.0
        unit = as_float64(t) / largest  # avoids underflow of squares
        best = float(-np.vdot(unit, Y) / np.vdot(unit, unit) / (len(Y) * largest))
        return min(max(best, 0.0), float(limit))

    def expression(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return 1/(2n) ||f - Y||_F^2."""
        return cp.sum_squares(f - Y) / (2 * f.shape[0])

    def conjugate_expression(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return n/2 ||t||_F^2 + <t, Y> and no constraint."""
        return t.shape[0] / 2 * cp.sum_squares(t) + cp.sum(cp.multiply(Y, t)), []

    def value_above(self, f: FloatArray, radius: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of 1/(2n) ||f - Y||_F^2, which increases with |f - Y|."""
        sizes = distances_above(f, radius, Y)
        return mean_above(np.where(sizes > 0.0, above(sizes * (sizes - 0.5 * sizes), 3), 0.0), len(Y))

    def into_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t itself."""
        return t

    def conjugate_above(self, t: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of n/2 ||t||_F^2 + <t, Y>."""
        scaled = 0.5 * len(Y) * t
        terms, sizes = t * (scaled + Y), np.abs(t) * (np.abs(scaled) + np.abs(Y))
        return math.nextafter(float(np.sum(terms) + dot_radius(np.sum(sizes), t.size + 3)), math.inf)

    def dual_term(self, Y: FloatArray) -> DualTerm:
        """Return F*, a quadratic function."""
        return _SquaredTerm(self, Y)


class _SquaredTerm(DualTerm):
    """n/2 ||t||^2 + <t, Y>."""

    constant_curvature = True

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return n t + Y and 1/n."""
        n = len(t)
        return ConjugateDerivatives(n * t + self.Y, np.full(t.shape, 1.0 / n))

    def bound(self, t: FloatArray, lam: float, largest: float) -> float:
        """Return -F* at the best dual feasible multiple of t, whose dual constraint values are at most ``largest``."""
        n, square, along = len(t), float(np.vdot(t, t)), float(np.vdot(t, self.Y))
        if square == 0.0:
            return 0.0
        scale = min(max(-along / (n * square), 0.0), lam / largest if largest > 0.0 else np.inf)
        return -scale * (0.5 * n * scale * square + along)
