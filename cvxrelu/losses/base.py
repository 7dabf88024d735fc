"""Interface of losses F(f) = (1/n) sum_j loss(f_j, y_j): values, gradients, conjugates, CVXPY expressions.

Predictions f and targets Y are arrays (n, c), also for c = 1. All losses have the factor 1/n, which the paper (Mishkin,
Sahiner & Pilanci, ICML 2022, arXiv 2202.01331) omits.
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

_RELATIVE_MISS = 2.0**-32
_ORDINARY = 1e100  # largest target, and inverse of the smallest, whose squares are safe in float64
_MIN_EXPONENT, _MAX_EXPONENT = -930, 1000  # binary exponents of F(0), with room for small gaps and for sums


class Loss(ABC):
    """F(f) = (1/n) sum_j loss(f_j, y_j), a smooth convex function of the predictions f (n, c).

    `value` and `gradient` are computed in the precision of their arguments; `conjugate`, `project_domain` and
    `best_scale`, which determine lower bounds, in float64.

    Two features are available only for a class that defines their methods itself, and refused by name otherwise.
    Inherited methods do not count, as a subclass may have changed what they bound or differentiate:

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
    of_labels: ClassVar[bool] = False  # whether targets are class labels, so that the infimum 0 is not attained
    least_outputs: ClassVar[int] = 1  # minimum number of columns of targets
    sums_over_entries: ClassVar[bool] = False  # whether it is a sum of the same term over all entries of f and Y

    @abstractmethod
    def check_targets(self, Y: FloatArray) -> None:
        """Raise an explanatory ValueError if the loss does not accept the targets Y (n, c)."""

    @abstractmethod
    def value(self, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f)."""

    @abstractmethod
    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return grad F(f) (n, c), with its factor 1/n."""

    @abstractmethod
    def bregman(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f + step) - F(f) - <grad F(f), step> >= 0, without cancellation for small steps."""

    @abstractmethod
    def conjugate(self, t: FloatArray, Y: FloatArray) -> float:
        """Return F*(t) = sup_f <t, f> - F(f); infinite outside its domain, a convex set that contains 0."""

    @abstractmethod
    def smoothness(self, n: int) -> float:
        """Return the Lipschitz constant of grad F for n rows, in the Euclidean norm."""

    @abstractmethod
    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the point of the domain of F* nearest to t, (n, c) in float64.

        Its conjugate, and that of any multiple with a factor in [0, 1], must be finite in floating point too.
        """

    def rescaled(self, scale: float) -> Loss | None:
        """Return the loss L with F(f; Y) = scale^2 L(f / scale; Y / scale) for all f and Y; None if there is none.

        The default is None, which holds for classification losses.
        """
        return None

    def resolution(self, Y: FloatArray) -> float:
        """Return the F that float64 cannot distinguish from 0: for relative errors of real targets of 2^-32.

        A prediction is a sum of many products of both signs, each rounded to 2^-53; 21 bits are allowed for their
        number and for cancellation. It is 0 for classification losses.
        """
        return 0.0 if self.rescaled(1.0) is None else self.value((1.0 + _RELATIVE_MISS) * Y, Y)

    def best_scale(self, t: FloatArray, Y: FloatArray, limit: float) -> float:
        """Return a scale in [0, limit] that keeps t in the domain of F*: min(1, limit).

        For the squared loss, whose domain is the whole space, it is the maximiser of -F*(scale * t).
        """
        return min(1.0, float(limit))

    @abstractmethod
    def expression(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return F(f) for an affine CVXPY expression f (n, c); Y may be a cp.Parameter (DPP)."""

    @abstractmethod
    def conjugate_expression(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return F*(t) for an affine CVXPY expression t (n, c), and the constraints that define its domain.

        Y may be a cp.Parameter (DPP). Labels of constraints begin with ``domain``.
        """

    def value_above(self, f: FloatArray, radius: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of F over all predictions within ``radius`` of f, all (n, c) and finite.

        The bound holds in exact arithmetic, in spite of rounding in its computation; see `cvxrelu.numerics.rounding`.
        """
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def into_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return a point near t (n, c) that lies in the domain of F* in exact arithmetic."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def conjugate_above(self, t: FloatArray, Y: FloatArray) -> float:
        """Return an upper bound of F*(t) that holds in exact arithmetic, for a t (n, c) from `into_domain`."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def dual_term(self, Y: FloatArray) -> DualTerm | None:
        """Return F* for the targets Y (n, c) as a term of Newton methods on the dual; None if not supported."""
        return None


class RowLoss(Loss):
    """Base class of losses defined by terms (n, c) or (n, 1), which `cvxrelu.Weighted` can weight by rows."""

    @abstractmethod
    def terms(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the terms of n F(f)."""

    @abstractmethod
    def bregman_terms(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the terms of n times the Bregman distance."""

    @abstractmethod
    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the terms of F*(t), infinite for entries outside the domain."""

    @abstractmethod
    def expression_terms(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return `terms` as a CVXPY expression."""

    @abstractmethod
    def conjugate_expression_terms(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return `conjugate_terms` as a CVXPY expression, and the constraints that define the domain."""

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
        """Return the dual term, defined by terms; None if not supported."""
        return None


@dataclass(frozen=True, eq=False)
class ConjugateDerivatives:
    """Gradient of the dual term at a point, and its inverse Hessian Q, which acts within rows.

    Q v = diagonal * v - coupling * (sum of coupling * v over the row).

    Attributes
    ----------
    gradient : ndarray of shape (n, c)
        The predictions at the point.
    diagonal : ndarray of shape (n, c)
        Diagonal part of Q.
    coupling : ndarray of shape (n, c), or None
        Vectors that couple the outputs; None if Q is diagonal.
    """

    gradient: FloatArray
    diagonal: FloatArray
    coupling: FloatArray | None = None

    @property
    def own(self) -> FloatArray:
        """The diagonal (n, c) of Q: the response of each output to itself, at least 0 in spite of rounding."""
        return self.diagonal if self.coupling is None else np.maximum(self.diagonal - self.coupling**2, 0.0)

    def respond(self, v: FloatArray) -> FloatArray:
        """Return Q v."""
        if self.coupling is None:
            return self.diagonal * v
        response: FloatArray = self.diagonal * v - self.coupling * np.sum(self.coupling * v, axis=1, keepdims=True)
        return response


class DualTerm(ABC):
    """The conjugate F* of a loss for targets Y (n, c) in Newton methods on the dual: derivatives and safe steps.

    If F* is smooth in the interior of its domain (squared, logistic, softmax), the method uses F* itself. Steps are
    damped by entry to stay inside the domain, as a common step length would let a single row stop all others. Huber's
    F* is a quadratic on a box: with F(f) = min_s 1/(2n) ||f - Y - s||^2 + delta/n ||s||_1, s becomes another block of
    the proximal-point method, and the box constraint disappears.
    """

    constant_curvature = False

    def __init__(self, loss: Loss, Y: FloatArray) -> None:
        self.loss = loss
        self.Y = Y

    @abstractmethod
    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return the gradient and inverse Hessian at t (n, c) for the proximal-point parameter sigma."""

    def gradient(self, t: FloatArray, sigma: float) -> FloatArray:
        """Return the gradient at t."""
        return self.rows(t, sigma).gradient

    def damped(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step damped by entry to stay in the domain; short steps are unchanged."""
        return step

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Return the largest step length inside the domain, above 1 for damped steps."""
        return np.inf

    def value(self, t: FloatArray, sigma: float) -> float:
        """Return the term at t, for the proximal-point parameter sigma."""
        return self.loss.conjugate(t, self.Y)

    def bound(self, t: FloatArray, lam: float, largest: float) -> float:
        """Return -F* at the best dual feasible multiple of t, whose dual constraint values are at most ``largest``."""
        limit = min(lam / largest if largest > 0.0 else np.inf, self.largest_multiple(t))
        return -self.loss.conjugate(self.loss.best_scale(t, self.Y, limit) * t, self.Y)

    def moved(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return t + step, in the affine hull of the domain to rounding."""
        return t + step

    def largest_multiple(self, t: FloatArray) -> float:
        """Return the largest factor that keeps the multiple of t in the domain of F*, at least 1 for t in it."""
        return np.inf

    def start(self, f: FloatArray) -> FloatArray:
        """Return a point t inside the domain for the predictions f (n, c), and centre the term there."""
        return self.loss.gradient(f, self.Y)

    @property
    def own_block(self) -> FloatArray | None:
        """The term's own block (n, c), centre of the next proximal-point step: none, except for Huber."""
        return None

    def recentre(self, t: FloatArray, sigma: float) -> None:  # noqa: B027
        """Take the proximal-point step of the term's own block, if it has one."""


class RowTerm(DualTerm):
    """Base class of dual terms defined by terms, which `cvxrelu.Weighted` can weight."""

    loss: RowLoss

    def terms(self, t: FloatArray, sigma: float) -> FloatArray:
        """Return the terms of the value, for the proximal-point parameter sigma."""
        return self.loss.conjugate_terms(t, self.Y)

    def value(self, t: FloatArray, sigma: float) -> float:
        """Return the term at t."""
        return float(np.sum(self.terms(t, sigma)))


def offers_rounded(kind: type[Loss]) -> bool:
    """Return whether a class of losses bounds its rounding errors."""
    return defines(kind, "value_above", "into_domain", "conjugate_above")


def offers_dual_term(kind: type[Loss]) -> bool:
    """Return whether a class of losses defines a term for Newton methods on the dual."""
    return defines(kind, "dual_term")


def dual_term(loss: Loss, Y: FloatArray) -> DualTerm | None:
    """Return the dual term of a loss; None if its class does not define one."""
    return loss.dual_term(Y) if offers_dual_term(type(loss)) else None


# A dual point t = grad F(f), or a projected and scaled one, may exceed the boundary of the domain of F* by the rounding
# of a few products. Its conjugate is then that of t clipped to the domain, which is within the rounding of t itself;
# anything farther out is infeasible.
DOMAIN_SLACK = 4 * EPS


def exp_excess(z: FloatArray) -> FloatArray:
    """Return e^z - 1 - z to full relative accuracy, by its series where the subtraction would cancel."""
    series = 0.5 * z * z * (1 + z / 3 * (1 + z / 4 * (1 + z / 5 * (1 + z / 6 * (1 + z / 7)))))
    # e^z overflows beyond 700: the step is far too long, which the capped value still shows.
    return np.where(np.abs(z) < 0.1, series, np.expm1(np.minimum(z, 700.0)) - z)


def require_range(loss: Loss, Y: FloatArray) -> None:
    """Raise ValueError if the loss of zero predictions, and so any gap, is outside the safe range of float64.

    With targets of 1e-200, for example, the objective of all weights rounds to zero, so all would be "optimal".
    """
    if 1.0 / _ORDINARY <= np.vdot(Y, Y) <= _ORDINARY:
        return
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
    if not (0.0 < value < math.inf and _MIN_EXPONENT <= size <= _MAX_EXPONENT):
        raise ValueError(
            f"y has entries up to {largest:.1e}, for which {loss!r} leaves the range of float64; multiply y, and the "
            "delta of Huber, by a constant"
        )
