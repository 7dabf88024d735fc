"""Interface of penalties Omega in the regularizer R = lam * Omega: proximal maps, conjugates, dual norms, CVXPY.

Weights are arrays U (..., P, d), such as (c, P, d) or (2, c, P, d); a block is a vector U[..., i, :]. In CVXPY
expressions the blocks are the rows of a matrix (m, d).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np

from cvxrelu._validation import FloatArray, as_float64, defines
from cvxrelu.numerics.rounding import SAFE_SQUARES
from cvxrelu.penalties.prox_jacobians import ProxJacobian
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["NormPenalty", "PatternNorm", "Penalty"]


class Penalty(ABC):
    """A convex function Omega >= 0 of the weights with Omega(0) = 0, multiplied by lam >= 0 in the problem.

    `value`, `prox` and `dual_norm` are computed in the precision of their arguments, `conjugate` in float64. Class
    attributes declare properties that solvers use; the defaults claim none.

    Rigor "rounded" requires a class that defines `value_above` and `conjugate_above` itself, or for norms `value_above`
    and `dual_norm_above`, and is refused by name otherwise. Inherited methods do not count, as a subclass may have
    changed what they bound.

    Attributes
    ----------
    degree : int or None
        Omega(a U) = a^degree Omega(U) for a > 0; None if not homogeneous.
    rotation_invariant : bool
        Whether Omega(U Q') = Omega(U) for Q with orthonormal columns.
    curvature : float or None
        Omega(U) = curvature / 2 ||U||^2; None if it is not of this form.
    couples_outputs : bool
        Whether the blocks of a pattern are penalised jointly, as a matrix (c, d); weights must then have shape
        (c, P, d).
    scales_by_block : bool
        Whether Omega is a sum over blocks (over patterns, if outputs are coupled) of terms of degree 1: `block_costs`.
    gated_is_lower_bound : bool
        Whether Omega(V - W) <= Omega(V, W), so that the optimal value of C-GReLU is at most that of C-ReLU.
    cone_multipliers_norm : {"block", "entry", "feature", "square"}
        Norm that multipliers of the cones minimise: that of each block, its largest entry, the largest norm of a
        feature over all blocks, or the sum of squares.

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
    degree: ClassVar[int | None] = None
    rotation_invariant: ClassVar[bool] = False
    curvature: ClassVar[float | None] = None
    couples_outputs: ClassVar[bool] = False
    scales_by_block: ClassVar[bool] = False
    gated_is_lower_bound: ClassVar[bool] = False
    cone_multipliers_norm: ClassVar[Literal["block", "entry", "feature", "square"]] = "block"

    @abstractmethod
    def value(self, U: FloatArray) -> float:
        """Return Omega(U)."""

    @abstractmethod
    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return argmin_V 1/2 ||V - U||^2 + step * Omega(V) for step >= 0, in the shape of U."""

    @abstractmethod
    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return R*(Z) = sup_U <Z, U> - lam * Omega(U), infinite outside its domain, without tolerance."""

    def block_costs(self, blocks: FloatArray) -> FloatArray:
        """Return the cost (m,) of each of the blocks (m, d) alone; by default its Euclidean norm."""
        costs: FloatArray = np.hypot.reduce(blocks, axis=1)
        return costs

    @abstractmethod
    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return Omega for a CVXPY expression U (m, d) whose rows are blocks.

        For the nuclear norm m = n_outputs * P and row k * P + i is block (k, i). Other penalties ignore ``n_outputs``.
        """

    @abstractmethod
    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return R*(Z) for an affine CVXPY expression Z (m, d), rows as in `expression`, and its constraints.

        ``lam`` is a non-negative cp.Parameter; both results are DPP. Labels of constraints begin with ``dual``.
        """

    def value_above(self, blocks: FloatArray) -> float:
        """Return an upper bound of Omega at weights (..., P, d).

        The bound holds in exact arithmetic, in spite of rounding in its computation; see `cvxrelu.numerics.rounding`.
        """
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def conjugate_above(self, Z: FloatArray, radius: FloatArray, lam: float) -> float:
        """Return an upper bound, in exact arithmetic, of R* over all points within ``radius`` of Z; lam > 0."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")


class NormPenalty(Penalty):
    """Base class of norms; R* is 0 on the ball {Z : dual_norm(Z) <= lam} and infinite outside."""

    degree: ClassVar[int | None] = 1

    @abstractmethod
    def dual_norm(self, Z: FloatArray) -> float:
        """Return the dual norm, sup <Z, U> over Omega(U) <= 1."""

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return 0 if dual_norm(Z) <= lam, else infinity."""
        return 0.0 if self.dual_norm(as_float64(Z)) <= lam else np.inf

    def dual_norm_above(self, Z: FloatArray, radius: FloatArray) -> float:
        """Return an upper bound, in exact arithmetic, of the dual norm over all points within ``radius`` of Z."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def conjugate_above(self, Z: FloatArray, radius: FloatArray, lam: float) -> float:
        """Return 0 if the bound of the dual norm is at most lam, else infinity."""
        return 0.0 if self.dual_norm_above(Z, radius) <= lam else np.inf


class PatternNorm(NormPenalty):
    """Base class of norms separable over patterns that set whole patterns to zero, as working sets require."""

    @abstractmethod
    def pattern_dual_norm(self, Z: FloatArray) -> FloatArray:
        """Return the dual norm of Z[..., i, :] for each pattern i: shape (P,)."""

    @abstractmethod
    def prox_jacobian(self, w: FloatArray, threshold: float) -> ProxJacobian:
        """Return a generalised Jacobian of the prox of threshold * Omega at w (c, k, d)."""


def offers_rounded(kind: type[Penalty]) -> bool:
    """Return whether a class of penalties bounds its rounding errors."""
    conjugate = "dual_norm_above" if issubclass(kind, NormPenalty) else "conjugate_above"
    return defines(kind, "value_above", conjugate)


def homogeneous(norm: Callable[[FloatArray], Any], Z: FloatArray) -> Any:
    """Return norm(Z), computed on Z scaled to unit size if squares might under- or overflow."""
    if 1.0 / SAFE_SQUARES < np.vdot(Z, Z) < SAFE_SQUARES:
        return norm(Z)
    largest = float(np.abs(Z).max())
    return largest * norm(Z / largest) if 0.0 < largest < np.inf else norm(Z)
