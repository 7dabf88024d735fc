"""The conjugate F* as a Newton method on the dual sees it: gradient, inverse Hessian, and how far a step may go.

Where F* is smooth inside its domain (squared, logistic, softmax) the method works on F* itself, and steps are bent to
stay inside: were they cut short where the first entry meets the boundary, one row would hold up all the others. Huber's
F* is a quadratic on a box; there F(f) = min_s 1/(2n) ||f - Y - s||^2 + delta/n ||s||_1 makes s one more block of the
proximal-point method, and the box goes away.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from cvxrelu.losses.squared import Squared
from cvxrelu.losses.weighted import Weighted

_INSIDE = 0.9
_SHORTENINGS, _SHORTER = 20, 0.25
# What takes the place of a zero, where t has rounded to the boundary: t holds probabilities that are near 0 to their
# own rounding where the label's own class is not meant, else to that of 1.
_TINY, _ROUNDED = 1e-300, 2.0**-53


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
    """F* for one loss and one Y (n, c)."""

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


class SquaredTerm(DualTerm):
    """n/2 ||t||^2 + <t, Y>."""

    constant_curvature = True

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return n t + Y and 1/n."""
        n = len(t)
        return ConjugateDerivatives(n * t + self.Y, np.full(t.shape, 1.0 / n))


