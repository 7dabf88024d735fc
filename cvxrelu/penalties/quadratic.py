"""The squared l2 norm and the zero penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cvxrelu._validation import FloatArray, as_float64
from cvxrelu.numerics.rounding import above, norms_above, sum_above
from cvxrelu.penalties.base import Penalty
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["NoPenalty", "SquaredL2"]


@dataclass(frozen=True)
class SquaredL2(Penalty):
    """Omega(U) = 1/2 ||U||_F^2; R*(Z) = ||Z||_F^2 / (2 lam).

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> U = np.array([[[3.0, 4.0], [0.0, 1.0]]])  # one output, two patterns, two features
    >>> cr.SquaredL2().value(U)
    13.0
    >>> cr.SquaredL2().prox(U, 1.0).tolist()
    [[[1.5, 2.0], [0.0, 0.5]]]
    """

    name: ClassVar[str] = "squared_l2"
    degree: ClassVar[int | None] = 2
    rotation_invariant: ClassVar[bool] = True
    curvature: ClassVar[float | None] = 1.0
    cone_multipliers_norm: ClassVar[Literal["block", "entry", "feature", "square"]] = "square"

    def value(self, U: FloatArray) -> float:
        """Return 1/2 ||U||_F^2."""
        return float(np.sum(U * U)) / 2

    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return U / (1 + step)."""
        return U / (1 + float(step))

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return ||Z||_F^2 / (2 lam); for lam = 0, 0 if Z = 0, else infinity."""
        if lam == 0:
            return _indicator_of_zero(Z)
        return float(np.sum(as_float64(Z) ** 2)) / (2 * lam)

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return 1/2 ||U||_F^2."""
        return cp.sum_squares(U) / 2

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return lam/2 ||Q||_F^2 and lam Q = Z with a variable Q, which is valid for lam = 0 too."""
        Q = cp.Variable(Z.shape, name="Q")
        return lam / 2 * cp.sum_squares(Q), [(lam * Q == Z).set_label("dual_scaling")]

    def value_above(self, blocks: FloatArray) -> float:
        """Return an upper bound of 1/2 ||U||_F^2."""
        return sum_above(above(0.5 * (blocks * blocks), 2))

    def conjugate_above(self, Z: FloatArray, radius: FloatArray, lam: float) -> float:
        """Return an upper bound of ||Z||_F^2 / (2 lam)."""
        size = float(norms_above(above(np.abs(Z) + radius, 1).ravel()))
        ratio = float(above(np.asarray(size / lam), 1))
        return float(above(np.asarray(0.5 * (size * ratio)), 2))


@dataclass(frozen=True)
class NoPenalty(Penalty):
    """Omega(U) = 0; R*(Z) = 0 if Z = 0, else infinity.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> U = np.array([[[3.0, 4.0], [0.0, 1.0]]])  # one output, two patterns, two features
    >>> cr.NoPenalty().value(U)
    0.0
    """

    name: ClassVar[str] = "none"
    degree: ClassVar[int | None] = 1  # or any other
    rotation_invariant: ClassVar[bool] = True
    curvature: ClassVar[float | None] = 0.0
    scales_by_block: ClassVar[bool] = True
    gated_is_lower_bound: ClassVar[bool] = True

    def value(self, U: FloatArray) -> float:
        """Return 0."""
        return 0.0

    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return a copy of U."""
        return U.copy()

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return 0 if Z = 0, else infinity."""
        return _indicator_of_zero(Z)

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return 0."""
        return cp.Constant(0.0)

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return 0 and Z = 0."""
        return cp.Constant(0.0), [(Z == 0).set_label("dual_zero")]

    def value_above(self, blocks: FloatArray) -> float:
        """Return 0."""
        return 0.0

    def conjugate_above(self, Z: FloatArray, radius: FloatArray, lam: float) -> float:
        """Return 0 if Z and the radius are 0, else infinity."""
        return _indicator_of_zero(np.abs(Z) + radius)


def _indicator_of_zero(Z: FloatArray) -> float:
    return np.inf if np.any(Z) else 0.0
