"""Penalties Omega of the regulariser R = lam * Omega: proximal maps, conjugates, subdifferentials, CVXPY.

Weights are arrays U (..., P, d), such as (c, P, d) or (2, c, P, d); a block is a vector U[..., i, :].
In CVXPY expressions the blocks are the rows of a matrix (m, d).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cvxrelu._validation import FloatArray, check_choice
from cvxrelu.lazy_imports import cp

__all__ = [
    "L1",
    "FeatureGroupL1",
    "GroupL1",
    "NoPenalty",
    "NormPenalty",
    "Nuclear",
    "Penalty",
    "SquaredL2",
    "get_penalty",
]

# Singular values below this fraction of the largest of their block are the rounding of zeros.
_RANK_TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}


class Penalty(ABC):
    """A convex function Omega >= 0 of the weights, Omega(0) = 0; lam >= 0 multiplies it in the problem.

    `value`, `prox` and `polar` are computed in the precision of their arguments, `conjugate` and
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
    """A norm; R* is 0 on the ball {Z : polar(Z) <= lam} and infinite outside."""

    is_norm: ClassVar[bool] = True
    degree: ClassVar[int | None] = 1

    @abstractmethod
    def polar(self, Z: FloatArray) -> float:
        """Return the dual norm, sup <Z, U> over Omega(U) <= 1."""

    def pattern_polar(self, Z: FloatArray) -> FloatArray:
        """Return the dual norm of each pattern's part Z[..., i, :] (P,), for norms that add up over patterns."""
        raise NotImplementedError(f"{self.name} does not add up over patterns")

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return 0 if polar(Z) <= lam, else infinity."""
        return 0.0 if self.polar(_double(Z)) <= lam else np.inf


class _SumOfGroupNorms(NormPenalty):
    """The sum of the Euclidean norms of disjoint groups of entries."""

    @abstractmethod
    def _norms(self, U: FloatArray) -> FloatArray:
        """Return the norms of the groups, in a shape that broadcasts against U."""

    def value(self, U: FloatArray) -> float:
        """Return the sum of the norms of the groups."""
        return float(np.sum(self._norms(U)))

    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return (1 - step / ||u||)_+ u for each group u."""
        norms = self._norms(U)
        shrinkage = np.ones_like(norms)
        np.divide(step, norms, out=shrinkage, where=norms > step)
        return (1 - shrinkage) * U

    def polar(self, Z: FloatArray) -> float:
        """Return the largest norm of a group."""
        return float(np.max(self._norms(Z)))

    def subdifferential_distance(self, U: FloatArray, G: FloatArray, lam: float) -> float:
        """Return the distance, for each group ||g - lam u / ||u|| ||, or (||g|| - lam)_+ where u = 0."""
        U, G = _double(U), _double(G)
        norms = self._norms(U)
        zero = norms == 0
        residual = self._norms(G - lam * U / np.where(zero, 1.0, norms))
        return float(np.linalg.norm(np.where(zero, np.maximum(residual - lam, 0.0), residual)))


@dataclass(frozen=True)
class GroupL1(_SumOfGroupNorms):
    """Omega(U) = sum of ||u||_2 over the blocks u.

    The neuron-wise penalty of the convex programs of two-layer networks with weight decay (Pilanci & Ergen
    2020; Mishkin, Sahiner & Pilanci, ICML 2022, arXiv 2202.01331). Dual norm: the largest ||z||_2.
    """

    name: ClassVar[str] = "group_l1"
    rotation_invariant: ClassVar[bool] = True

    def pattern_polar(self, Z: FloatArray) -> FloatArray:
        """Return the largest norm of a block of each pattern."""
        return _largest_of_pattern(self._norms(Z))

    def _norms(self, U: FloatArray) -> FloatArray:
        norms: FloatArray = np.sqrt(np.sum(U * U, axis=-1, keepdims=True))
        return norms

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return the sum of the norms of the rows."""
        return cp.sum(cp.norm(U, 2, axis=1))

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return 0 and ||z||_2 <= lam for each row z."""
        return cp.Constant(0.0), [(cp.norm(Z, 2, axis=1) <= lam).set_label("dual_ball")]