class HuberTerm(DualTerm):
    """The squared term with a block s (n, c) under delta/n ||.||_1: s+ = soft(s + sigma t, sigma delta / n)."""

    def __init__(self, loss: Huber, Y: FloatArray) -> None:
        super().__init__(loss, Y)
        self.delta = loss.delta
        self.centre: FloatArray = np.zeros_like(Y)

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return n t + Y + s+, and 1/(n + sigma) where s+ is not zero, 1/n where it is."""
        n = len(t)
        s = self._prox(t, sigma)
        return ConjugateDerivatives(n * t + self.Y + s, 1.0 / (n + sigma * (s != 0.0)))

    def value(self, t: FloatArray, sigma: float) -> float:
        """Return n/2 ||t||^2 + <t, Y> + ||s+||^2 / (2 sigma)."""
        return float(np.sum(self.terms(t, sigma)))

    def terms(self, t: FloatArray, sigma: float) -> FloatArray:
        """Return the summands of the value (n, c)."""
        s = self._prox(t, sigma)
        terms: FloatArray = t * (0.5 * len(t) * t + self.Y) + s * s / (2.0 * sigma)
        return terms

    def start(self, f: FloatArray) -> FloatArray:
        """Return the gradient at f and keep the part of the residual beyond delta."""
        residual = f - self.Y
        self.centre = residual - np.clip(residual, -self.delta, self.delta)
        return self.loss.gradient(f, self.Y)

    def largest_multiple(self, t: FloatArray) -> float:
        """Return what brings the largest entry of t into the box."""
        largest = float(np.abs(t).max())
        return self.delta / (len(t) * largest) if largest > 0.0 else np.inf

    def recentre(self, t: FloatArray, sigma: float) -> None:
        """Set s to s+."""
        self.centre = self._prox(t, sigma)

    def _prox(self, t: FloatArray, sigma: float) -> FloatArray:
        moved = self.centre + sigma * t
        threshold = sigma * self.delta / len(t)
        shrunk: FloatArray = moved - np.clip(moved, -threshold, threshold)
        return shrunk


class LogisticTerm(DualTerm):
    """(1/n) sum a log a + (1 - a) log(1 - a), a = -n Y t in (0, 1)."""

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return -Y logit(a) and a (1 - a) / n."""
        a = np.clip(-len(t) * self.Y * t, _TINY, 1.0 - _ROUNDED)
        return ConjugateDerivatives(-self.Y * scipy.special.logit(a), a * (1.0 - a) / len(t))

    def bent(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step that leaves some of a, or of 1 - a, where it would take all."""
        a, change = -len(t) * self.Y * t, -len(t) * self.Y * step
        left = np.where(change < 0.0, np.maximum(a, _TINY), np.maximum(1.0 - a, _ROUNDED))
        bent: FloatArray = step * _share_taken(left, np.abs(change))
        return bent

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Keep a inside (0, 1)."""
        a, change = -len(t) * self.Y * t, -len(t) * self.Y * step
        return _INSIDE * min(_until_zero(a, change), _until_zero(1.0 - a, -change))

    def start(self, f: FloatArray) -> FloatArray:
        """Return the gradient at f, moved off the boundary where it has rounded to it."""
        n = len(f)
        a = -n * self.Y * self.loss.gradient(f, self.Y)
        t: FloatArray = -self.Y * np.clip(a, 1e-12, 1.0 - 1e-12) / n
        return t


class SoftmaxTerm(DualTerm):
    """(1/n) sum p log p, p = n t + Y in the open simplex; gradients are unique up to a constant in each row."""

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return log p and Q = (diag(p) - p p') / n in each row."""
        n = len(t)
        p = self._probabilities(t)
        return ConjugateDerivatives(np.log(p), p / n, p / np.sqrt(n))

    def bent(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step that leaves some of each p where it would take all, with row sums of zero."""
        n = len(t)
        p, change = self._probabilities(t), n * step
        moved = p + change * _share_taken(p, np.maximum(-change, 0.0))
        bent: FloatArray = (moved / moved.sum(axis=1, keepdims=True) - p) / n
        return bent

    def _probabilities(self, t: FloatArray) -> FloatArray:
        p: FloatArray = np.maximum(len(t) * t + self.Y, np.where(self.Y > 0.0, _ROUNDED, _TINY))
        return p

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Keep p positive."""
        return _INSIDE * _until_zero(len(t) * t + self.Y, len(t) * step)

    def moved(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return t + step with row sums that do not drift."""
        n = len(t)
        p = n * (t + step) + self.Y
        moved: FloatArray = (p / p.sum(axis=1, keepdims=True) - self.Y) / n
        return moved

    def start(self, f: FloatArray) -> FloatArray:
        """Return the gradient at f, moved off the boundary where it has rounded to it."""
        n = len(f)
        p = np.maximum(n * self.loss.gradient(f, self.Y) + self.Y, 1e-12)
        t: FloatArray = (p / p.sum(axis=1, keepdims=True) - self.Y) / n
        return t


class WeightedTerm(DualTerm):
    """sum_j w_j g(t_j / w_j) for the term g of a loss without weights; Huber's block s is weighted alike."""

    def __init__(self, loss: Weighted, Y: FloatArray) -> None:
        super().__init__(loss, Y)
        self._w = loss.weights[:, None]
        self._term = dual_term(loss.loss, Y)

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return the gradient of g, and its inverse Hessian times w."""
        rows = self._term.rows(t / self._w, sigma)
        coupling = None if rows.coupling is None else np.sqrt(self._w) * rows.coupling
        return ConjugateDerivatives(rows.gradient, self._w * rows.diagonal, coupling)

    def bent(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step that never leaves the domain."""
        return self._w * self._term.bent(t / self._w, step / self._w)

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Return how much of the step may be taken inside the domain: more than all of one that was bent."""
        return self._term.longest_step(t / self._w, step / self._w)

    def value(self, t: FloatArray, sigma: float) -> float:
        """Return the term at t, for the proximal-point parameter sigma."""
        if isinstance(self._term, HuberTerm):
            return float(np.sum(self._w * self._term.terms(t / self._w, sigma)))
        return self.loss.conjugate(t, self.Y)

    def moved(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return t + step, on the domain's affine hull to rounding."""
        return self._w * self._term.moved(t / self._w, step / self._w)

    def largest_multiple(self, t: FloatArray) -> float:
        """Return the largest multiple of t that is in the domain of F*, at least 1 where t is inside."""
        return self._term.largest_multiple(t / self._w)

    def start(self, f: FloatArray) -> FloatArray:
        """Return a point t for the predictions f (n, c), inside the domain, and centre g there."""
        return self._w * self._term.start(f)

    def recentre(self, t: FloatArray, sigma: float) -> None:
        """Recentre g."""
        self._term.recentre(t / self._w, sigma)


_TERMS: dict[type[Loss], type[DualTerm]] = {
    Squared: SquaredTerm,
    Huber: HuberTerm,
    Logistic: LogisticTerm,
    SoftmaxCrossEntropy: SoftmaxTerm,
}


LOSSES = tuple(_TERMS)
SEPARABLE_LOSSES = tuple(loss for loss in LOSSES if loss.sums_over_entries)


def dual_term(loss: Loss, Y: FloatArray) -> DualTerm:
    """Return the dual term of a loss of the package, weighted or not."""
    return WeightedTerm(loss, Y) if isinstance(loss, Weighted) else _TERMS[type(loss)](loss, Y)


def downhill(term: DualTerm, t: FloatArray, step: FloatArray, gradient: FloatArray) -> FloatArray:
    """Return a bent step along which the function with that gradient falls: a shorter one where the whole does not."""
    bent = term.bent(t, step)
    for _ in range(_SHORTENINGS):
        if np.vdot(gradient, bent) < 0.0:
            break
        step = _SHORTER * step
        bent = term.bent(t, step)
    return bent


def _share_taken(left: FloatArray, fall: FloatArray) -> FloatArray:
    """Return the share that is taken of a fall from ``left`` > 0: all of it up to 0.9 of what is left, then less."""
    long = fall > _INSIDE * left
    ratio = np.divide(left, fall, out=np.ones_like(left), where=long)
    share: FloatArray = np.where(long, ratio * (1.0 - _INSIDE * (1.0 - _INSIDE) * ratio), 1.0)
    return share


def _until_zero(value: FloatArray, change: FloatArray) -> float:
    """Return the largest step for which value + step * change stays non-negative; at least 1 needs no limit."""
    falling = change < 0.0
    return float(np.min(value[falling] / -change[falling], initial=np.inf))
