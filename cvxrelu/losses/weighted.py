"""Losses with a weight for each row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cvxrelu._validation import FloatArray, check_numeric, read_only
from cvxrelu.losses.base import ConjugateDerivatives, DualTerm, Loss, RowLoss, RowTerm, offers_dual_term
from cvxrelu.losses.registry import get_loss
from cvxrelu.runtime.lazy_imports import cp


@dataclass(frozen=True, eq=False, repr=False)
class Weighted(Loss):
    """F(f) = sum_j w_j loss(f_j, y_j) / sum_j w_j: row j counts as if it occurred w_j times.

    F*(t) = (1/n) sum_j w_j loss*(n t_j / w_j), with weights of mean one. The squared loss is not supported and does not
    need it: multiplying the rows of X and y by the square roots of the weights (of mean one) gives the same objective
    and the same patterns.

    Certificates hold as for the loss itself, but ``rigor="rounded"`` and certificate files are not supported.

    Parameters
    ----------
    loss : str or Loss
        "logistic", "softmax", "huber", or a loss of this kind.
    weights : array_like of shape (n,)
        A weight > 0 for each row, stored divided by their mean.

    Raises
    ------
    TypeError, ValueError
        If the loss is not supported, or weights are not a 1-D array of finite positive numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> f, Y = np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])
    >>> twice = cr.Logistic().value(f[[0, 0, 1]], Y[[0, 0, 1]])  # the first row twice
    >>> abs(cr.Weighted("logistic", [2.0, 1.0]).value(f, Y) - twice) < 1e-12
    True
    """

    name: ClassVar[str] = "weighted"
    loss: RowLoss
    weights: FloatArray

    def __init__(self, loss: str | Loss, weights: Any) -> None:
        base = get_loss(loss)
        if not isinstance(base, RowLoss):
            raise ValueError(
                f"loss must be logistic, softmax or huber; got {base!r} (for the squared loss, multiply the rows of "
                "X and y by the square roots of weights of mean one)"
            )
        array = check_numeric("weights", weights).astype(np.float64)
        if array.ndim != 1 or array.min() <= 0.0:
            raise ValueError(
                f"weights must be a 1-D array of positive numbers; got shape {array.shape}, minimum {array.min():g} "
                "(omit rows of weight zero)"
            )
        array = array / array.max()  # the sum of huge weights would overflow
        object.__setattr__(self, "loss", base)
        object.__setattr__(self, "weights", read_only(array / array.mean()))

    def __repr__(self) -> str:
        digest = hashlib.sha256(self.weights.tobytes()).hexdigest()[:12]
        return f"Weighted({self.loss!r}, {len(self.weights)} weights, sha256 {digest})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weighted) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def check_targets(self, Y: FloatArray) -> None:
        """Raise ValueError unless there is a weight for each row and the unweighted loss accepts Y."""
        if len(Y) != len(self.weights):
            raise ValueError(
                f"weights must have one entry for each row of y; got {len(self.weights)} for {len(Y)} rows"
            )
        self.loss.check_targets(Y)

    def value(self, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f)."""
        return float(np.sum(self._column(f) * self.loss.terms(f, Y))) / len(Y)

    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return the gradient of the loss with rows multiplied by their weights."""
        return self._column(f) * self.loss.gradient(f, Y)

    def bregman(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> float:
        """Return F(f + step) - F(f) - <grad F(f), step>."""
        return float(np.sum(self._column(f) * self.loss.bregman_terms(step, f, Y))) / len(Y)

    def conjugate(self, t: FloatArray, Y: FloatArray) -> float:
        """Return the sum over rows of w_j times the conjugate terms of the loss at t_j / w_j."""
        w = self.weights[:, None]
        return float(np.sum(w * self.loss.conjugate_terms(t / w, Y)))

    def smoothness(self, n: int) -> float:
        """Return the smoothness of the loss times the largest weight."""
        return self.loss.smoothness(n) * float(self.weights.max())

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t with each t_j / w_j projected onto the domain of the loss."""
        w = self.weights[:, None]
        return w * self.loss.project_domain(t / w, Y)

    def rescaled(self, scale: float) -> Weighted | None:
        """Return the rescaled loss with the same weights; None if there is none."""
        loss = self.loss.rescaled(scale)
        if not isinstance(loss, RowLoss):
            return None
        other = object.__new__(Weighted)  # keeps the weights to the last bit, without another division by their mean
        object.__setattr__(other, "loss", loss)
        object.__setattr__(other, "weights", self.weights)
        return other

    def expression(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return F(f)."""
        terms = self.loss.expression_terms(f, Y)
        return cp.sum(cp.multiply(self._spread(terms), terms)) / f.shape[0]

    def conjugate_expression(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return F*(t), and the domain constraints of the loss at t_j / w_j."""
        terms, domain = self.loss.conjugate_expression_terms(cp.multiply(1.0 / self._spread(t), t), Y)
        return cp.sum(cp.multiply(self._spread(terms), terms)), domain

    def dual_term(self, Y: FloatArray) -> DualTerm | None:
        """Return the weighted dual term of the loss; None if it has none."""
        term = self.loss.dual_term(Y) if offers_dual_term(type(self.loss)) else None
        return None if term is None else _WeightedTerm(self, Y, term)

    def _column(self, f: FloatArray) -> FloatArray:
        return self.weights[:, None].astype(f.dtype, copy=False)

    def _spread(self, expression: cp.Expression) -> FloatArray:
        return np.broadcast_to(self.weights[:, None], expression.shape)

    def _key(self) -> tuple[RowLoss, bytes]:
        return self.loss, self.weights.tobytes()


class _WeightedTerm(DualTerm):
    """sum_j w_j g(t_j / w_j) for the dual term g of the unweighted loss; Huber's block s is weighted likewise."""

    def __init__(self, loss: Weighted, Y: FloatArray, term: RowTerm) -> None:
        super().__init__(loss, Y)
        self._w = loss.weights[:, None]
        self._term = term

    def rows(self, t: FloatArray, sigma: float) -> ConjugateDerivatives:
        """Return the gradient of g and its inverse Hessian times w."""
        rows = self._term.rows(t / self._w, sigma)
        coupling = None if rows.coupling is None else np.sqrt(self._w) * rows.coupling
        return ConjugateDerivatives(rows.gradient, self._w * rows.diagonal, coupling)

    def damped(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return a step damped to stay in the domain."""
        return self._w * self._term.damped(t / self._w, step / self._w)

    def longest_step(self, t: FloatArray, step: FloatArray) -> float:
        """Return the largest step length inside the domain, above 1 for damped steps."""
        return self._term.longest_step(t / self._w, step / self._w)

    def value(self, t: FloatArray, sigma: float) -> float:
        """Return the term at t, for the proximal-point parameter sigma."""
        return float(np.sum(self._w * self._term.terms(t / self._w, sigma)))

    def moved(self, t: FloatArray, step: FloatArray) -> FloatArray:
        """Return t + step, in the affine hull of the domain to rounding."""
        return self._w * self._term.moved(t / self._w, step / self._w)

    def largest_multiple(self, t: FloatArray) -> float:
        """Return the largest factor that keeps the multiple of t in the domain of F*, at least 1 for t in it."""
        return self._term.largest_multiple(t / self._w)

    def start(self, f: FloatArray) -> FloatArray:
        """Return a point t inside the domain for the predictions f (n, c), and centre g there."""
        return self._w * self._term.start(f)

    def recentre(self, t: FloatArray, sigma: float) -> None:
        """Recentre g."""
        self._term.recentre(t / self._w, sigma)


def unweighted(loss: Loss) -> Loss:
    """Return the loss without its weights."""
    return loss.loss if isinstance(loss, Weighted) else loss
