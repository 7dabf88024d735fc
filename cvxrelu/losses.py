"""Losses F(f) = (1/n) sum_j loss(f_j, y_j): values, gradients, conjugates and their CVXPY expressions.

Predictions f and targets Y are arrays (n, c), also for c = 1. The paper (Mishkin, Sahiner & Pilanci,
ICML 2022, arXiv 2202.01331) writes its losses without the factor 1/n; here every one has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from cvxrelu._validation import FloatArray, check_choice, check_number
from cvxrelu.lazy_imports import cp
from cvxrelu.loss_base import Loss, RowLoss

__all__ = ["Huber", "Logistic", "Loss", "RowLoss", "SoftmaxCrossEntropy", "Squared", "get_loss"]

# A dual point t = grad F(f), or a projected and shrunk one, misses the boundary of the domain of F* by the
# rounding of the few products that made it. Its conjugate is that of the point clipped into the domain,
# which is as close to t as t is to its own exact value; anything farther out is infeasible.
_SLACK = 4 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Squared(Loss):
    """F(f) = 1/(2n) ||f - Y||_F^2; F*(t) = n/2 ||t||_F^2 + <t, Y>.

    Half the mean over rows of the squared error summed over outputs. The authors' package (pyscnn) divides
    by 2 n c instead of 2 n.
    """

    name: ClassVar[str] = "squared"

    def check_targets(self, Y: FloatArray) -> None:
        """Accept every finite target."""

    def value(self, f: FloatArray, Y: FloatArray) -> float:
        """Return 1/(2n) ||f - Y||_F^2."""
        residual = f - Y
        return float(np.sum(residual * residual)) / (2 * len(Y))

    def gradient(self, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return (f - Y) / n."""
        return (f - Y) / len(Y)

    def bregman(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> float:
        """Return 1/(2n) ||step||_F^2."""
        return float(np.sum(step * step)) / (2 * len(Y))

    def conjugate(self, t: FloatArray, Y: FloatArray) -> float:
        """Return n/2 ||t||_F^2 + <t, Y>, finite everywhere."""
        t = _double(t)
        return float(len(Y) / 2 * np.sum(t * t) + np.sum(t * Y))

    def smoothness(self, n: int) -> float:
        """Return 1/n."""
        return 1.0 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t itself: the domain is the whole space."""
        return _double(t)

    def rescaled(self, scale: float) -> Squared:
        """Return the loss itself, which is homogeneous of degree 2."""
        return self

    def best_scale(self, t: FloatArray, Y: FloatArray, limit: float) -> float:
        """Return the maximiser of -F*(scale * t) over [0, limit]: -<t, Y> / (n ||t||_F^2), clipped.

        For t = 0 it is 0.
        """
        largest = float(np.abs(t).max())
        if largest == 0.0:
            return 0.0
        unit = _double(t) / largest  # keeps the square of a tiny t from underflowing
        best = -np.sum(unit * Y) / np.sum(unit * unit) / (len(Y) * largest)
        return float(np.clip(best, 0.0, limit))

    def expression(self, f: cp.Expression, Y: cp.Expression | FloatArray) -> cp.Expression:
        """Return 1/(2n) ||f - Y||_F^2."""
        return cp.sum_squares(f - Y) / (2 * f.shape[0])

    def conjugate_expression(
        self, t: cp.Expression, Y: cp.Expression | FloatArray
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return n/2 ||t||_F^2 + <t, Y> and no constraint."""
        return t.shape[0] / 2 * cp.sum_squares(t) + cp.sum(cp.multiply(Y, t)), []


@dataclass(frozen=True)
class Logistic(RowLoss):
    """F(f) = (1/n) sum_jk log(1 + exp(-y_jk f_jk)) with labels y_jk in {-1, +1}.

    F*(t) = (1/n) sum_jk a log a + (1 - a) log(1 - a) with a = -n y_jk t_jk in [0, 1].
    """

    name: ClassVar[str] = "logistic"

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
        """Return log(1 + E[phi(z)]), phi(z) = e^z - 1 - z, z the centred step of the two classes."""
        p, q = scipy.special.expit(f), scipy.special.expit(-f)  # 1 - p would lose the small one
        terms: FloatArray = np.log1p(p * _exp_excess(q * step) + q * _exp_excess(-p * step))
        return terms

    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return (a log a + (1 - a) log(1 - a)) / n, a = -n Y t; infinite unless a is in [0, 1]."""
        a = -len(Y) * Y * _double(t)
        outside = (a < -_SLACK) | (a > 1 + _SLACK)
        a = np.clip(a, 0.0, 1.0)
        return np.where(outside, np.inf, (scipy.special.xlogy(a, a) + scipy.special.xlog1py(1 - a, -a)) / len(Y))

    def smoothness(self, n: int) -> float:
        """Return 1/(4n)."""
        return 0.25 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t with every a = -n Y t clipped to [0, 1]."""
        return -Y * np.clip(-len(Y) * Y * _double(t), 0.0, 1.0) / len(Y)

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


@dataclass(frozen=True)
class SoftmaxCrossEntropy(RowLoss):
    """F(f) = (1/n) sum_j log(sum_k exp(f_jk)) - <y_j, f_j> with one-hot rows y_j, c >= 2.

    F*(t) = (1/n) sum_jk p log p with p = n t + Y, each row of which is in the simplex.
    """

    name: ClassVar[str] = "softmax"

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
        terms: FloatArray = np.log1p(np.sum(p * _exp_excess(centred), axis=1, keepdims=True))
        return terms

    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return p log p / n, p = n t + Y; infinite in rows of p that are not in the simplex."""
        p = len(Y) * _double(t) + Y
        slack = p.shape[1] * _SLACK  # of a sum of c entries
        outside = np.any(p < -_SLACK, axis=1) | (np.abs(p.sum(axis=1) - 1) > slack)
        p = np.clip(p, 0.0, 1.0)
        return np.where(outside[:, None], np.inf, scipy.special.xlogy(p, p) / len(Y))

    def smoothness(self, n: int) -> float:
        """Return 1/(2n): diag(p) - p p' has no eigenvalue above 1/2."""
        return 0.5 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t with every row of p = n t + Y projected onto the simplex."""
        return (_project_simplex(len(Y) * _double(t) + Y) - Y) / len(Y)

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


@dataclass(frozen=True)
class Huber(RowLoss):
    """F(f) = (1/n) sum_jk h(f_jk - y_jk); h(r) = r^2/2 if |r| <= delta, else delta |r| - delta^2/2.

    F*(t) = n/2 ||t||_F^2 + <t, Y> where all |n t_jk| <= delta.

    Parameters
    ----------
    delta : float > 0
        The residual beyond which the loss grows linearly; else ValueError or TypeError.
    """

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        """Check delta."""
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
        """Return f - Y, clipped to [-delta, delta], over n."""
        return np.clip(f - Y, -self.delta, self.delta) / len(Y)

    def bregman_terms(self, step: FloatArray, f: FloatArray, Y: FloatArray) -> FloatArray:
        """Return m^2/2 + m b, m the step between the kinks -delta and delta, b the one beyond them."""
        before = f - Y
        after = before + step
        kinked = np.clip(after, -self.delta, self.delta)
        start = np.clip(before, -self.delta, self.delta)
        # Where both ends are between the kinks the step itself is exact; their difference would cancel.
        moved = np.where((kinked == after) & (start == before), step, kinked - start)
        terms: FloatArray = moved * (0.5 * moved + (after - kinked))
        return terms

    def conjugate_terms(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return n/2 t_jk^2 + t_jk y_jk; infinite unless |n t_jk| <= delta."""
        bound = self.delta / len(Y)
        t = _double(t)
        outside = np.abs(t) > bound * (1 + _SLACK)
        t = np.clip(t, -bound, bound)
        return np.where(outside, np.inf, t * (len(Y) / 2 * t + Y))

    def smoothness(self, n: int) -> float:
        """Return 1/n."""
        return 1.0 / n

    def project_domain(self, t: FloatArray, Y: FloatArray) -> FloatArray:
        """Return t clipped to [-delta/n, delta/n]."""
        return np.clip(_double(t), -self.delta / len(Y), self.delta / len(Y))

    def rescaled(self, scale: float) -> Huber | None:
        """Return the loss with delta / scale; None where that is not a number > 0."""
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


_LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (Squared, Logistic, SoftmaxCrossEntropy, Huber)}


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name with its default parameters, or the instance itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``loss`` is neither a string nor an instance of `Loss`.
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a Loss or one of {', '.join(_LOSSES)}; got {loss!r}")
    return _LOSSES[check_choice("loss", loss, _LOSSES)]()


