"""The interface of penalties Omega, of the regularizer lam * Omega: proximal maps, conjugates, dual norms, CVXPY.

Weights are arrays U (..., P, d), such as (c, P, d) or (2, c, P, d); a block is a vector U[..., i, :]. In CVXPY
expressions the blocks are the rows of a matrix (m, d).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np

from cvxrelu._validation import FloatArray, as_float64, defines
from cvxrelu.penalties.prox_jacobians import ProxJacobian
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["NormPenalty", "PatternNorm", "Penalty"]


class Penalty(ABC):
    """A convex function Omega >= 0 of the weights, Omega(0) = 0; lam >= 0 multiplies it in the problem.

    `value`, `prox` and `dual_norm` are computed in the precision of their arguments, `conjugate` in float64. The class
    attributes say what the penalty can do: solvers ask them, and by default it can do nothing special.

    Rigor "rounded" is offered by a class that defines `value_above` and `conjugate_above`, a norm `dual_norm_above`,
    itself, and otherwise refused by name; methods that a subclass inherits do not count, since it may have changed
    what they bound.

    Attributes
    ----------
    degree : int or None
        Omega(a U) = a^degree Omega(U) for a > 0; None where that does not hold.
    rotation_invariant : bool
        Whether Omega(U Q') = Omega(U) for Q with orthonormal columns.
    curvature : float or None
        Omega(U) = curvature / 2 ||U||^2; None where it is no multiple of that.
    couples_outputs : bool
        Whether the blocks of a pattern count together, as a matrix (c, d); weights must then have shape (c, P, d).
    scales_by_block : bool
        Whether Omega is a sum over blocks (over patterns, where outputs are coupled), each term of degree 1:
        `block_costs`.
    gated_is_lower_bound : bool
        Whether Omega(V - W) <= Omega(V, W), so that C-GReLU has at most the optimal value of C-ReLU.
    cone_multipliers_norm : {"block", "entry", "feature", "square"}
        What multipliers of the cones make small: the norm of each block, its largest entry, the largest norm of a
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
        """Return R*(Z) = sup_U <Z, U> - lam * Omega(U), infinite outside its domain with no tolerance."""

    def block_costs(self, blocks: FloatArray) -> FloatArray:
        """Return what each of the blocks (m, d) costs alone (m,): its norm, where there is no penalty."""
        costs: FloatArray = np.hypot.reduce(blocks, axis=1)
        return costs

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

    def value_above(self, blocks: FloatArray) -> float:
        """Return a number that Omega is at most at these weights (..., P, d), in exact arithmetic.

        It holds whatever rounding does here: see `cvxrelu.numerics.rounding` for the tools.
        """
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def conjugate_above(self, Z: FloatArray, radius: FloatArray, lam: float) -> float:
        """Return a number that R* is at most, in exact arithmetic, at anything within ``radius`` of Z; lam > 0."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")


class NormPenalty(Penalty):
    """A norm; R* is 0 on the ball {Z : dual_norm(Z) <= lam} and infinite outside."""

    degree: ClassVar[int | None] = 1

    @abstractmethod
    def dual_norm(self, Z: FloatArray) -> float:
        """Return the dual norm, sup <Z, U> over Omega(U) <= 1."""

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return 0 if dual_norm(Z) <= lam, else infinity."""
        return 0.0 if self.dual_norm(as_float64(Z)) <= lam else np.inf

    def dual_norm_above(self, Z: FloatArray, radius: FloatArray) -> float:
        """Return a number that the dual norm of anything within ``radius`` of Z is at most, in exact arithmetic."""
        raise NotImplementedError(f"{self!r} has no bounds of rounding errors")

    def conjugate_above(self, Z: FloatArray, radius: FloatArray, lam: float) -> float:
        """Return 0 if the dual norm is at most lam, else infinity."""
        return 0.0 if self.dual_norm_above(Z, radius) <= lam else np.inf


class PatternNorm(NormPenalty):
    """A norm that is a sum over patterns, and sets whole ones to zero: what working sets of patterns are made for."""

    @abstractmethod
    def pattern_dual_norm(self, Z: FloatArray) -> FloatArray:
        """Return the dual norm of each pattern's part Z[..., i, :]: shape (P,)."""

    @abstractmethod
    def prox_jacobian(self, w: FloatArray, threshold: float) -> ProxJacobian:
        """Return a generalised Jacobian of the prox of threshold * Omega at w (c, k, d)."""


def offers_rounded(kind: type[Penalty]) -> bool:
    """Return whether a penalty bounds its rounding errors."""
    conjugate = "dual_norm_above" if issubclass(kind, NormPenalty) else "conjugate_above"
    return defines(kind, "value_above", conjugate)


def homogeneous(norm: Callable[[FloatArray], Any], Z: FloatArray) -> Any:
    """Return norm(Z), by a Z of unit size: the squares of tiny or huge entries would be lost."""
    largest = float(np.abs(Z).max())
    return largest * norm(Z / largest) if 0.0 < largest < np.inf else norm(Z)
