"""Every program on data of ordinary size: the same problem on X, y and lam times powers of two, and the way back.

With X = a X', Y = s Y', u = (s/a) u' and a penalty of degree k, Omega(c u) = c^k Omega(u) for c > 0,

    F(A u) + lam Omega(u) = s^2 (F'(A' u') + lam' Omega(u')),   lam' = s^(k-2) a^(-k) lam,

where F' is the loss of `Loss.rescaled` at Y': squared itself, Huber with delta / s; the losses of labels have s = 1.
Predictions, activations, t and the multipliers of the cones are s times those of u'; patterns and cones are the same.
a and s are powers of two: nothing is rounded on the way there or back, unless it leaves the range of float64.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.losses.base import Loss
from cvxrelu.penalties.base import Penalty


class Scalable(Protocol):
    """What is read of a convex program to bring it to data of ordinary size."""

    X: FloatArray
    y: FloatArray
    lam: float
    loss: Loss
    penalty: Penalty
    normal_data: "Normalized[Any] | None"

    @property
    def regularised(self) -> bool:
        """Whether there is a penalty."""

    @property
    def Y(self) -> FloatArray:
        """Targets (n, c)."""

    def with_lam(self, lam: float) -> Self:
        """Return the problem at another lam."""

    def on_data(self, X: FloatArray, y: FloatArray, lam: float, loss: Loss) -> Self:
        """Return the problem on other data with the same patterns."""

    def blocks(self, weights: Weights) -> FloatArray:
        """Return weights as one array."""

    def weights(self, blocks: FloatArray) -> Weights:
        """Return one array as weights."""


ProblemT = TypeVar("ProblemT", bound=Scalable)


@dataclass(frozen=True, eq=False)
class Normalized(Generic[ProblemT]):
    """A problem, and the same one with entries of X and of real targets of root mean square about 1.

    Attributes
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem for solvers; the original itself where its data are of that size.
    x_exponent : int
        X of the original is 2^x_exponent times X of the problem.
    y_exponent : int
        The same for y; 0 for losses of labels.
    """

    problem: ProblemT
    x_exponent: int = 0
    y_exponent: int = 0

    def value(self, value: float) -> float:
        """Return an objective, bound or gap of the problem in the units of the original."""
        return float(_ldexp(value, 2 * self.y_exponent))

    def activation(self, value: float) -> float:
        """Return an activation of the problem in the units of the original."""
        return float(_ldexp(value, self.y_exponent))

    def weight(self, value: float) -> float:
        """Return a norm of weights of the problem in the units of the original."""
        return float(_ldexp(value, self.y_exponent - self.x_exponent))

    def lam(self, lam: float) -> float:
        """Return a strength of a penalty that is a norm in the units of the original."""
        return float(_ldexp(lam, self.x_exponent + self.y_exponent))

    def argument(self, argument: FloatArray) -> FloatArray:
        """Return an argument of the penalty's conjugate in the units of the original."""
        moved: FloatArray = _ldexp(argument, self.x_exponent + self.y_exponent)
        return moved

    def weights(self, weights: Weights) -> Weights:
        """Return weights of the problem as those of the original.

        Raises
        ------
        ValueError
            If they leave the range of float64.
        """
        blocks = self.problem.blocks(weights)
        moved = _ldexp(blocks, self.y_exponent - self.x_exponent)
        if not np.isfinite(moved).all() or (blocks.any() and not moved.any()):
            raise ValueError(
                f"the weights are about 2^{self.y_exponent - self.x_exponent}, beyond the range of float64: multiply "
                f"X, whose entries are about 2^{self.x_exponent}, or y, by a number that makes them ordinary"
            )
        return self.problem.weights(moved)

    def start(self, weights: Weights) -> Weights:
        """Return weights of the original as those of the problem."""
        return self.problem.weights(_ldexp(self.problem.blocks(weights), self.x_exponent - self.y_exponent))

    def step(self, step: float) -> float:
        """Return a step size for the problem as one for the original."""
        return float(_ldexp(step, -2 * self.x_exponent))

    def start_step(self, step: float) -> float:
        """Return a step size for the original as one for the problem."""
        return float(_ldexp(step, 2 * self.x_exponent))

    def dual(self, t: FloatArray, multipliers: sp.csr_array | None) -> tuple[FloatArray, sp.csr_array | None]:
        """Return a dual variable and multipliers of the problem as those of the original."""
        return times_power_of_two(t, self.y_exponent), times_power_of_two(multipliers, self.y_exponent)

    def start_dual(self, t: FloatArray, multipliers: sp.csr_array | None) -> tuple[FloatArray, sp.csr_array | None]:
        """Return a dual variable and multipliers of the original as those of the problem."""
        return times_power_of_two(t, -self.y_exponent), times_power_of_two(multipliers, -self.y_exponent)


