"""The nuclear norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import above, norms_above, singular_values_above, sum_above
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.penalties.prox_jacobians import ProxJacobian, spectral_jacobian
from cvxrelu.runtime.lazy_imports import cp

__all__ = ["Nuclear"]


@dataclass(frozen=True)
class Nuclear(PatternNorm):
    """Omega(U) = sum_i ||U[:, i, :]||_*, the sum of the singular values of each pattern's matrix (c, d).

    It equals weight decay of a gated network with c outputs; for c = 1 it is `GroupL1`. Weights must have shape
    (c, P, d), else ValueError is raised. Dual norm: the largest spectral norm of a Z[:, i, :].

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> U = np.array([[[3.0, 0.0]], [[0.0, 4.0]]])  # two outputs, one pattern, two features
    >>> round(cr.Nuclear().value(U), 4)
    7.0
    >>> cr.Nuclear().prox(U, 1.0)[:, 0].round(4).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """

    name: ClassVar[str] = "nuclear"
    rotation_invariant: ClassVar[bool] = True
    couples_outputs: ClassVar[bool] = True
    scales_by_block: ClassVar[bool] = True

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

    def prox_jacobian(self, w: FloatArray, threshold: float) -> ProxJacobian:
        """Return the Jacobian of the singular-value thresholding of w."""
        return spectral_jacobian(w, threshold)

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

    def value_above(self, blocks: FloatArray) -> float:
        """Return an upper bound of the sum of all singular values."""
        return sum_above(singular_values_above(_matrices(blocks))[1])

    def dual_norm_above(self, Z: FloatArray, radius: FloatArray) -> float:
        """Return an upper bound of the largest singular value."""
        largest, _ = singular_values_above(_matrices(Z))
        errors = norms_above(_matrices(radius).reshape(len(largest), -1))
        return float(np.max(above(largest + errors, 1)))


def _matrices(U: FloatArray) -> FloatArray:
    """Return the matrices U[:, i, :] as an array (P, c, d)."""
    if U.ndim != 3:
        raise ValueError(f"penalty 'nuclear' takes weights of shape (c, P, d); got shape {U.shape}")
    return U.transpose(1, 0, 2)


def _pattern_rows(U: cp.Expression, n_outputs: int) -> list[cp.Expression]:
    """Return the matrix (c, d) of each pattern; its rows are P apart."""
    n_patterns = U.shape[0] // n_outputs
    return [U[i::n_patterns, :] for i in range(n_patterns)]
