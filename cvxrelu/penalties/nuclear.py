"""The nuclear norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvxrelu._validation import FloatArray, as_float64
from cvxrelu.penalties.base import NormPenalty
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["Nuclear"]

# Singular values below this fraction of the largest of their block are the rounding of zeros.
_RANK_TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}


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

    def dual_norm(self, Z: FloatArray) -> float:
        """Return the largest singular value of all Z[:, i, :]."""
        return float(np.max(self.pattern_dual_norm(Z)))

    def pattern_dual_norm(self, Z: FloatArray) -> FloatArray:
        """Return the largest singular value of each Z[:, i, :]."""
        sizes: FloatArray = np.linalg.svd(_matrices(Z), compute_uv=False)[:, 0]
        return sizes

    def subdifferential_distance(self, U: FloatArray, G: FloatArray, lam: float) -> float:
        """Return the distance of G to lam * dOmega(U), pattern by pattern from U_i = Q1 diag(s) R1'.

        With N_i the part of G_i orthogonal to Q1 on the left and to R1 on the right, its square is the sum of
        ||G_i - N_i - lam Q1 R1'||_F^2 and of the squared excesses over lam of the singular values of N_i.
        A singular value of U_i counts as zero below 1e-12 (float32: 1e-5) times the largest of U_i.
        """
        G = _matrices(as_float64(G))
        Q, s, Rt = np.linalg.svd(_matrices(as_float64(U)), full_matrices=False)
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


def _matrices(U: FloatArray) -> FloatArray:
    """Return the matrices U[:, i, :] as an array (P, c, d)."""
    if U.ndim != 3:
        raise ValueError(f"penalty 'nuclear' takes weights of shape (c, P, d); got shape {U.shape}")
    return U.transpose(1, 0, 2)


def _pattern_rows(U: cp.Expression, n_outputs: int) -> list[cp.Expression]:
    """Return the matrix (c, d) of each pattern; its rows are P apart."""
    n_patterns = U.shape[0] // n_outputs
    return [U[i::n_patterns, :] for i in range(n_patterns)]
