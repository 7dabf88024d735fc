"""The interface of penalties Omega, of the regularizer lam * Omega: proximal maps, conjugates, dual norms, CVXPY.

Weights are arrays U (..., P, d), such as (c, P, d) or (2, c, P, d); a block is a vector U[..., i, :]. In CVXPY
expressions the blocks are the rows of a matrix (m, d).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from cvxrelu._validation import FloatArray, as_float64
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["NormPenalty", "Penalty"]


class Penalty(ABC):
    """A convex function Omega >= 0 of the weights, Omega(0) = 0; lam >= 0 multiplies it in the problem.

    `value`, `prox` and `dual_norm` are computed in the precision of their arguments, `conjugate` and
    `subdifferential_distance` in float64.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> U = np.array([[[3.0, 4.0], [0.0, 1.0]]])  # one output, two blocks
    >>> penalties = cr.GroupL1(), cr.FeatureGroupL1(), cr.L1(), cr.SquaredL2(), cr.NoPenalty()
    >>> [round(penalty.value(U), 4) for penalty in penalties]
    [6.0, 7.1231, 8.0, 13.0, 0.0]
    >>> cr.GroupL1().prox(U, 1.0)  # the second block vanishes
    array([[[2.4, 3.2],
            [0. , 0. ]]])
    >>> U = np.ones((2, 1, 2))  # two outputs, one block each: a matrix of rank one
    >>> round(cr.Nuclear().value(U), 4), round(cr.GroupL1().value(U), 4)
    (2.0, 2.8284)
    """

    name: ClassVar[str]
    is_norm: ClassVar[bool] = False
    degree: ClassVar[int | None] = None
    """Omega(c U) = c^degree Omega(U) for c > 0; None where that does not hold."""
    rotation_invariant: ClassVar[bool] = False  # whether Omega(U Q') = Omega(U) for Q with orthonormal columns

    @abstractmethod
    def value(self, U: FloatArray) -> float:
        """Return Omega(U)."""

    @abstractmethod
    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return argmin_V 1/2 ||V - U||^2 + step * Omega(V) for step >= 0, in the shape of U."""

    @abstractmethod
    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return R*(Z) = sup_U <Z, U> - lam * Omega(U), infinite outside its domain with no tolerance."""

    @abstractmethod
    def subdifferential_distance(self, U: FloatArray, G: FloatArray, lam: float) -> float:
        """Return the Euclidean distance of G to lam * dOmega(U).

        With G = -grad of the smooth part at U it is the residual of the optimality condition.
        """

    @abstractmethod
    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return Omega for a CVXPY expression U (m, d) whose rows are blocks.

        For the nuclear norm m = n_outputs * P and row k * P + i is block (k, i). The others ignore
        ``n_outputs``.
        """

    @abstractmethod
    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return R*(Z) for an affine CVXPY expression Z (m, d), rows as in `expression`, and its constraints.

        ``lam`` is a non-negative cp.Parameter, by which both are DPP. The labels of the constraints begin
        with ``dual``.
        """


class NormPenalty(Penalty):
    """A norm; R* is 0 on the ball {Z : dual_norm(Z) <= lam} and infinite outside."""

    is_norm: ClassVar[bool] = True
    degree: ClassVar[int | None] = 1

    @abstractmethod
    def dual_norm(self, Z: FloatArray) -> float:
        """Return the dual norm, sup <Z, U> over Omega(U) <= 1."""

    def pattern_dual_norm(self, Z: FloatArray) -> FloatArray:
        """Return the dual norm of each pattern's part Z[..., i, :] (P,), for norms that add up over patterns."""
        raise NotImplementedError(f"{self.name} does not add up over patterns")

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return 0 if dual_norm(Z) <= lam, else infinity."""
        return 0.0 if self.dual_norm(as_float64(Z)) <= lam else np.inf


def homogeneous(norm: Callable[[FloatArray], Any], Z: FloatArray) -> Any:
    """Return norm(Z), by a Z of unit size: the squares of tiny or huge entries would be lost."""
    largest = float(np.abs(Z).max())
    return largest * norm(Z / largest) if 0.0 < largest < np.inf else norm(Z)
