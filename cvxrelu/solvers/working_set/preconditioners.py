"""Approximate inverses of shift I + M^(1/2) A'(nQ)A M^(1/2), the matrix of the Newton systems in the columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, cho_factor, solve_triangular

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import ConjugateDerivatives
from cvxrelu.penalties.prox_jacobians import GroupJacobian, ProxJacobian
from cvxrelu.problems.operators.gated_operator import GatedOperator

# Maps an array (c, k, d) to one of the same shape.
Preconditioner = Callable[[FloatArray], FloatArray]

_ROUNDING = 1e-6
ROUNDINGS = 10.0  # of a factor, in the unit roundoff of its precision
_ABSENT = 1e-8  # s of blocks that an output shrinks to zero


class ColumnFactor:
    """Inverse of shift I + M^(1/2) G M^(1/2), of one output, by a Cholesky factor of G + shift M^-1.

    M^-1 is added to the diagonal blocks alone, which takes less time than products with M^(1/2), and the factor is as
    accurate, since scaling does not change the rounding errors of Cholesky's method.

    Parameters
    ----------
    gram : ndarray of shape (k d, k d)
        G; overwritten.
    shrinkage, directions : ndarrays of shape (k,) and (k, d)
        s and e of M; see `GroupJacobian`.
    shift : float
        As in the matrix.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite in its precision.
    """

    def __init__(self, gram: FloatArray, shrinkage: FloatArray, directions: FloatArray, shift: float) -> None:
        (k, d), each = directions.shape, np.arange(len(directions))
        # Rounding errors of 1 / s along e, where M^-1 is 1, must stay small.
        least = np.where(shrinkage > 0.0, np.sqrt(np.finfo(gram.dtype).eps), _ABSENT)
        s = np.maximum(shrinkage, least).astype(gram.dtype)[:, None]
        self._root, self._directions = 1.0 / np.sqrt(s), directions
        diagonal = gram.reshape(k, d, k, d)
        blocks = diagonal[each, :, each, :]
        along = np.einsum("kd,kde,ke->k", directions, blocks, directions)
        trace = float(s[:, 0] @ np.trace(blocks, axis1=1, axis2=2) + (1.0 - s[:, 0]) @ along)
        rounding = ROUNDINGS * float(np.finfo(gram.dtype).eps) * trace / (k * d)
        inverse = (1.0 / s)[..., None] * np.eye(d, dtype=gram.dtype)
        inverse += (1.0 - 1.0 / s)[..., None] * (directions[:, :, None] * directions[:, None, :])
        diagonal[each, :, each, :] = blocks + gram.dtype.type(shift + rounding) * inverse
        self._factor = cho_factor(gram.T, overwrite_a=True, check_finite=False)[0]
        self._trsv = blas.dtrsv if gram.dtype == np.float64 else blas.strsv

    def __call__(self, r: FloatArray) -> FloatArray:
        """Solve for r (k, d)."""
        return self.other_half_solved(self.half_solved(r))

    def half_solved(self, r: FloatArray) -> FloatArray:
        """Return L^-1 M^(-1/2) r (k d,) for r (k, d) and the factor LL' of G + shift M^-1."""
        half: FloatArray = self._trsv(self._factor, self._half(r).ravel(), trans=1)
        return half

    def other_half_solved(self, z: FloatArray) -> FloatArray:
        """Return M^(-1/2) L'^-1 z (k, d)."""
        return self._half(self._trsv(self._factor, z).reshape(self._directions.shape))

    def forward(self, B: FloatArray) -> FloatArray:
        """Return L^-1 B for B (k d, m) in Fortran order, which is overwritten."""
        solved: FloatArray = solve_triangular(self._factor, B, trans=1, overwrite_b=True, check_finite=False)
        return solved

    def _half(self, v: FloatArray) -> FloatArray:
        """Return M^(-1/2) v."""
        along = np.einsum("kd,kd->k", v, self._directions)[:, None]
        halved: FloatArray = self._root * v + (1.0 - self._root) * along * self._directions
        return halved


