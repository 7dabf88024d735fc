"""Sums of group norms: group-l1, feature-group-l1 and l1."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import above, norms_above, sum_above
from cvxrelu.penalties.base import NormPenalty, PatternNorm
from cvxrelu.penalties.prox_jacobians import ProxJacobian, block_jacobian, entry_jacobian
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["L1", "FeatureGroupL1", "GroupL1"]


class _SumOfGroupNorms(NormPenalty):
    """Base class of sums of Euclidean norms of disjoint groups of entries."""

    @abstractmethod
    def _norms(self, U: FloatArray) -> FloatArray:
        """Return the norms of the groups, in a shape that broadcasts against U."""

    def value(self, U: FloatArray) -> float:
        """Return the sum of the norms of the groups."""
        return float(self._norms(U).sum())

    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return (1 - step / ||u||)_+ u for each group u."""
        norms = self._norms(U)
        shrinkage = np.ones(norms.shape, norms.dtype)
        np.divide(step, norms, out=shrinkage, where=norms > step)
        return (1 - shrinkage) * U

    def dual_norm(self, Z: FloatArray) -> float:
        """Return the largest norm of a group."""
        return float(self._norms(Z).max())


@dataclass(frozen=True)
class GroupL1(_SumOfGroupNorms, PatternNorm):
    """Omega(U) = sum of ||u||_2 over the blocks u.

    The penalty of the convex programs of two-layer networks with weight decay (Pilanci & Ergen 2020; Mishkin, Sahiner &
    Pilanci, ICML 2022, arXiv 2202.01331). Dual norm: the largest ||z||_2.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> U = np.array([[[3.0, 4.0], [0.0, 1.0]]])  # one output, two patterns, two features
    >>> cr.GroupL1().value(U)
    6.0
    >>> cr.GroupL1().prox(U, 1.0).round(4).tolist()
    [[[2.4, 3.2], [0.0, 0.0]]]
    """

    name: ClassVar[str] = "group_l1"
    rotation_invariant: ClassVar[bool] = True
    scales_by_block: ClassVar[bool] = True
    gated_is_lower_bound: ClassVar[bool] = True

    def pattern_dual_norm(self, Z: FloatArray) -> FloatArray:
        """Return the largest norm of a block of each pattern."""
        return _largest_of_pattern(self._norms(Z))

    def prox_jacobian(self, w: FloatArray, threshold: float) -> ProxJacobian:
        """Return the Jacobian of the block soft-thresholding of w."""
        return block_jacobian(w, threshold)

    def _norms(self, U: FloatArray) -> FloatArray:
        norms: FloatArray = np.sqrt(np.vecdot(U, U))[..., None]
        return norms

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return the sum of the norms of the rows."""
        return cp.sum(cp.norm(U, 2, axis=1))

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return 0 and ||z||_2 <= lam for each row z."""
        return cp.Constant(0.0), [(cp.norm(Z, 2, axis=1) <= lam).set_label("dual_ball")]

    def value_above(self, blocks: FloatArray) -> float:
        """Return an upper bound of the sum of the norms of the groups."""
        return sum_above(norms_above(blocks))

    def dual_norm_above(self, Z: FloatArray, radius: FloatArray) -> float:
        """Return an upper bound of the largest norm of a group."""
        return float(np.max(norms_above(above(np.abs(Z) + radius, 1))))


@dataclass(frozen=True)
class FeatureGroupL1(_SumOfGroupNorms):
    """Omega(U) = sum_j ||U[..., j]||_F: one group for each feature, over all blocks and outputs.

    Features with a zero group are not used by the model. There is no factor sqrt(d), unlike in the authors' package
    (pyscnn). Dual norm: the largest ||Z[..., j]||_F.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> U = np.array([[[3.0, 4.0], [0.0, 1.0]]])  # one output, two patterns, two features
    >>> round(cr.FeatureGroupL1().value(U), 4)  # 3 + sqrt(17)
    7.1231
    """

    name: ClassVar[str] = "feature_group_l1"
    cone_multipliers_norm: ClassVar[Literal["block", "entry", "feature", "square"]] = "feature"

    def _norms(self, U: FloatArray) -> FloatArray:
        norms: FloatArray = np.sqrt(np.sum(U * U, axis=tuple(range(U.ndim - 1))))
        return norms

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return the sum of the norms of the columns."""
        return cp.sum(cp.norm(U, 2, axis=0))

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return 0 and ||z||_2 <= lam for each column z."""
        return cp.Constant(0.0), [(cp.norm(Z, 2, axis=0) <= lam).set_label("dual_ball")]

    def value_above(self, blocks: FloatArray) -> float:
        """Return an upper bound of the sum of the norms of the groups."""
        return sum_above(norms_above(_by_feature(blocks)))

    def dual_norm_above(self, Z: FloatArray, radius: FloatArray) -> float:
        """Return an upper bound of the largest norm of a group."""
        return float(np.max(norms_above(_by_feature(above(np.abs(Z) + radius, 1)))))


@dataclass(frozen=True)
class L1(_SumOfGroupNorms, PatternNorm):
    """Omega(U) = sum of |u| over the entries u. Dual norm: the largest |z|.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> U = np.array([[[3.0, 4.0], [0.0, 1.0]]])  # one output, two patterns, two features
    >>> cr.L1().value(U)
    8.0
    >>> cr.L1().prox(U, 1.0).tolist()
    [[[2.0, 3.0], [0.0, 0.0]]]
    """

    name: ClassVar[str] = "l1"
    scales_by_block: ClassVar[bool] = True
    gated_is_lower_bound: ClassVar[bool] = True
    cone_multipliers_norm: ClassVar[Literal["block", "entry", "feature", "square"]] = "entry"

    def block_costs(self, blocks: FloatArray) -> FloatArray:
        """Return the sum of the absolute values of each block (m, d): shape (m,)."""
        costs: FloatArray = np.abs(blocks).sum(axis=1)
        return costs

    def pattern_dual_norm(self, Z: FloatArray) -> FloatArray:
        """Return the largest |z| of each pattern."""
        return _largest_of_pattern(self._norms(Z))

    def prox_jacobian(self, w: FloatArray, threshold: float) -> ProxJacobian:
        """Return the Jacobian of the soft-thresholding of w."""
        return entry_jacobian(w, threshold)

    def _norms(self, U: FloatArray) -> FloatArray:
        return np.abs(U)

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return the sum of the absolute values of the entries."""
        return cp.sum(cp.abs(U))

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return 0 and |z| <= lam for each entry z."""
        return cp.Constant(0.0), [(cp.abs(Z) <= lam).set_label("dual_ball")]

    def value_above(self, blocks: FloatArray) -> float:
        """Return an upper bound of the sum of the norms of the groups."""
        return sum_above(norms_above(_by_entry(blocks)))

    def dual_norm_above(self, Z: FloatArray, radius: FloatArray) -> float:
        """Return an upper bound of the largest norm of a group."""
        return float(np.max(norms_above(_by_entry(above(np.abs(Z) + radius, 1)))))


def _largest_of_pattern(sizes: FloatArray) -> FloatArray:
    """Return the maximum of sizes (..., P, d) over all axes but that of the patterns."""
    largest: FloatArray = sizes.max(axis=-1).reshape(-1, sizes.shape[-2]).max(axis=0)
    return largest


def _by_feature(blocks: FloatArray) -> FloatArray:
    """Return the feature groups as rows."""
    return blocks.reshape(-1, blocks.shape[-1]).T


def _by_entry(blocks: FloatArray) -> FloatArray:
    """Return the entries as rows."""
    return blocks.reshape(-1, 1)