@dataclass(frozen=True)
class FeatureGroupL1(_SumOfGroupNorms):
    """Omega(U) = sum_j ||U[..., j]||_F: one group for each feature, over all blocks and outputs together.

    A feature whose group is zero is not used by the model at all. The authors' package (pyscnn) multiplies
    its feature penalty by sqrt(d); there is no such factor here. Dual norm: the largest ||Z[..., j]||_F.
    """

    name: ClassVar[str] = "feature_group_l1"

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


@dataclass(frozen=True)
class L1(_SumOfGroupNorms):
    """Omega(U) = sum of |u| over the entries u. Dual norm: the largest |z|."""

    name: ClassVar[str] = "l1"

    def pattern_polar(self, Z: FloatArray) -> FloatArray:
        """Return the largest |z| of each pattern."""
        return _largest_of_pattern(self._norms(Z))

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


@dataclass(frozen=True)
class Nuclear(NormPenalty):
    """Omega(U) = sum_i ||U[:, i, :]||_*, the sum of the singular values of each pattern's matrix (c, d).

    Weight decay of a gated network with c outputs is exactly this penalty; for c = 1 it is `GroupL1`.
    Weights must have shape (c, P, d), else ValueError. Dual norm: the largest spectral norm of a Z[:, i, :].
    """

    name: ClassVar[str] = "nuclear"
    rotation_invariant: ClassVar[bool] = True

    def value(self, U: FloatArray) -> float:
        """Return the sum of the singular values of all U[:, i, :]."""
        return float(np.sum(np.linalg.svd(_matrices(U), compute_uv=False)))

    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return U with the singular values s of each U[:, i, :] replaced by (s - step)_+."""
        Q, s, Rt = np.linalg.svd(_matrices(U), full_matrices=False)
        shrunk = np.maximum(s - float(step), 0)
        return np.ascontiguousarray(((Q * shrunk[:, None, :]) @ Rt).transpose(1, 0, 2))

    def polar(self, Z: FloatArray) -> float:
        """Return the largest singular value of all Z[:, i, :]."""
        return float(np.max(self.pattern_polar(Z)))

    def pattern_polar(self, Z: FloatArray) -> FloatArray:
        """Return the largest singular value of each Z[:, i, :]."""
        sizes: FloatArray = np.linalg.svd(_matrices(Z), compute_uv=False)[:, 0]
        return sizes

    def subdifferential_distance(self, U: FloatArray, G: FloatArray, lam: float) -> float:
        """Return the distance of G to lam * dOmega(U), pattern by pattern from U_i = Q1 diag(s) R1'.

        With N_i the part of G_i orthogonal to Q1 on the left and to R1 on the right, its square is the sum of
        ||G_i - N_i - lam Q1 R1'||_F^2 and of the squared excesses over lam of the singular values of N_i.
        A singular value of U_i counts as zero below 1e-12 (float32: 1e-5) times the largest of U_i.
        """
        G = _matrices(_double(G))
        Q, s, Rt = np.linalg.svd(_matrices(_double(U)), full_matrices=False)
        nonzero = s > _RANK_TOLERANCE[U.dtype] * s[:, :1]
        Q, Rt = Q * nonzero[:, None, :], Rt * nonzero[:, :, None]
        N = G - Q @ (Q.transpose(0, 2, 1) @ G)
        N = N - (N @ Rt.transpose(0, 2, 1)) @ Rt
        excess = np.maximum(np.linalg.svd(N, compute_uv=False) - lam, 0.0)
        return float(np.hypot(np.linalg.norm(G - N - lam * (Q @ Rt)), np.linalg.norm(excess)))

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return the sum of the nuclear norms of the patterns' matrices."""
        return cp.sum(cp.hstack([cp.normNuc(matrix) for matrix in _pattern_rows(U, n_outputs)]))

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return 0 and, for each pattern, that the spectral norm of its matrix is at most lam."""
        matrices = _pattern_rows(Z, n_outputs)
        return cp.Constant(0.0), [
            (cp.sigma_max(matrix) <= lam).set_label(f"dual_ball_{i}") for i, matrix in enumerate(matrices)
        ]


@dataclass(frozen=True)
class SquaredL2(Penalty):
    """Omega(U) = 1/2 ||U||_F^2; R*(Z) = ||Z||_F^2 / (2 lam)."""

    name: ClassVar[str] = "squared_l2"
    degree: ClassVar[int | None] = 2
    rotation_invariant: ClassVar[bool] = True

    def value(self, U: FloatArray) -> float:
        """Return 1/2 ||U||_F^2."""
        return float(np.sum(U * U)) / 2

    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return U / (1 + step)."""
        return U / (1 + float(step))

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return ||Z||_F^2 / (2 lam); for lam = 0, 0 if Z = 0 and infinity if not."""
        if lam == 0:
            return _indicator_of_zero(Z)
        return float(np.sum(_double(Z) ** 2)) / (2 * lam)

    def subdifferential_distance(self, U: FloatArray, G: FloatArray, lam: float) -> float:
        """Return ||G - lam U||_F."""
        return float(np.linalg.norm(_double(G) - lam * _double(U)))

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return 1/2 ||U||_F^2."""
        return cp.sum_squares(U) / 2

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return lam/2 ||Q||_F^2 and lam Q = Z with a variable Q, which has a meaning for lam = 0 too."""
        Q = cp.Variable(Z.shape, name="Q")
        return lam / 2 * cp.sum_squares(Q), [(lam * Q == Z).set_label("dual_scaling")]


@dataclass(frozen=True)
class NoPenalty(Penalty):
    """Omega(U) = 0; R*(Z) = 0 if Z = 0, infinite if not."""

    name: ClassVar[str] = "none"
    degree: ClassVar[int | None] = 1  # and any other
    rotation_invariant: ClassVar[bool] = True

    def value(self, U: FloatArray) -> float:
        """Return 0."""
        return 0.0

    def prox(self, U: FloatArray, step: float) -> FloatArray:
        """Return a copy of U."""
        return U.copy()

    def conjugate(self, Z: FloatArray, lam: float) -> float:
        """Return 0 if Z = 0, else infinity."""
        return _indicator_of_zero(Z)

    def subdifferential_distance(self, U: FloatArray, G: FloatArray, lam: float) -> float:
        """Return ||G||_F."""
        return float(np.linalg.norm(_double(G)))

    def expression(self, U: cp.Expression, n_outputs: int) -> cp.Expression:
        """Return 0."""
        return cp.Constant(0.0)

    def conjugate_constraints(
        self, Z: cp.Expression, lam: cp.Parameter, n_outputs: int
    ) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return 0 and Z = 0."""
        return cp.Constant(0.0), [(Z == 0).set_label("dual_zero")]