@dataclass(frozen=True, eq=False)
class CholeskyFactors:
    """The factors of the outputs, on the patterns that each uses."""

    factors: Sequence[tuple[int, np.ndarray, ColumnFactor]]

    def __call__(self, r: FloatArray) -> FloatArray:
        """Solve by the factors."""
        solved = np.zeros_like(r)
        for output, used, factor in self.factors:
            solved[output, used] = factor(r[output, used])
        return solved


@dataclass(frozen=True, eq=False)
class CoupledFactor:
    """Cholesky factor of the matrix of all outputs."""

    factor: FloatArray

    def __call__(self, r: FloatArray) -> FloatArray:
        """Solve by the factor."""
        return _solved(self.factor, r.ravel()).reshape(r.shape)


def coupled_factor(A: GatedOperator, M: ProxJacobian, Q: ConjugateDerivatives, shift: float) -> CoupledFactor | None:
    """Factor the matrix of all outputs, couplings included; return None if it is not positive definite in float64.

    Parameters
    ----------
    A : GatedOperator
        On the active patterns.
    M : ProxJacobian
        The Jacobian on them.
    Q : ConjugateDerivatives
        nQ.
    shift : float
        As in the matrix.
    """
    c, k, d = Q.diagonal.shape[1], A.D.shape[1], A.n_features
    first, second = np.tril_indices(k)
    gram = np.zeros((k, c, d, k, c, d))
    for i in range(c):
        for j in range(i + 1):
            if i != j and Q.coupling is None:
                continue
            weights = Q.diagonal[:, i] if i == j else np.zeros(len(A.X))
            if Q.coupling is not None:
                weights = weights - Q.coupling[:, i] * Q.coupling[:, j]
            blocks = A.gram(first, second, weights)
            for output, other in ((i, j), (j, i)):
                gram[first, output, :, second, other] = gram[second, output, :, first, other] = blocks
    half = np.empty((k, c * d, c, d))  # M^(1/2) of each pattern
    unit = np.zeros((c, k, d))
    for row in range(c * d):
        unit[row // d, :, row % d] = 1.0
        half[:, row] = M.half(unit).transpose(1, 0, 2)
        unit[row // d, :, row % d] = 0.0
    roots = half.reshape(k, c * d, c * d)
    K = roots @ gram.reshape(k, c * d, -1)
    K = roots @ K.reshape(-1, k, c * d).transpose(1, 2, 0)
    K = K.reshape(k, c, d, k, c, d).transpose(1, 0, 2, 4, 3, 5).reshape(c * k * d, -1)
    K[np.diag_indices_from(K)] += shift
    try:
        return CoupledFactor(cho_factor(K.T, overwrite_a=True, check_finite=False)[0])  # symmetric
    except np.linalg.LinAlgError:
        return None


@dataclass(frozen=True, eq=False)
class Diagonal:
    """The inverse of the diagonal (c, k, d)."""

    inverse: FloatArray

    def __call__(self, r: FloatArray) -> FloatArray:
        """Scale the entries."""
        return self.inverse * r


@dataclass(frozen=True, eq=False)
class DiagonalBlocks:
    """The inverses of the diagonal blocks (c, k, d, d)."""

    inverse: FloatArray

    def __call__(self, r: FloatArray) -> FloatArray:
        """Multiply the blocks."""
        solved: FloatArray = np.einsum("ckde,cke->ckd", self.inverse, r)
        return solved


class OverlapInverse:
    """Inverse with X'D_i Q D_j X replaced by (the weight of the rows in both patterns) times X'X / n.

    The matrix is then a Kronecker product, diagonalised by the eigenvectors of its two factors. Unlike diagonal blocks
    it models the overlap of dense patterns; blocks of M are replaced by s I.

    Parameters
    ----------
    A : GatedOperator
        On the active patterns.
    M : GroupJacobian
        The Jacobian on them.
    weights : ndarray of shape (n, c)
        The diagonal of nQ.
    shift : float
        As in the matrix.
    spectrum : pair of ndarrays
        Eigenvalues (d,) and eigenvectors (d, d) of X'X.
    """

    def __init__(
        self,
        A: GatedOperator,
        M: GroupJacobian,
        weights: FloatArray,
        shift: float,
        spectrum: tuple[FloatArray, FloatArray],
    ) -> None:
        dtype = A.X.dtype
        values, self._features = spectrum[0], spectrum[1].astype(dtype)
        self._parts = []
        for s, q in zip(M.shrinkage, weights.T, strict=True):
            used = np.flatnonzero(s)
            overlaps = np.zeros((len(used), len(used)))
            for rows in A.row_blocks(len(used)):
                mask = np.sqrt(s[used]) * A.D[rows, used].astype(dtype)
                overlaps += mask.T @ (q[rows, None] * mask)
            overlap_values, patterns = np.linalg.eigh(overlaps / len(q))
            inverse = 1.0 / (np.maximum(overlap_values, 0.0)[:, None] * values + shift)
            self._parts.append((used, patterns.astype(dtype), inverse.astype(dtype)))

    def __call__(self, r: FloatArray) -> FloatArray:
        """Solve in the eigenbasis."""
        solved = np.zeros_like(r)
        for k, (used, patterns, inverse) in enumerate(self._parts):
            rotated = patterns.T @ r[k, used] @ self._features
            solved[k, used] = patterns @ (inverse * rotated) @ self._features.T
        return solved


class WithDirections:
    """A preconditioner plus a coarse correction on the span of the directions e of the active blocks, where M is 1.

    Parameters
    ----------
    base : Preconditioner
        Preconditioner to correct.
    A : GatedOperator
        On the active patterns.
    M : GroupJacobian
        The Jacobian on them.
    weights : ndarray of shape (n, c)
        The diagonal of nQ.
    shift : float
        As in the matrix.
    """

    def __init__(
        self, base: Preconditioner, A: GatedOperator, M: GroupJacobian, weights: FloatArray, shift: float
    ) -> None:
        self._base = base
        self._directions = M.directions
        self._factors = []
        for s, directions, q in zip(M.shrinkage, M.directions, weights.T, strict=True):
            used = np.flatnonzero(s)
            E = np.zeros((len(used), len(used)))
            for rows in A.row_blocks(len(used)):
                along = (A.X[rows] @ directions[used].T) * A.D[rows, used]
                E += along.T @ (q[rows, None] * along)
            E[np.arange(len(E)), np.arange(len(E))] += shift + _ROUNDING * np.trace(E) / max(len(E), 1)
            self._factors.append((used, cho_factor(E.T, overwrite_a=True, check_finite=False)[0]))

    def __call__(self, r: FloatArray) -> FloatArray:
        """Apply the preconditioner and add the coarse correction."""
        along = np.einsum("ckd,ckd->ck", r, self._directions)
        for k, (used, factor) in enumerate(self._factors):
            along[k, used] = _solved(factor, along[k, used])
        corrected: FloatArray = self._base(r) + along[..., None] * self._directions
        return corrected


def gram_columns(A: GatedOperator, patterns: np.ndarray, first: int, weights: FloatArray | None = None) -> FloatArray:
    """Return the columns of the patterns from ``first`` on of the Gram matrix (k d, k d) of the blocks D_i X."""
    k, d = len(patterns), A.n_features
    row, column = np.nonzero(np.arange(k)[:, None] <= np.arange(first, k))  # those below the diagonal by symmetry
    blocks = A.gram(patterns[row], patterns[first + column], weights)
    gram = np.empty((k, d, k - first, d), dtype=blocks.dtype)
    gram[row, :, column] = blocks
    later = row >= first
    gram[first + column[later], :, row[later] - first] = blocks[later]
    return gram.reshape(k * d, (k - first) * d)


def _solved(factor: FloatArray, v: FloatArray) -> FloatArray:
    """Return (U'U)^-1 v for an upper factor U in Fortran order, in the precision of v.

    LAPACK's solution, for several right-hand sides, takes several times as long for one.
    """
    if len(v) == 0:
        return v
    trsv = blas.dtrsv if factor.dtype == np.float64 else blas.strsv
    half = trsv(factor, v.astype(factor.dtype, copy=False), trans=1)
    solution: FloatArray = trsv(factor, half, overwrite_x=1)
    return solution.astype(v.dtype, copy=False)
