"""Dual of a convex program: dual points and their lower bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray, Weights, check_numeric
from cvxrelu.losses.base import Loss
from cvxrelu.numerics.sparse import with_data
from cvxrelu.penalties.base import NormPenalty, PatternNorm, Penalty, homogeneous
from cvxrelu.problems.annihilation import annihilated, product_roundings
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.normalization import Normalized
from cvxrelu.problems.operators.gated_operator import GatedOperator

_FEASIBILITY = 1e-12
_SAFE_SIZE = 1e50  # largest t, and inverse of the smallest, for which squared products with X stay normal numbers


@dataclass(frozen=True, eq=False)
class DualPoint:
    """A dual feasible point, which gives a lower bound.

    Attributes
    ----------
    t : ndarray of shape (n, c)
        The dual variable, in the scale of the gradient of F.
    multipliers : csr_array of shape (2 c P, n), or None
        Multipliers g >= 0 of the cones, one row for each block in the order (V or W, output, pattern).
        None for gated problems.
    value : float
        Dual objective at the point: a lower bound of the optimal value.
    """

    t: FloatArray
    multipliers: sp.csr_array | None
    value: float


class DualProgram(ABC):
    """Base class of `ConvexProblem`: the dual program, maximise -F*(t) - R*(argument of t)."""

    y: FloatArray
    lam: float
    loss: Loss
    penalty: Penalty

    @property
    @abstractmethod
    def Y(self) -> FloatArray:
        """Targets as a float64 array (n, c)."""

    @property
    @abstractmethod
    def operator(self) -> GatedOperator:
        """A on (X, D) in float64."""

    @property
    @abstractmethod
    def _ordinary(self) -> Normalized[Any] | None:
        """The normalized problem if squares would over- or underflow in this one; else None."""

    @abstractmethod
    def conjugate_argument(
        self,
        t: FloatArray,
        multipliers: sp.csr_array | None,
        weights: Weights | None = None,
        *,
        workspace: DualWorkspace | None = None,
    ) -> tuple[FloatArray, sp.csr_array | None]:
        """Return the argument of the penalty's conjugate at t, and the multipliers in it.

        C-GReLU: -A't. C-ReLU: -+A't + Xt'g. Multipliers g that are not given are computed for the blocks that determine
        the dual norm or, if they are projections, for all blocks above lam; the weights initialise minimisations that
        are not separable. A workspace caches results of the caller's last t.
        """

    def dual_constraint_values(
        self, t: FloatArray, workspace: DualWorkspace | None = None
    ) -> tuple[FloatArray, sp.csr_array | None]:
        """Return the largest dual constraint value of each pattern (P,), and the multipliers.

        Defined for penalties separable over patterns. A pattern with a value below lam has zero weights if t is
        optimal. With cones, values above lam are exact (upper bounds for "l1"), the others upper bounds.
        """
        if not isinstance(self.penalty, PatternNorm):
            raise TypeError(f"penalty must be separable over patterns; got {self.penalty!r}")
        argument, multipliers = self.conjugate_argument(t, None, workspace=workspace)
        return homogeneous(self.penalty.pattern_dual_norm, argument), multipliers

    def dual_objective(self, t: Any, multipliers: Any = None) -> float:
        """Return the dual objective -F*(t) - R*(argument) at t (n, c), -inf if t is not dual feasible.

        Feasibility is to a relative 1e-12 of lam, or to the rounding of the products.

        Parameters
        ----------
        t : array of shape (n, c) or (n,)
            The dual variable.
        multipliers : sparse or dense array of shape (2 c P, n), optional
            Multipliers g >= 0 of the cones (C-ReLU only); by default they are optimised, or zero at lam = 0.

        Returns
        -------
        float
            A lower bound of the optimal value.

        Raises
        ------
        ValueError
            If a shape is wrong, an entry is not finite, or a multiplier is negative.
        """
        point, gamma = self.check_dual(t), self.check_multipliers(multipliers)
        if (ordinary := self._ordinary) is not None:
            return ordinary.value(ordinary.problem.dual_objective(*ordinary.start_dual(point, gamma)))
        if gamma is None and not self.regularised:
            gamma = self._no_multipliers()
        with np.errstate(over="ignore", invalid="ignore"):  # a t whose squares overflow is infeasible
            value = -self.loss.conjugate(point, self.Y)
            if value > -np.inf:
                value -= self._conjugate(self.conjugate_argument(point, gamma)[0], point)
        return value if value > -np.inf else -np.inf

    def dual_point(
        self,
        t: Any,
        multipliers: Any = None,
        weights: Weights | None = None,
        *,
        workspace: DualWorkspace | None = None,
        argument: FloatArray | None = None,
    ) -> DualPoint:
        """Return a dual feasible point constructed from any t (n, c).

        t is projected onto the domain of F* and, for norm penalties, scaled so that the dual norm of the argument is at
        most lam; at lam = 0 it is projected onto the null space of A', with zero multipliers. The point t = 0, which is
        always feasible, is returned if it is better. ``t`` and ``multipliers`` are as in `dual_objective`; ``weights``
        and ``workspace`` only help to compute multipliers. ``argument`` is the `conjugate_argument` at both, if known.
        """
        point, gamma = self.check_dual(t), self.check_multipliers(multipliers)
        if (ordinary := self._ordinary) is not None:
            made = ordinary.problem.dual_point(*ordinary.start_dual(point, gamma))
            return DualPoint(*ordinary.dual(made.t, made.multipliers), ordinary.value(made.value))
        size = float(np.abs(point).max())
        if size > 0.0 and not 1.0 / _SAFE_SIZE <= size <= _SAFE_SIZE:
            point, gamma, argument = point / size, None, None
        given, point = point, self.loss.project_domain(point, self.Y)
        scale, conjugate = 1.0, 0.0
        if not self.regularised:
            point, gamma = annihilated(self.operator, self.loss, self.Y, point), self._no_multipliers()
            scale = self.loss.best_scale(point, self.Y, np.inf)
        else:
            if argument is None or not (point is given or np.array_equal(point, given)):
                argument, gamma = self.conjugate_argument(point, gamma, weights, workspace=workspace)
            if isinstance(self.penalty, NormPenalty):
                size = float(homogeneous(self.penalty.dual_norm, argument))
                scale = self.loss.best_scale(point, self.Y, self.lam / size if size > 0.0 else np.inf)
            else:
                conjugate = self.penalty.conjugate(argument, self.lam)
        point = scale * point
        value = -self.loss.conjugate(point, self.Y) - conjugate
        origin = -self.loss.conjugate(np.zeros(point.shape), self.Y)
        if not value >= origin:
            return DualPoint(np.zeros(point.shape), self._no_multipliers(), origin)
        return DualPoint(point, None if gamma is None else with_data(gamma, gamma.data * scale), value)

    @property
    def regularised(self) -> bool:
        """Whether there is a penalty with lam > 0."""
        return self.lam > 0.0 and self.penalty.curvature != 0.0

    @abstractmethod
    def _no_multipliers(self) -> sp.csr_array | None:
        """Return zero multipliers; None for gated problems."""

    def _adjoint(self, t: FloatArray, workspace: DualWorkspace | None) -> FloatArray:
        return self.operator.adjoint(t) if workspace is None else workspace.adjoint(self.operator, t)

    def _conjugate(self, argument: FloatArray, t: FloatArray) -> float:
        if not self.regularised:
            return 0.0 if bool(np.all(np.abs(argument) <= product_roundings(self.operator.X, t))) else np.inf
        if isinstance(self.penalty, NormPenalty):
            slack = max(_FEASIBILITY * self.lam, self._rounding(t))
            return 0.0 if float(homogeneous(self.penalty.dual_norm, argument)) <= self.lam + slack else np.inf
        return self.penalty.conjugate(argument, self.lam)

    def _rounding(self, t: FloatArray) -> float:
        """Return a bound of the rounding error of ||X' D_i t_k||, over all i and k."""
        return float(np.linalg.norm(product_roundings(self.operator.X, t), axis=-1).max())

    def check_dual(self, t: Any) -> FloatArray:
        """Validate a dual variable and return it as an array (n, c), without a copy if possible."""
        point = check_numeric("t", t).astype(np.float64, copy=False)
        if point.shape not in {self.Y.shape, self.y.shape}:
            raise ValueError(f"t must have the shape {self.Y.shape} of the predictions; got {point.shape}")
        return point.reshape(self.Y.shape)

    @abstractmethod
    def check_multipliers(self, multipliers: Any) -> sp.csr_array | None:
        """Validate multipliers and return them as a sparse array (2 c P, n); None for gated problems."""
