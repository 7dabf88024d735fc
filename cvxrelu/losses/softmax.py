"""The softmax cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from cvxrelu._validation import FloatArray, as_float64
from cvxrelu.losses.base import DOMAIN_SLACK, RowLoss, exp_excess
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["SoftmaxCrossEntropy"]


@dataclass(frozen=True)
class SoftmaxCrossEntropy(RowLoss):
    """F(f) = (1/n) sum_j log(sum_k exp(f_jk)) - <y_j, f_j> with one-hot rows y_j, c >= 2.

    F*(t) = (1/n) sum_jk p log p with p = n t + Y, each row of which is in the simplex.
    """

    name: ClassVar[str] = "softmax"
    of_labels: ClassVar[bool] = True

    def check_targets(self, Y: FloatArray) -> None:
        """Raise ValueError unless Y has two columns or more and one-hot rows."""
        accepts = "y must hold one-hot rows, one column for each of two or more classes, for loss 'softmax'"
        if Y.shape[1] < 2:
            raise ValueError(f"{accepts}; got shape {Y.shape} (labels 0..c-1 become one-hot by np.eye(c)[y])")
        wrong = ~np.isin(Y, (0, 1)).all(axis=1) | (Y.sum(axis=1) != 1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{accepts}; got {Y[row].tolist()} in row {row}")

    def terms(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return log(sum_k exp(f_jk)) - <y_j, f_j> (n, 1)."""
        # Shifted before the logarithm: subtracting after it would cancel where the loss is small.
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
        """Return p log p / n, p = n t + Y; infinite in rows of p that are not in the simplex."""
        p = len(Y) * as_float64(t) + Y
        slack = p.shape[1] * DOMAIN_SLACK  # of a sum of c entries
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


def _project_simplex(rows: FloatArray) -> FloatArray:
    """Project each row onto {p >= 0, sum p = 1} by sorting: p = (v - theta)_+."""
    shifted = rows - rows.max(axis=1, keepdims=True)  # same projection; the entries that survive are small
    descending = -np.sort(-shifted, axis=1)
    thetas = (np.cumsum(descending, axis=1) - 1) / np.arange(1, rows.shape[1] + 1)
    support = np.count_nonzero(descending > thetas, axis=1)
    p: FloatArray = np.maximum(shifted - np.take_along_axis(thetas, support[:, None] - 1, axis=1), 0.0)
    p /= p.sum(axis=1, keepdims=True)  # theta's rounding must not show in the row sums
    return p
