"""The interface of losses F(f) = (1/n) sum_j loss(f_j, y_j): values, gradients, conjugates, CVXPY expressions.

Predictions f and targets Y are arrays (n, c), also for c = 1. The paper (Mishkin, Sahiner & Pilanci, ICML 2022, arXiv
2202.01331) writes its losses without the factor 1/n; here every one has it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["Loss", "RowLoss"]

_SAME = 2.0**-32


class Loss(ABC):
    """F(f) = (1/n) sum_j loss(f_j, y_j), a smooth convex function of the predictions f (n, c).

    `value` and `gradient` are computed in the precision of their arguments; `conjugate`, `project_domain`
    and `best_scale`, from which lower bounds come, in float64.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> f, Y, classes = np.array([[2.0, -2.0]]), np.array([[1.0, -1.0]]), np.array([[0.0, 1.0]])
    >>> losses = (cr.Squared(), Y), (cr.Huber(delta=0.5), Y), (cr.Logistic(), Y), (cr.SoftmaxCrossEntropy(), classes)
    >>> [round(loss.value(f, y), 4) for loss, y in losses]
    [1.0, 0.75, 0.2539, 4.0181]
    """

    name: ClassVar[str]
    of_labels: ClassVar[bool] = False  # whether targets are classes, and the infimum 0 is not attained
    sums_over_entries: ClassVar[bool] = False  # whether it is a sum over the entries of f: Hessians are diagonal

    @abstractmethod
    def check_targets(self, Y: FloatArray) -> None:
        """Raise a ValueError that says what is wrong if the loss does not accept the targets Y (n, c)."""

    @abstractmethod
    def value(self, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f)."""

    @abstractmethod
    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return grad F(f) (n, c), with its factor 1/n."""

    @abstractmethod
    def bregman(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f + step) - F(f) - <grad F(f), step> >= 0, with no cancellation for small steps."""

    @abstractmethod
    def conjugate(self, t: FloatArray, Y: FloatArray) -> float:
        """Return F*(t) = sup_f <t, f> - F(f); infinite outside its domain, a convex set that contains 0."""

    @abstractmethod
    def smoothness(self, n: int) -> float:
        """Return the Lipschitz constant of grad F for n rows, in the Euclidean norm."""

    @abstractmethod
    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the point of the domain of F* nearest to t, (n, c) in float64.

        Its conjugate is finite in floating point too, and so is that of any shrinking of it towards 0.
        """

    def rescaled(self, scale: float) -> Loss | None:
        """Return the loss L with F(f; Y) = scale^2 L(f / scale; Y / scale) for every f, Y; None where there is none.

        Losses of labels have none, and by default those of the user's own.
        """
        return None

    def resolution(self, Y: FloatArray) -> float:
        """Return what float64 cannot tell from 0 of F: that of predictions that miss real targets by 2^-32 of each.

        A prediction is a sum of many products of both signs, each rounded to 2^-53: 21 bits are allowed for their
        number and for what cancels. Losses of labels have no such value; it is 0.
        """
        return 0.0 if self.rescaled(1.0) is None else self.value((1.0 + _SAME) * Y, Y)

    def best_scale(self, t: FloatArray, Y: FloatArray, limit: float) -> float:
        """Return a scale in [0, limit] that keeps t in the domain of F*: min(1, limit).

        The squared loss has no domain to leave and returns the maximiser of -F*(scale * t) instead.
        """
        return min(1.0, float(limit))

    @abstractmethod
    def expression(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return F(f) for an affine CVXPY expression f (n, c); Y may be a cp.Parameter (DPP)."""

    @abstractmethod
    def conjugate_expression(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return F*(t) for an affine CVXPY expression t (n, c), and the constraints that are its domain.

        Y may be a cp.Parameter (DPP). The labels of the constraints begin with ``domain``.
        """


class RowLoss(Loss):
    """A loss told term by term, (n, c) or (n, 1), so that `cvxrelu.Weighted` can give each row its own weight."""

    @abstractmethod
    def terms(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the terms of n F(f)."""

    @abstractmethod
    def bregman_terms(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the terms of n times the Bregman distance."""

    @abstractmethod
    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the terms of F*(t), infinite where t is outside the domain."""

    @abstractmethod
    def expression_terms(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return `terms` for CVXPY."""

    @abstractmethod
    def conjugate_expression_terms(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return `conjugate_terms` for CVXPY, and the constraints that are the domain."""

    def value(self, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f)."""
        return float(np.sum(self.terms(f, Y))) / len(Y)

    def bregman(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f + step) - F(f) - <grad F(f), step>."""
        return float(np.sum(self.bregman_terms(step, f, Y))) / len(Y)

    def conjugate(self, t: FloatArray, Y: FloatArray) -> float:
        """Return F*(t)."""
        return float(np.sum(self.conjugate_terms(t, Y)))

    def expression(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return F(f)."""
        return cp.sum(self.expression_terms(f, Y)) / f.shape[0]

    def conjugate_expression(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return F*(t) and its domain."""
        terms, domain = self.conjugate_expression_terms(t, Y)
        return cp.sum(terms), domain


# A dual point t = grad F(f), or a projected and shrunk one, misses the boundary of the domain of F* by the
# rounding of the few products that made it. Its conjugate is that of the point clipped into the domain,
# which is as close to t as t is to its own exact value; anything farther out is infeasible.
DOMAIN_SLACK = 4 * float(np.finfo(np.float64).eps)


def exp_excess(z: FloatArray) -> FloatArray:
    """Return e^z - 1 - z, exact to relative rounding: by its series where the subtraction would cancel."""
    series = 0.5 * z * z * (1 + z / 3 * (1 + z / 4 * (1 + z / 5 * (1 + z / 6 * (1 + z / 7)))))
    # Beyond 700 e^z overflows: the step is far too long, and the cap is large enough to say so.
    return np.where(np.abs(z) < 0.1, series, np.expm1(np.minimum(z, 700.0)) - z)
