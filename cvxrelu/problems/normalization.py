"""Normalization: an equivalent problem with X, y and lam scaled by powers of two, and the map back.

With X = a X', Y = s Y', u = (s/a) u' and a penalty of degree k, Omega(c u) = c^k Omega(u) for c > 0,

    F(A u) + lam Omega(u) = s^2 (F'(A' u') + lam' Omega(u')),   lam' = s^(k-2) a^(-k) lam,

where F' is the loss of `Loss.rescaled` at Y': squared loss itself, Huber with delta / s; classification losses have
s = 1. Predictions, activations, t and the multipliers of the cones are s times those of u'; patterns and cones are the
same. As a and s are powers of two, scaling is exact in both directions, unless it over- or underflows.
"""

import math
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights, is_finite
from cvxrelu.losses.base import Loss
from cvxrelu.numerics.rounding import SAFE_SQUARES
from cvxrelu.numerics.sparse import with_data
from cvxrelu.penalties.base import Penalty

_LARGEST_FACTOR = 126  # exponent of powers of two that are normal numbers of float32


class Scalable(Protocol):
    """Protocol of a convex program that can be normalized."""

    X: FloatArray
    y: FloatArray
    lam: float
    loss: Loss
    penalty: Penalty
    normal_data: "Normalized[Any] | None"
    normal: "Normalized[Any] | None"

    @property
    def exponents(self) -> tuple[int, int]:
        """`exponents` of the problem."""

    @property
    def regularised(self) -> bool:
        """Whether there is a penalty."""

    @property
    def Y(self) -> FloatArray:
        """Targets (n, c)."""

    def with_lam(self, lam: float) -> Self:
        """Return the problem at another lam."""

    def on_data(self, X: FloatArray, y: FloatArray, lam: float, loss: Loss) -> Self:
        """Return the problem on other data with the same patterns; arrays are made read-only, not copied."""

    def blocks(self, weights: Weights) -> FloatArray:
        """Return weights as one array."""

    def weights(self, blocks: FloatArray) -> Weights:
        """Return one array as weights."""


ProblemT = TypeVar("ProblemT", bound=Scalable)


@dataclass(frozen=True, eq=False)
class Normalized(Generic[ProblemT]):
    """A normalized problem, in which X and real targets have a root mean square of about 1, and its scaling.

    Attributes
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The normalized problem; the original itself if it needs no scaling.
    x_exponent : int
        X of the original is 2^x_exponent times X of the normalized problem.
    y_exponent : int
        The same for y; 0 for classification losses.
    """

    problem: ProblemT
    x_exponent: int = 0
    y_exponent: int = 0

    def value(self, value: float) -> float:
        """Convert an objective, bound or gap to the units of the original."""
        return _scalar(value, 2 * self.y_exponent)

    def activation(self, value: float) -> float:
        """Convert an activation to the units of the original."""
        return _scalar(value, self.y_exponent)

    def weight(self, value: float) -> float:
        """Convert a norm of weights to the units of the original."""
        return _scalar(value, self.y_exponent - self.x_exponent)

    def lam(self, lam: float) -> float:
        """Convert the lam of a norm penalty to the units of the original."""
        return _scalar(lam, self.x_exponent + self.y_exponent)

    def argument(self, argument: FloatArray) -> FloatArray:
        """Convert an argument of the penalty's conjugate to the units of the original."""
        scaled: FloatArray = _ldexp(argument, self.x_exponent + self.y_exponent)
        return scaled

    def weights(self, weights: Weights) -> Weights:
        """Convert weights to those of the original.

        Raises
        ------
        ValueError
            If they over- or underflow.
        """
        blocks = self.problem.blocks(weights)
        scaled = _ldexp(blocks, self.y_exponent - self.x_exponent)
        if not is_finite(scaled) or (np.count_nonzero(blocks) and not np.count_nonzero(scaled)):
            raise ValueError(
                f"the weights are about 2^{self.y_exponent - self.x_exponent}, beyond the range of float64: rescale X, "
                f"whose entries are about 2^{self.x_exponent}, or y"
            )
        return self.problem.weights(scaled)

    def start(self, weights: Weights) -> Weights:
        """Convert weights of the original to those of the normalized problem."""
        return self.problem.weights(_ldexp(self.problem.blocks(weights), self.x_exponent - self.y_exponent))

    def step(self, step: float) -> float:
        """Convert a step size to the units of the original."""
        return _scalar(step, -2 * self.x_exponent)

    def start_step(self, step: float) -> float:
        """Convert a step size of the original to the units of the normalized problem."""
        return _scalar(step, 2 * self.x_exponent)

    def dual(self, t: FloatArray, multipliers: sp.csr_array | None) -> tuple[FloatArray, sp.csr_array | None]:
        """Convert a dual variable and multipliers to those of the original."""
        return times_power_of_two(t, self.y_exponent), times_power_of_two(multipliers, self.y_exponent)

    def start_dual(self, t: FloatArray, multipliers: sp.csr_array | None) -> tuple[FloatArray, sp.csr_array | None]:
        """Convert a dual variable and multipliers of the original to those of the normalized problem."""
        return times_power_of_two(t, -self.y_exponent), times_power_of_two(multipliers, -self.y_exponent)


