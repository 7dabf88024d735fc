"""The logistic loss."""

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
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["Logistic"]


@dataclass(frozen=True)
class Logistic(RowLoss):
    """F(f) = (1/n) sum_jk log(1 + exp(-y_jk f_jk)) with labels y_jk in {-1, +1}.

    F*(t) = (1/n) sum_jk a log a + (1 - a) log(1 - a) with a = -n y_jk t_jk in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> predictions, labels = np.array([[2.0], [0.0]]), np.array([[1.0], [-1.0]])
    >>> round(cr.Logistic().value(predictions, labels), 4)
    0.41
    """

    name: ClassVar[str] = "logistic"
    of_labels: ClassVar[bool] = True
    sums_over_entries: ClassVar[bool] = True

    def check_targets(self, Y: FloatArray) -> None:
        """Raise ValueError unless every entry is -1 or +1."""
        wrong = np.abs(Y) != 1
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            hint = "; convert labels 0/1 by 2 * y - 1" if np.isin(Y, (0, 1)).all() else ""
            raise ValueError(
                f"y must hold labels -1 or +1 for loss 'logistic'; got {Y[row, column]:g} "
                f"in row {row}, column {column}{hint}"
            )

    def terms(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return log(1 + exp(-y_jk f_jk))."""
        terms: FloatArray = np.logaddexp(0, -Y * f)
        return terms

    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return -y_jk / (n (1 + exp(y_jk f_jk)))."""
        gradient: FloatArray = -Y * scipy.special.expit(-Y * f) / len(Y)
        return gradient

    def bregman_terms(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return log(1 + E[phi(z)]), phi(z) = e^z - 1 - z, with z the centred steps of the two classes."""
        p, q = scipy.special.expit(f), scipy.special.expit(-f)  # 1 - p would cancel
        terms: FloatArray = np.log1p(p * exp_excess(q * step) + q * exp_excess(-p * step))
        return terms

    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return (a log a + (1 - a) log(1 - a)) / n, a = -n Y t; infinite unless a is in [0, 1]."""
        a = -len(Y) * Y * as_float64(t)
        outside = (a < -DOMAIN_SLACK) | (a > 1 + DOMAIN_SLACK)
        a = np.clip(a, 0.0, 1.0)
        return np.where(outside, np.inf, (scipy.special.xlogy(a, a) + scipy.special.xlog1py(1 - a, -a)) / len(Y))

    def smoothness(self, n: int) -> float:
        """Return 1/(4n)."""
        return 0.25 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t with every a = -n Y t clipped to [0, 1]."""
        return -Y * np.clip(-len(Y) * Y * as_float64(t), 0.0, 1.0) / len(Y)

    def expression_terms(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return log(1 + exp(-y_jk f_jk))."""
        return cp.logistic(-cp.multiply(Y, f))

    def conjugate_expression_terms(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return (a log a + (1 - a) log(1 - a)) / n, a = -n Y t, and 0 <= a <= 1."""
        n = t.shape[0]
        a = -n * cp.multiply(Y, t)
        domain = [(a >= 0).set_label("domain_lower"), (a <= 1).set_label("domain_upper")]
        return -(cp.entr(a) + cp.entr(1 - a)) / n, domain

    def value_above(self, f: FloatArray, radius: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of F(f), which decreases with the exact products y_jk f_jk."""
        margins = np.nextafter((radius - Y * f).reshape(-1, 1), np.inf)
        return math.nextafter(log_sum_exp_above(margins) / len(Y), math.inf)

    def into_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t with -y_jk t_jk clipped to [0, b], n b <= 1."""
        bound = math.nextafter(1.0 / len(Y), 0.0)  # the quotient has an error of at most half an ulp
        return -Y * np.clip(-Y * t, 0.0, bound)

    def conjugate_above(self, t: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of the negative entropy."""
        return math.nextafter(entropy_above(np.abs(t).reshape(-1, 1), len(Y)) / len(Y), math.inf)

    def dual_term(self, Y: FloatArray) -> RowTerm:
        """Return F*, the negative entropy of the two classes."""
        return _LogisticTerm(self, Y)


class _LogisticTerm(RowTerm):
    """(1/n) sum a log a + (1 - a) log(1 - a), a = -n Y t in (0, 1)."""

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return -Y logit(a) and a (1 - a) / n."""
        a = np.clip(-len(t) * self.Y * t, MIN_PROBABILITY, 1.0 - MIN_LABEL_PROBABILITY)
        return ConjugateDerivatives(-self.Y * scipy.special.logit(a), a * (1.0 - a) / len(t))

    def damped(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step damped by entry to keep a inside (0, 1)."""
        a, change = -len(t) * self.Y * t, -len(t) * self.Y * step
        distance = np.where(change < 0.0, np.maximum(a, MIN_PROBABILITY), np.maximum(1.0 - a, MIN_LABEL_PROBABILITY))
        damped: FloatArray = step * damping(distance, np.abs(change))
        return damped

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Return the largest step length with a inside (0, 1)."""
        a, change = -len(t) * self.Y * t, -len(t) * self.Y * step
        return TO_BOUNDARY * min(step_to_boundary(a, change), step_to_boundary(1.0 - a, -change))

    def start(self, f: FloatArray) -> FloatArray:
        """Return the gradient at f, kept off the boundary."""
        n = len(f)
        a = -n * self.Y * self.loss.gradient(f, self.Y)
        t: FloatArray = -self.Y * np.clip(a, 1e-12, 1.0 - 1e-12) / n
        return t