_PENALTIES: dict[str, type[Penalty]] = {
    penalty.name: penalty for penalty in (GroupL1, FeatureGroupL1, L1, SquaredL2, Nuclear, NoPenalty)
}


def get_penalty(penalty: str | Penalty) -> Penalty:
    """Return the penalty of that name, or the instance itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``penalty`` is neither a string nor an instance of `Penalty`.
    """
    if isinstance(penalty, Penalty):
        return penalty
    if not isinstance(penalty, str):
        raise TypeError(f"penalty must be a Penalty or one of {', '.join(_PENALTIES)}; got {penalty!r}")
    return _PENALTIES[check_choice("penalty", penalty, _PENALTIES)]()


def homogeneous(norm: Callable[[FloatArray], Any], Z: FloatArray) -> Any:
    """Return norm(Z), by a Z of unit size: the squares of tiny or huge entries would be lost."""
    largest = float(np.abs(Z).max())
    return largest * norm(Z / largest) if 0.0 < largest < np.inf else norm(Z)


def _double(U: FloatArray) -> FloatArray:
    return np.asarray(U, dtype=np.float64)


def _indicator_of_zero(Z: FloatArray) -> float:
    return np.inf if np.any(Z) else 0.0


def _largest_of_pattern(sizes: FloatArray) -> FloatArray:
    """Return the maximum over all axes but that of the patterns, of sizes (..., P, d)."""
    largest: FloatArray = sizes.max(axis=-1).reshape(-1, sizes.shape[-2]).max(axis=0)
    return largest


def _matrices(U: FloatArray) -> FloatArray:
    """Return the matrices U[:, i, :] as an array (P, c, d)."""
    if U.ndim != 3:
        raise ValueError(f"penalty 'nuclear' takes weights of shape (c, P, d); got shape {U.shape}")
    return U.transpose(1, 0, 2)


def _pattern_rows(U: cp.Expression, n_outputs: int) -> list[cp.Expression]:
    """Return the matrix (c, d) of each pattern; its rows are P apart."""
    n_patterns = U.shape[0] // n_outputs
    return [U[i::n_patterns, :] for i in range(n_patterns)]
