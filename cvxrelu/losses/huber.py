"""The Huber loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvxrelu._validation import FloatArray, as_float64, check_number
from cvxrelu.losses.base import DOMAIN_SLACK, ConjugateDerivatives, RowLoss, RowTerm
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.rounding import above, distances_above, mean_above
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["Huber"]


@dataclass(frozen=True)
class Huber(RowLoss):
    """F(f) = (1/n) sum_jk h(f_jk - y_jk); h(r) = r^2/2 if |r| <= delta, else delta |r| - delta^2/2.

    F*(t) = n/2 ||t||_F^2 + <t, Y> if all |n t_jk| <= delta.

    Parameters
    ----------
    delta : float > 0
        Residual beyond which the loss grows linearly.

    Raises
    ------
    TypeError, ValueError
        If delta is not a finite number > 0.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> predictions, targets = np.array([[2.0], [0.0]]), np.array([[0.0], [1.0]])
    >>> cr.Huber(delta=1.0).value(predictions, targets)
    1.0
    """

    name: ClassVar[str] = "huber"
    sums_over_entries: ClassVar[bool] = True
    delta: float = 1.0

    def __post_init__(self) -> None:
        """Validate delta."""
        object.__setattr__(self, "delta", check_number("delta", self.delta, minimum=0, strict=True))

    def check_targets(self, Y: FloatArray) -> None:
        """Accept every finite target."""

    def terms(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return h(f_jk - y_jk)."""
        size = np.abs(f - Y)
        inner = np.minimum(size, self.delta)
        terms: FloatArray = inner * (size - inner / 2)
        return terms

    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return f - Y clipped to [-delta, delta], divided by n."""
        return np.clip(f - Y, -self.delta, self.delta) / len(Y)

    def bregman_terms(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return m^2/2 + m b, with m the step between the kinks -delta and delta, and b the step beyond them."""
        before = f - Y
        after = before + step
        kinked = np.clip(after, -self.delta, self.delta)
        start = np.clip(before, -self.delta, self.delta)
        # If both ends are between the kinks, use the step itself: the difference would cancel.
        inner_step = np.where((kinked == after) & (start == before), step, kinked - start)
        terms: FloatArray = inner_step * (0.5 * inner_step + (after - kinked))
        return terms

    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return n/2 t_jk^2 + t_jk y_jk; infinite unless |n t_jk| <= delta."""
        bound = self.delta / len(Y)
        t = as_float64(t)
        outside = np.abs(t) > bound * (1 + DOMAIN_SLACK)
        t = np.clip(t, -bound, bound)
        return np.where(outside, np.inf, t * (len(Y) / 2 * t + Y))

    def smoothness(self, n: int) -> float:
        """Return 1/n."""
        return 1.0 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t clipped to [-delta/n, delta/n]."""
        return np.clip(as_float64(t), -self.delta / len(Y), self.delta / len(Y))

    def rescaled(self, scale: float) -> Huber | None:
        """Return the loss with delta / scale; None if that over- or underflows."""
        delta = self.delta / scale
        return Huber(delta) if 0.0 < delta < np.inf else None

    def expression_terms(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return h(f_jk - y_jk); cp.huber is 2 h."""
        return cp.huber(f - Y, self.delta) / 2

    def conjugate_expression_terms(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return n/2 t_jk^2 + t_jk y_jk and |n t_jk| <= delta."""
        n = t.shape[0]
        return n / 2 * cp.square(t) + cp.multiply(Y, t), [(n * cp.abs(t) <= self.delta).set_label("domain")]

    def value_above(self, f: FloatArray, radius: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of F(f), which grows with |f - Y|."""
        sizes = distances_above(f, radius, Y)
        inner = np.minimum(sizes, self.delta)
        return mean_above(np.where(sizes > 0.0, above(inner * (sizes - 0.5 * inner), 3), 0.0), len(Y))

    def into_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t clipped to a bound b with n b <= delta."""
        bound = math.nextafter(self.delta / len(Y), 0.0)  # the quotient has an error of at most half an ulp
        return np.clip(t, -bound, bound)

    def conjugate_above(self, t: FloatArray, Y: FloatArray) -> float:
        """Return the bound of the squared loss, whose conjugate is the same inside the box."""
        return Squared().conjugate_above(t, Y)

    def dual_term(self, Y: FloatArray) -> RowTerm:
        """Return F* with its box constraint replaced by a block s."""
        return _HuberTerm(self, Y)


class _HuberTerm(RowTerm):
    """The squared term with a block s (n, c) under delta/n ||.||_1: s+ = soft(s + sigma t, sigma delta / n)."""

    def __init__(self, loss: Huber, Y: FloatArray) -> None:
        super().__init__(loss, Y)
        self.delta = loss.delta
        self.centre: FloatArray = np.zeros_like(Y)

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return n t + Y + s+, and 1/(n + sigma) for non-zero s+, else 1/n."""
        n = len(t)
        s = self._prox(t, sigma)
        return ConjugateDerivatives(n * t + self.Y + s, 1.0 / (n + sigma * (s != 0.0)))

    def terms(self, t: FloatArray, sigma: float) -> FloatArray:
        """Return the summands of n/2 ||t||^2 + <t, Y> + ||s+||^2 / (2 sigma)."""
        s = self._prox(t, sigma)
        terms: FloatArray = t * (0.5 * len(t) * t + self.Y) + s * s / (2.0 * sigma)
        return terms

    def start(self, f: FloatArray) -> FloatArray:
        """Return the gradient at f; set s to the part of the residual beyond delta."""
        residual = f - self.Y
        self.centre = residual - np.clip(residual, -self.delta, self.delta)
        return self.loss.gradient(f, self.Y)

    def largest_multiple(self, t: FloatArray) -> float:
        """Return the factor that scales the largest entry of t to the boundary of the box."""
        largest = float(np.abs(t).max())
        return self.delta / (len(t) * largest) if largest > 0.0 else np.inf

    @property
    def own_block(self) -> FloatArray:
        """The block s (n, c)."""
        return self.centre

    def recentre(self, t: FloatArray, sigma: float) -> None:
        """Set s to s+."""
        self.centre = self._prox(t, sigma)

    def _prox(self, t: FloatArray, sigma: float) -> FloatArray:
        shifted = self.centre + sigma * t
        threshold = sigma * self.delta / len(t)
        shrunk: FloatArray = shifted - np.clip(shifted, -threshold, threshold)
        return shrunk