def normalize(problem: ProblemT) -> Normalized[ProblemT]:
    """Return the problem on data of ordinary size, and the exact way back; the data are shared by all lam.

    Sizes are root mean squares, to the nearest power of two: data that were standardised stay as they are. A loss of
    the user's own keeps its y. All is kept for a penalty of the user's own that is no norm, and where lam' would leave
    the range of float64.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.

    Returns
    -------
    Normalized
    """
    degree = problem.penalty.degree
    if problem.regularised and degree is None:
        return Normalized(problem)
    known = problem.normal_data or _scaled(problem)
    if known is None:
        return Normalized(problem)
    object.__setattr__(problem, "normal_data", known)  # the same for whoever makes it
    lam = problem.lam
    if problem.regularised:
        lam = ordinary_lam(problem.lam, problem.penalty, known.x_exponent, known.y_exponent)
        if ordinary_lam(lam, problem.penalty, -known.x_exponent, -known.y_exponent) != problem.lam:
            return Normalized(problem)  # beyond the range of float64
    return replace(known, problem=known.problem.with_lam(lam))


def exponents(problem: Scalable) -> tuple[int, int]:
    """Return the powers of two nearest to the sizes of X and of y; 0 for a y that the loss cannot scale."""
    y_exponent = _exponent(problem.Y)
    if problem.loss.rescaled(math.ldexp(1.0, y_exponent)) is None:
        y_exponent = 0
    return _exponent(problem.X), y_exponent


def ordinary_lam(lam: float, penalty: Penalty, x_exponent: int, y_exponent: int) -> float:
    """Return lam' for X and y over these powers of two, rounded where it leaves the range of float64."""
    if penalty.degree is None:
        return lam
    return float(_ldexp(lam, (penalty.degree - 2) * y_exponent - penalty.degree * x_exponent))


def _scaled(problem: ProblemT) -> Normalized[ProblemT] | None:
    """Return the problem on data of ordinary size, at lam = 0; None where they are."""
    x_exponent, y_exponent = exponents(problem)
    loss = problem.loss.rescaled(math.ldexp(1.0, y_exponent)) or problem.loss
    if x_exponent == 0 and y_exponent == 0:
        return None
    X = _ldexp(problem.X, -x_exponent) if x_exponent else problem.X
    y = _ldexp(problem.y, -y_exponent) if y_exponent else problem.y
    return Normalized(problem.on_data(X, y, 0.0, loss), x_exponent, y_exponent)


def _ldexp(value: Any, exponent: int) -> Any:
    """Return value * 2^exponent; what leaves the range is for the caller to see."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(value, exponent)


def times_power_of_two(array: Any, exponent: int) -> Any:
    """Return a dense or sparse array, or None, times 2^exponent."""
    if array is None or exponent == 0:
        return array
    if isinstance(array, np.ndarray):
        return _ldexp(array, exponent)
    scaled = array.copy()
    scaled.data = _ldexp(scaled.data, exponent)
    return scaled


def _exponent(array: NDArray[Any]) -> int:
    """Return the power of two nearest to the root mean square, on the logarithmic scale; 0 for zeros."""
    largest = float(np.abs(array).max())
    if largest == 0.0:
        return 0
    exponent = math.frexp(largest)[1]
    unit = _ldexp(array, -exponent)  # its squares neither overflow nor vanish
    mean_square = float(np.vdot(unit, unit)) / array.size
    return exponent + round(0.5 * math.log2(mean_square))
