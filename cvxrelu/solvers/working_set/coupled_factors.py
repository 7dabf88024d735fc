"""Factors of the Newton systems in the columns of losses that couple the outputs, exact but for rounding.

With nQ = diag(a) - bb' in each row, A'(nQ)A is the block diagonal matrix of the A_l' diag(a_l) A_l, less C'C with
C_l = diag(b_l) A_l, where A_l has the blocks of output l that are active in it. With few columns it is
factored as a whole, else by output, with a Schur complement in the rows for C'C.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import ConjugateDerivatives
from cvxrelu.penalties.prox_jacobians import GroupJacobian
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set.preconditioners import ROUNDINGS, ColumnFactor, Preconditioner, gram_columns

_CHUNK = 1024  # rows
_WIDEST = 2.0  # columns for each row up to which the matrix is factored as a whole: Schur complements cancel
_SLOWER = 1.5  # than a large product


def coupled_work(n: int, columns: FloatArray) -> float:
    """Return the operations of the factors, beside Gram matrices, for outputs with so many columns (c,)."""
    m = float(columns.sum())
    if m <= _WIDEST * n:
        return _SLOWER * (n * m**2 + m**3 / 3.0)
    return _SLOWER * (float(np.sum(columns**3) / 3.0 + n * np.sum(columns**2)) + n**2 * m + n**3 / 3.0)


def coupled_entries(n: int, columns: FloatArray) -> float:
    """Return the number of entries of the factors for outputs with so many columns (c,)."""
    m = float(columns.sum())
    return m**2 if m <= _WIDEST * n else float(np.sum(columns**2)) + n * m + n**2


def coupled_inverse(A: GatedOperator, M: GroupJacobian, Q: ConjugateDerivatives, shift: float) -> Preconditioner:
    """Return the inverse of shift I + M^(1/2) A'(nQ)A M^(1/2) on the blocks that are not shrunk to zero.

    Parameters
    ----------
    A : GatedOperator
        On the active patterns.
    M : GroupJacobian
        The Jacobian on them.
    Q : ConjugateDerivatives
        nQ, with a coupling.
    shift : float
        As in the matrix.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite in its precision.
    """
    outputs = [(k, np.flatnonzero(used)) for k, used in enumerate(M.support()) if used.any()]
    whole = sum(len(used) for _, used in outputs) * A.n_features <= _WIDEST * len(A.X)
    return _Whole(A, M, Q, shift, outputs) if whole else _ByOutput(A, M, Q, shift, outputs)


class _Whole:
    """A Cholesky factor of the matrix of all outputs."""

    def __init__(
        self,
        A: GatedOperator,
        M: GroupJacobian,
        Q: ConjugateDerivatives,
        shift: float,
        outputs: list[tuple[int, NDArray[np.intp]]],
    ) -> None:
        assert Q.coupling is not None
        self._used = M.support()
        (n, d), dtype, m = A.X.shape, A.X.dtype, int(np.count_nonzero(self._used)) * A.n_features
        syrk = blas.dsyrk if dtype == np.float64 else blas.ssyrk
        K = np.zeros((m, m), dtype=dtype, order="F")
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            C = np.hstack([_scaled(A, rows, used, Q.coupling[rows, k]) for k, used in outputs])
            K = syrk(-1.0, C.T, beta=1.0, c=K, overwrite_c=1)
        # Its weights a - b^2 may be far smaller than both.
        first = 0
        for k, used in outputs:
            own = slice(first, first + len(used) * d)
            K[own, own] = gram_columns(A, used, 0, Q.own[:, k])
            first = own.stop
        self._factor = ColumnFactor(K.T, M.shrinkage[self._used], M.directions[self._used], shift)

    def __call__(self, r: FloatArray) -> FloatArray:
        """Solve for r (c, k, d)."""
        solved = np.zeros_like(r)
        solved[self._used] = self._factor(r[self._used])
        return solved


@dataclass(frozen=True, eq=False)
class _Output:
    """The factor LL' of an output without C'C, and L^-1 C' (k d, n)."""

    index: int
    used: NDArray[np.intp]
    factor: ColumnFactor
    coupling: FloatArray


class _ByOutput:
    """Cholesky factors of the outputs, and of the Schur complement I - C (LL')^-1 C' (n, n)."""

    def __init__(
        self,
        A: GatedOperator,
        M: GroupJacobian,
        Q: ConjugateDerivatives,
        shift: float,
        outputs: list[tuple[int, NDArray[np.intp]]],
    ) -> None:
        assert Q.coupling is not None
        n, dtype = len(A.X), A.X.dtype
        double = dtype == np.float64
        syrk, potrf = (blas.dsyrk, lapack.dpotrf) if double else (blas.ssyrk, lapack.spotrf)
        S = np.zeros((n, n), dtype=dtype, order="F")
        self._outputs = []
        for k, used in outputs:
            gram = gram_columns(A, used, 0, Q.diagonal[:, k])
            factor = ColumnFactor(gram, M.shrinkage[k, used], M.directions[k, used], shift)
            coupling = factor.forward(_scaled(A, slice(None), used, Q.coupling[:, k]).T)
            S = syrk(-1.0, coupling, trans=1, beta=1.0, c=S, lower=1, overwrite_c=1)
            self._outputs.append(_Output(k, used, factor, coupling))
        S[np.diag_indices(n)] += dtype.type(1.0 + ROUNDINGS * np.finfo(dtype).eps)
        self._complement, failed = potrf(S, lower=1, overwrite_a=1, clean=0)
        if failed:
            raise np.linalg.LinAlgError("the Schur complement is not positive definite")
        self._trsv = blas.dtrsv if double else blas.strsv

    def __call__(self, r: FloatArray) -> FloatArray:
        """Solve for r (c, k, d)."""
        solved = np.zeros_like(r)
        halves = [each.factor.half_solved(r[each.index, each.used]) for each in self._outputs]
        rows = np.sum([z @ each.coupling for each, z in zip(self._outputs, halves, strict=True)], axis=0)
        rows = self._trsv(self._complement, self._trsv(self._complement, rows, lower=1), lower=1, trans=1)
        for each, z in zip(self._outputs, halves, strict=True):
            solved[each.index, each.used] = each.factor.other_half_solved(z + each.coupling @ rows)
        return solved


def _scaled(A: GatedOperator, rows: slice, patterns: NDArray[np.intp], weights: FloatArray) -> FloatArray:
    """Return the blocks diag(w) D_i X of patterns, for some rows, side by side."""
    mask = weights[:, None] * A.D[rows, patterns]
    blocks: FloatArray = mask[:, :, None] * A.X[rows, None, :]
    return blocks.reshape(len(mask), -1)
