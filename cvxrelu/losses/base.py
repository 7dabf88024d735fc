"""The interface of losses F(f) = (1/n) sum_j loss(f_j, y_j): values, gradients, conjugates, CVXPY expressions.

Predictions f and targets Y are arrays (n, c), also for c = 1. The paper (Mishkin, Sahiner & Pilanci, ICML 2022, arXiv
2202.01331) writes its losses without the factor 1/n; here every one has it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvxrelu._validation import FloatArray, defines
from cvxrelu.numerics.rounding import EPS
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["Loss", "RowLoss"]

_SAME = 2.0**-32
_ORDINARY = 1e100  # targets between its reciprocal and itself: their squares are far from the ends of float64
_LEAST_EXPONENT, _MOST_EXPONENT = -930, 1000  # of two, of the loss of zero: room for gaps below, for sums above


class Loss(ABC):
    """F(f) = (1/n) sum_j loss(f_j, y_j), a smooth convex function of the predictions f (n, c).

    `value` and `gradient` are computed in the precision of their arguments; `conjugate`, `project_domain`
    and `best_scale`, from which lower bounds come, in float64.

    Two things are offered by a class that defines the methods for them itself, and otherwise refused by name; methods
    that a subclass inherits do not count, since it may have changed what they bound or differentiate:

    - rigor "rounded", by `value_above`, `into_domain` and `conjugate_above`;
    - the solver WorkingSet, by `dual_term`.

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
    least_outputs: ClassVar[int] = 1  # columns that targets must have
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

    def value_above(self, f: FloatArray, radius: FloatArray, Y: FloatArray) -> float:
        """Return a number that F is at most at any prediction within ``radius`` of f, all (n, c) and finite.

        It holds in exact arithmetic, whatever rounding does here: see `cvxrelu.numerics.rounding` for the tools.
        """
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def into_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return a point near t (n, c) that is in the domain of F* in exact arithmetic."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def conjugate_above(self, t: FloatArray, Y: FloatArray) -> float:
        """Return a number that F*(t) is at most in exact arithmetic, for a t (n, c) from `into_domain`."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def dual_term(self, Y: FloatArray) -> DualTerm | None:
        """Return F* for the targets Y (n, c) as a Newton method on the dual sees it; None where that is not offered."""
        return None


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

    def dual_term(self, Y: FloatArray) -> RowTerm | None:
        """Return the dual term, told term by term; None where that is not offered."""
        return None


@dataclass(frozen=True, eq=False)
class ConjugateDerivatives:
    """Gradient of the dual term at a point, and its inverse Hessian Q, which acts within rows.

    Q v = diagonal * v - coupling * (sum of coupling * v over the row).

    Attributes
    ----------
    gradient : ndarray of shape (n, c)
        The predictions that belong to the point.
    diagonal : ndarray of shape (n, c)
        Diagonal part of Q.
    coupling : ndarray of shape (n, c), or None
        What couples the outputs; None where Q is diagonal.
    """

    gradient: FloatArray
    diagonal: FloatArray
    coupling: FloatArray | None = None

    def respond(self, v: FloatArray) -> FloatArray:
        """Return Q v."""
        if self.coupling is None:
            return self.diagonal * v
        response: FloatArray = self.diagonal * v - self.coupling * np.sum(self.coupling * v, axis=1, keepdims=True)
        return response


class DualTerm(ABC):
    """The conjugate F* of a loss for one Y (n, c) as a Newton method on the dual sees it: derivatives, and safe steps.

    Where F* is smooth inside its domain (squared, logistic, softmax) the method works on F* itself, and steps are bent
    to stay inside: were they cut short where the first entry meets the boundary, one row would hold up all the others.
    Huber's F* is a quadratic on a box; there F(f) = min_s 1/(2n) ||f - Y - s||^2 + delta/n ||s||_1 makes s one more
    block of the proximal-point method, and the box goes away.
    """

    constant_curvature = False

    def __init__(self, loss: Loss, Y: FloatArray) -> None:
        self.loss = loss
        self.Y = Y

    @abstractmethod
    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return gradient and inverse Hessian at t (n, c) for the proximal-point parameter sigma."""

    def gradient(self, t: FloatArray, sigma: float) -> FloatArray:
        """Return the gradient at t."""
        return self.rows(t, sigma).gradient

    def bent(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step that agrees with the given one where that is short, and never leaves the domain."""
        return step

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Return how much of the step may be taken inside the domain: more than all of one that was bent."""
        return np.inf

    def value(self, t: FloatArray, sigma: float) -> float:
        """Return the term at t, for the proximal-point parameter sigma."""
        return self.loss.conjugate(t, self.Y)

    def bound(self, t: FloatArray, lam: float, largest: float) -> float:
        """Return -F* at the best dual feasible multiple of a t with dual constraint values of at most ``largest``."""
        limit = min(lam / largest if largest > 0.0 else np.inf, self.largest_multiple(t))
        return -self.loss.conjugate(self.loss.best_scale(t, self.Y, limit) * t, self.Y)

    def moved(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return t + step, on the domain's affine hull to rounding."""
        return t + step

    def largest_multiple(self, t: FloatArray) -> float:
        """Return the largest multiple of t that is in the domain of F*, at least 1 where t is inside."""
        return np.inf

    def start(self, f: FloatArray) -> FloatArray:
        """Return a point t for the predictions f (n, c), inside the domain, and centre the term there."""
        return self.loss.gradient(f, self.Y)

    def recentre(self, t: FloatArray, sigma: float) -> None:  # noqa: B027
        """Take the proximal-point step of what the term itself holds: nothing, but for Huber's."""


class RowTerm(DualTerm):
    """The dual term of a loss told term by term, which `cvxrelu.Weighted` can weight."""

    loss: RowLoss

    def terms(self, t: FloatArray, sigma: float) -> FloatArray:
        """Return the terms of the value, for the proximal-point parameter sigma."""
        return self.loss.conjugate_terms(t, self.Y)

    def value(self, t: FloatArray, sigma: float) -> float:
        """Return the term at t."""
        return float(np.sum(self.terms(t, sigma)))


def offers_rounded(kind: type[Loss]) -> bool:
    """Return whether a loss bounds its rounding errors."""
    return defines(kind, "value_above", "into_domain", "conjugate_above")


def offers_dual_term(kind: type[Loss]) -> bool:
    """Return whether a loss has a term for Newton methods on the dual."""
    return defines(kind, "dual_term")


def dual_term(loss: Loss, Y: FloatArray) -> DualTerm | None:
    """Return the dual term of a loss, if its class offers one."""
    return loss.dual_term(Y) if offers_dual_term(type(loss)) else None


# A dual point t = grad F(f), or a projected and shrunk one, misses the boundary of the domain of F* by the
# rounding of the few products that made it. Its conjugate is that of the point clipped into the domain,
# which is as close to t as t is to its own exact value; anything farther out is infeasible.
DOMAIN_SLACK = 4 * EPS


def exp_excess(z: FloatArray) -> FloatArray:
    """Return e^z - 1 - z, exact to relative rounding: by its series where the subtraction would cancel."""
    series = 0.5 * z * z * (1 + z / 3 * (1 + z / 4 * (1 + z / 5 * (1 + z / 6 * (1 + z / 7)))))
    # Beyond 700 e^z overflows: the step is far too long, and the cap is large enough to say so.
    return np.where(np.abs(z) < 0.1, series, np.expm1(np.minimum(z, 700.0)) - z)


def require_range(loss: Loss, Y: FloatArray) -> None:
    """Raise ValueError if the loss of zero predictions, and with it any gap, leaves the range of float64.

    The objective of targets of 1e-200 rounds to zero, whatever the weights: it would be "optimal" for all of them.
    """
    largest = float(np.abs(Y).max())
    if largest == 0.0 or 1.0 / _ORDINARY <= largest <= _ORDINARY:
        return
    exponent = math.frexp(largest)[1] - 1
    ordinary = loss.rescaled(math.ldexp(1.0, exponent))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if ordinary is None:
            value, exponent = loss.value(np.zeros(Y.shape), Y), 0
        else:
            value = ordinary.value(np.zeros(Y.shape), np.ldexp(Y, -exponent))
    size = math.frexp(value)[1] + 2 * exponent
    if not (0.0 < value < math.inf and _LEAST_EXPONENT <= size <= _MOST_EXPONENT):
        raise ValueError(
            f"y has entries up to {largest:.1e}: their loss, {loss!r}, leaves the range of float64; multiply y, and a "
            "delta of Huber's, by a number that makes them ordinary"
        )