def _exp_excess(z: FloatArray) -> FloatArray:
    """Return e^z - 1 - z, exact to relative rounding: by its series where the subtraction would cancel."""
    series = 0.5 * z * z * (1 + z / 3 * (1 + z / 4 * (1 + z / 5 * (1 + z / 6 * (1 + z / 7)))))
    # Beyond 700 e^z overflows: the step is far too long, and the cap is large enough to say so.
    return np.where(np.abs(z) < 0.1, series, np.expm1(np.minimum(z, 700.0)) - z)


def _double(t: FloatArray) -> FloatArray:
    return np.asarray(t, dtype=np.float64)


def _project_simplex(rows: FloatArray) -> FloatArray:
    """Project each row onto {p >= 0, sum p = 1} by sorting: p = (v - theta)_+."""
    shifted = rows - rows.max(axis=1, keepdims=True)  # same projection; the entries that survive are small
    descending = -np.sort(-shifted, axis=1)
    thetas = (np.cumsum(descending, axis=1) - 1) / np.arange(1, rows.shape[1] + 1)
    support = np.count_nonzero(descending > thetas, axis=1)
    p: FloatArray = np.maximum(shifted - np.take_along_axis(thetas, support[:, None] - 1, axis=1), 0.0)
    p /= p.sum(axis=1, keepdims=True)  # theta's rounding must not show in the row sums
    return p
