"""The softmax cross-entropy loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from cvxrelu._validation import FloatArray, as_float64
from cvxrelu.losses.base import DOMAIN_SLACK, ConjugateDerivatives, RowLoss, RowTerm, exp_excess
from cvxrelu.losses.dual_steps import damping, step_to_boundary
from cvxrelu.numerics.boundary import MIN_LABEL_PROBABILITY, MIN_PROBABILITY, TO_BOUNDARY
from cvxrelu.numerics.enclosures import entropy_above, log_sum_exp_above
from cvxrelu.numerics.rounding import EPS, above
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["SoftmaxCrossEntropy"]


@dataclass(frozen=True)
class SoftmaxCrossEntropy(RowLoss):
    """F(f) = (1/n) sum_j log(sum_k exp(f_jk)) - <y_j, f_j> with one-hot rows y_j, c >= 2.

    F*(t) = (1/n) sum_jk p log p with p = n t + Y, if each row of p is in the simplex.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> predictions, labels = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    >>> round(cr.SoftmaxCrossEntropy().value(predictions, labels), 4)
    0.3133
    """

    name: ClassVar[str] = "softmax"
    of_labels: ClassVar[bool] = True
    least_outputs: ClassVar[int] = 2

    def check_targets(self, Y: FloatArray) -> None:
        """Raise ValueError unless Y has at least two columns and one-hot rows."""
        accepts = "y must hold one-hot rows, one column for each of two or more classes, for loss 'softmax'"
        if Y.shape[1] < self.least_outputs:
            raise ValueError(f"{accepts}; got shape {Y.shape} (labels 0..c-1 become one-hot by np.eye(c)[y])")
        wrong = ~np.isin(Y, (0, 1)).all(axis=1) | (Y.sum(axis=1) != 1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{accepts}; got {Y[row].tolist()} in row {row}")

    def terms(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return log(sum_k exp(f_jk)) - <y_j, f_j> (n, 1)."""
        # Shift before the logarithm: subtracting afterwards would cancel for a small loss.
        margins = f - np.sum(Y * f, axis=1, keepdims=True)
        terms: FloatArray = scipy.special.logsumexp(margins, axis=1, keepdims=True)
        return terms

    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return (softmax(f_j) - y_j) / n in each row."""
        gradient: FloatArray = (scipy.special.softmax(f, axis=1) - Y) / len(Y)
        return gradient

    def bregman_terms(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return log(1 + E_p[phi(z)]) (n, 1), phi(z) = e^z - 1 - z, z = step - E_p[step], p = softmax(f)."""
        p = scipy.special.softmax(f, axis=1)
        centred = step - np.sum(p * step, axis=1, keepdims=True)
        terms: FloatArray = np.log1p(np.sum(p * exp_excess(centred), axis=1, keepdims=True))
        return terms

    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return p log p / n, p = n t + Y; infinite for rows of p outside the simplex."""
        p = len(Y) * as_float64(t) + Y
        slack = p.shape[1] * DOMAIN_SLACK  # for a sum of c entries
        outside = np.any(p < -DOMAIN_SLACK, axis=1) | (np.abs(p.sum(axis=1) - 1) > slack)
        p = np.clip(p, 0.0, 1.0)
        return np.where(outside[:, None], np.inf, scipy.special.xlogy(p, p) / len(Y))

    def smoothness(self, n: int) -> float:
        """Return 1/(2n): diag(p) - p p' has no eigenvalue above 1/2."""
        return 0.5 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t with every row of p = n t + Y projected onto the simplex."""
        return (_project_simplex(len(Y) * as_float64(t) + Y) - Y) / len(Y)

    def expression_terms(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return log(sum_k exp(f_jk)) - <y_j, f_j> (n, 1)."""
        return cp.log_sum_exp(f, axis=1, keepdims=True) - cp.sum(cp.multiply(Y, f), axis=1, keepdims=True)

    def conjugate_expression_terms(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return p log p / n, p = n t + Y, and p >= 0 with row sums 1."""
        n = t.shape[0]
        p = n * t + Y
        domain = [(p >= 0).set_label("domain_nonnegative"), (cp.sum(p, axis=1) == 1).set_label("domain_sum")]
        return -cp.entr(p) / n, domain

    def value_above(self, f: FloatArray, radius: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of F(f), which increases with the margins f_jk - <y_j, f_j> of the other classes."""
        margins = f - np.sum(Y * f, axis=1, keepdims=True)  # Y is one-hot: the sum is exact
        label_radius = np.sum(Y * radius, axis=1, keepdims=True)
        others = _others(margins + above(radius + label_radius + EPS * np.abs(margins), 3), Y)
        return math.nextafter(log_sum_exp_above(np.nextafter(others, np.inf)) / len(Y), math.inf)

    def into_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return non-negative t of the other classes, scaled to sums below 1/n, and minus the sums for the label."""
        bound = math.nextafter(1.0 / len(Y), 0.0)  # n * bound <= 1: the quotient has an error of at most half an ulp
        c = Y.shape[1]
        entries = np.where(Y == 1.0, 0.0, np.maximum(t, 0.0))
        totals = np.sum(entries, axis=1, keepdims=True)
        entries = entries * np.minimum(1.0, (1.0 - (c + 8) * EPS) * bound / np.maximum(totals, bound / 2))
        # Multiples of a power of 2 whose 2^52-fold exceeds their sum: all sums are exact.
        exponents = np.frexp(c * entries.max(axis=1, keepdims=True))[1] + 1
        unit = np.ldexp(1.0, np.maximum(exponents - 52, -1074))
        entries = np.floor(entries / unit) * unit
        point: FloatArray = np.where(Y == 1.0, -np.sum(entries, axis=1, keepdims=True), entries)
        return point

    def conjugate_above(self, t: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of the negative entropy."""
        return math.nextafter(entropy_above(_others(t, Y), len(Y)) / len(Y), math.inf)

    def dual_term(self, Y: FloatArray) -> RowTerm:
        """Return F*, the negative entropy of the classes."""
        return _SoftmaxTerm(self, Y)


class _SoftmaxTerm(RowTerm):
    """(1/n) sum p log p, p = n t + Y in the open simplex; gradients are unique up to a constant in each row."""

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return log p and Q = (diag(p) - p p') / n in each row."""
        n = len(t)
        p = self._probabilities(t)
        return ConjugateDerivatives(np.log(p), p / n, p / np.sqrt(n))

    def damped(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step damped by entry to keep p positive, with row sums of zero."""
        n = len(t)
        p, change = self._probabilities(t), n * step
        moved = p + change * damping(p, np.maximum(-change, 0.0))
        damped: FloatArray = (moved / moved.sum(axis=1, keepdims=True) - p) / n
        return damped

    def _probabilities(self, t: FloatArray) -> FloatArray:
        p: FloatArray = np.maximum(len(t) * t + self.Y, np.where(self.Y > 0.0, MIN_LABEL_PROBABILITY, MIN_PROBABILITY))
        return p

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Return the largest step length with p positive."""
        return TO_BOUNDARY * step_to_boundary(len(t) * t + self.Y, len(t) * step)

    def moved(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return t + step with its row sums corrected."""
        n = len(t)
        p = n * (t + step) + self.Y
        moved: FloatArray = (p / p.sum(axis=1, keepdims=True) - self.Y) / n
        return moved

    def start(self, f: FloatArray) -> FloatArray:
        """Return the gradient at f, kept off the boundary."""
        n = len(f)
        p = np.maximum(n * self.loss.gradient(f, self.Y) + self.Y, 1e-12)
        t: FloatArray = (p / p.sum(axis=1, keepdims=True) - self.Y) / n
        return t


def _others(values: FloatArray, Y: FloatArray) -> FloatArray:
    """Return the entries (n, c - 1) of the classes other than the label, for one-hot rows Y (n, c)."""
    others: FloatArray = values[Y == 0.0].reshape(len(Y), -1)
    return others


def _project_simplex(rows: FloatArray) -> FloatArray:
    """Project each row onto {p >= 0, sum p = 1} by sorting: p = (v - theta)_+."""
    shifted = rows - rows.max(axis=1, keepdims=True)  # same projection, with smaller entries
    descending = -np.sort(-shifted, axis=1)
    thetas = (np.cumsum(descending, axis=1) - 1) / np.arange(1, rows.shape[1] + 1)
    support = np.count_nonzero(descending > thetas, axis=1)
    p: FloatArray = np.maximum(shifted - np.take_along_axis(thetas, support[:, None] - 1, axis=1), 0.0)
    p /= p.sum(axis=1, keepdims=True)  # removes the rounding of theta from the row sums
    return p