def normalize(problem: ProblemT) -> Normalized[ProblemT]:
    """Scale the data of a problem by powers of two to a root mean square of about 1; the data are shared by all lam.

    Standardised data are unchanged. y is not scaled for losses without `Loss.rescaled`. The problem is returned
    unchanged if its penalty is not homogeneous or lam' would over- or underflow.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.

    Returns
    -------
    Normalized
        The normalized problem and the exact maps back.
    """
    if problem.normal is not None:
        return problem.normal
    if problem.regularised and problem.penalty.degree is None:
        return Normalized(problem)
    x_exponent, y_exponent = problem.exponents
    if x_exponent == 0 and y_exponent == 0:
        return Normalized(problem)
    lam = problem.lam
    if problem.regularised:
        lam = ordinary_lam(problem.lam, problem.penalty, x_exponent, y_exponent)
        if ordinary_lam(lam, problem.penalty, -x_exponent, -y_exponent) != problem.lam:
            return Normalized(problem)  # beyond the range of float64
    if problem.normal_data is None:
        normal = Normalized(_scaled(problem, lam), x_exponent, y_exponent)
    else:
        normal = Normalized(problem.normal_data.problem.with_lam(lam), x_exponent, y_exponent)
    # The same in every thread. The data at other lam start from the last one, to share its caches.
    object.__setattr__(problem, "normal_data", normal)
    object.__setattr__(problem, "normal", normal)
    return normal


def exponents(problem: Scalable) -> tuple[int, int]:
    """Return the exponents of two nearest to the sizes of X and y; 0 for y if the loss cannot be rescaled."""
    y_exponent = _exponent(problem.Y)
    if problem.loss.rescaled(math.ldexp(1.0, y_exponent)) is None:
        y_exponent = 0
    return _exponent(problem.X), y_exponent


def ordinary_lam(lam: float, penalty: Penalty, x_exponent: int, y_exponent: int) -> float:
    """Return lam' for X and y divided by these powers of two; it may over- or underflow."""
    if penalty.degree is None:
        return lam
    return _scalar(lam, (penalty.degree - 2) * y_exponent - penalty.degree * x_exponent)


def _scaled(problem: ProblemT, lam: float) -> ProblemT:
    """Return the normalized problem at lam'."""
    x_exponent, y_exponent = problem.exponents
    loss = problem.loss.rescaled(math.ldexp(1.0, y_exponent)) or problem.loss
    return problem.on_data(_ldexp(problem.X, -x_exponent), _ldexp(problem.y, -y_exponent), lam, loss)


def _ldexp(array: NDArray[Any], exponent: int) -> NDArray[Any]:
    """Return array * 2^exponent, the array itself for 0; what leaves the range is for the caller to see."""
    if exponent == 0:
        return array
    with np.errstate(over="ignore", under="ignore"):
        if abs(exponent) <= _LARGEST_FACTOR:
            scaled: NDArray[Any] = array * math.ldexp(1.0, exponent)  # faster, and rounds in the same way
        else:
            scaled = np.ldexp(array, exponent)
        return scaled


def _scalar(value: float, exponent: int) -> float:
    """Return value * 2^exponent."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def times_power_of_two(array: Any, exponent: int) -> Any:
    """Return a dense or sparse array, or None, times 2^exponent."""
    if array is None or exponent == 0:
        return array
    if isinstance(array, np.ndarray):
        return _ldexp(array, exponent)
    return with_data(array, _ldexp(array.data, exponent))


def _exponent(array: NDArray[Any]) -> int:
    """Return the exponent of two nearest to the root mean square in log scale; 0 for zeros."""
    exponent, squares = 0, float(np.vdot(array, array))
    if not 1.0 / SAFE_SQUARES < squares < SAFE_SQUARES:  # squares may over- or underflow
        largest = float(np.abs(array).max())
        if largest == 0.0:
            return 0
        exponent = math.frexp(largest)[1]
        unit = _ldexp(array, -exponent)
        squares = float(np.vdot(unit, unit))
    return exponent + math.ceil(0.5 * math.log2(squares / array.size) - 0.5)
