"""Every program on data of ordinary size: the same problem on X, y and lam times powers of two, and the way back.

With X = a X', Y = s Y', u = (s/a) u' and a penalty of degree k, Omega(c u) = c^k Omega(u) for c > 0,

    F(A u) + lam Omega(u) = s^2 (F'(A' u') + lam' Omega(u')),   lam' = s^(k-2) a^(-k) lam,

where F' is the loss of `Loss.rescaled` at Y': squared itself, Huber with delta / s; the losses of labels have s = 1.
Predictions, activations, t and the multipliers of the cones are s times those of u'; patterns and cones are the same.
a and s are powers of two: nothing is rounded on the way there or back, unless it leaves the range of float64.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.convex_problem import ConvexProblem, Weights
from cvxrelu.solvers.result import RawResult, Record

SolverT = TypeVar("SolverT")


@dataclass(frozen=True, eq=False)
class Normalized:
    """A problem, and the same one with entries of X and of real targets of root mean square about 1.

    Attributes
    ----------
    original : ConvexGatedReLU or ConvexReLU
        The problem as it was given.
    problem : ConvexGatedReLU or ConvexReLU
        The problem for solvers; the original itself where its data are of that size.
    x_exponent : int
        X of the original is 2^x_exponent times X of the problem.
    y_exponent : int
        The same for y; 0 for losses of labels.
    """

    original: ConvexProblem
    problem: ConvexProblem
    x_exponent: int = 0
    y_exponent: int = 0

    def value(self, value: float) -> float:
        """Return an objective, bound or gap of the problem in the units of the original."""
        return float(np.ldexp(value, 2 * self.y_exponent))

    def weights(self, weights: Weights) -> Weights:
        """Return weights of the problem as those of the original.

        Raises
        ------
        ValueError
            If they leave the range of float64.
        """
        blocks = self.problem.blocks(weights)
        moved = np.ldexp(blocks, self.y_exponent - self.x_exponent)
        if blocks.any() and not np.finfo(np.float64).tiny <= np.abs(moved).max() < np.inf:
            raise ValueError(
                f"the weights are about 2^{self.y_exponent - self.x_exponent}, beyond the range of float64: multiply "
                f"X, whose entries are about 2^{self.x_exponent}, or y, by a number that makes them ordinary"
            )
        return self.original.weights(moved)

    def start(self, weights: Weights | None) -> Weights | None:
        """Return weights of the original as those of the problem."""
        if weights is None:
            return None
        return self.problem.weights(np.ldexp(self.original.blocks(weights), self.x_exponent - self.y_exponent))

    def dual(
        self, t: FloatArray | None, multipliers: sp.csr_array | None
    ) -> tuple[FloatArray | None, sp.csr_array | None]:
        """Return a dual variable and multipliers of the problem as those of the original."""
        if multipliers is not None:
            multipliers = multipliers.copy()
            multipliers.data = np.ldexp(multipliers.data, self.y_exponent)
        return None if t is None else np.ldexp(t, self.y_exponent), multipliers

    def record(self, record: Record) -> Record:
        """Return a record of the problem in the units of the original."""
        return replace(
            record,
            objective=self.value(record.objective),
            lower=self.value(record.lower),
            violation=float(np.ldexp(record.violation, self.y_exponent)),
            step=None if record.step is None else float(np.ldexp(record.step, -2 * self.x_exponent)),
        )

    def callback(self, callback: Callable[[Record], Any] | None) -> Callable[[Record], Any] | None:
        """Return a callback for records of the problem that hands them on in the units of the original."""
        return None if callback is None else lambda record: callback(self.record(record))

    def result(self, raw: RawResult) -> RawResult:
        """Return a solver's answer to the problem as one to the original."""
        t, multipliers = self.dual(raw.t, raw.multipliers)
        return replace(
            raw,
            weights=self.weights(raw.weights),
            t=t,
            multipliers=multipliers,
            history=tuple(self.record(record) for record in raw.history),
        )

    def solver(self, solver: SolverT) -> SolverT:
        """Return a native solver with its step size, where it was given one, in the units of the problem."""
        step = getattr(solver, "step", None)
        return solver if step is None else replace(solver, step=float(np.ldexp(step, 2 * self.x_exponent)))  # type: ignore[type-var]


def normalize(problem: ConvexProblem) -> Normalized:
    """Return the problem on data of ordinary size, and the exact way back.

    Sizes are root mean squares, to the nearest power of two: data that were standardised stay as they are. A loss of
    the user's own keeps its y, and a penalty of the user's own that is no norm all.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.

    Returns
    -------
    Normalized
    """
    degree = problem.penalty.degree
    regularised = problem.lam > 0.0 and problem.penalty.name != "none"
    if regularised and degree is None:
        return Normalized(problem, problem)
    x_exponent, y_exponent = _exponent(problem.X), _exponent(problem.Y)
    loss = problem.loss.rescaled(float(np.ldexp(1.0, y_exponent)))
    if loss is None:
        loss, y_exponent = problem.loss, 0
    if x_exponent == 0 and y_exponent == 0:
        return Normalized(problem, problem)
    lam = problem.lam
    if regularised and degree is not None:
        # Beyond the range of float64 lam' is as good as infinite: zero weights are optimal to the last bit.
        lam = min(float(np.ldexp(lam, (degree - 2) * y_exponent - degree * x_exponent)), float(np.finfo(float).max))
    X = np.ldexp(problem.X, -x_exponent) if x_exponent else problem.X
    y = np.ldexp(problem.y, -y_exponent) if y_exponent else problem.y
    return Normalized(problem, problem.on_data(X, y, lam, loss), x_exponent, y_exponent)


def _exponent(array: NDArray[Any]) -> int:
    """Return the power of two nearest to the root mean square, on the logarithmic scale; 0 for zeros."""
    largest = float(np.abs(array).max())
    if largest == 0.0:
        return 0
    exponent = math.frexp(largest)[1]
    unit = np.ldexp(array, -exponent)  # its squares neither overflow nor vanish
    mean_square = float(np.vdot(unit, unit)) / array.size
    return exponent + round(0.5 * math.log2(mean_square))
