"""Newton systems of C-GReLU in the rows: n x n matrices by Cholesky, where A M A' is a Hadamard product.

A M A' = XX' o (D S D') + E E' for one output, with M = s (I - ee') + ee' of each active pattern, S = diag(s) and the
columns sqrt(1 - s_i) D_i X e_i in E: n^2 k operations and not n^2 k d.
"""

import numpy as np
from scipy.linalg import blas, lapack

from cvxrelu._validation import FloatArray
from cvxrelu.penalties.prox_jacobians import GroupJacobian
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set.data_products import DataProducts

_TOLERANCE = 0.1
_REFINEMENTS = 6
_MOST_PRECISE = 4000
_HARMLESS = 0.01 / float(np.finfo(np.float32).eps)


def bytes_needed(n: int) -> float:
    """Return the bytes of XX' and a system of n rows, in both precisions where both are used."""
    return (24.0 if n <= _MOST_PRECISE else 8.0) * n**2


class RowSystems:
    """Solver of (Q^-1 + sigma A M A') x = -g, output by output, in 4 n^2 bytes and XX', or twice as much in float64.

    Factors are in float32. If their trace is large enough for rounding to matter, solutions are refined with float64
    products until the residual is a tenth of g. Once that fails, this and larger sigma are factored in float64, unless
    n is above 4,000.

    Parameters
    ----------
    products : DataProducts
        Products of the data.
    """

    def __init__(self, products: DataProducts) -> None:
        self._products = products
        self._precise_from = np.inf

    def solve(
        self, operator: GatedOperator, jacobian: GroupJacobian, diagonal: FloatArray, sigma: float, gradient: FloatArray
    ) -> FloatArray | None:
        """Return x (n, c), zero for outputs with negligible g, or None if the factorization fails.

        Parameters
        ----------
        operator : GatedOperator
            A on the active patterns.
        jacobian : GroupJacobian
            M on them, (c, k, d).
        diagonal : ndarray of shape (n, c)
            Q.
        sigma : float
            The proximal-point parameter.
        gradient : ndarray of shape (n, c)
            g.
        """
        solution = np.zeros_like(gradient)
        sizes = np.linalg.norm(gradient, axis=0)
        tol = _TOLERANCE * float(np.linalg.norm(gradient)) / np.sqrt(len(sizes))
        for k in np.flatnonzero(sizes > tol):
            used = np.flatnonzero(jacobian.shrinkage[k])
            M = GroupJacobian(jacobian.shrinkage[[k]][:, used], jacobian.directions[[k]][:, used])
            x = self._one_output(operator.take(used), M, diagonal[:, [k]], sigma, gradient[:, [k]], tol)
            if x is None:
                return None
            solution[:, [k]] = x
        return solution

    def _one_output(
        self, A: GatedOperator, M: GroupJacobian, Q: FloatArray, sigma: float, g: FloatArray, tol: float
    ) -> FloatArray | None:
        """Solve for one output (n, 1)."""
        if M.shrinkage.size == 0:
            return -Q * g
        if sigma < self._precise_from:
            factor, trace = self._factor(A, M, Q, sigma, np.float32)
            if factor is not None:
                if trace < _HARMLESS:
                    return -_solve(factor, Q, g)
                x = _refined(factor, A, M, Q, sigma, g, tol)
                if x is not None:
                    return x
            self._precise_from = sigma
        if len(g) > _MOST_PRECISE:
            return None
        factor, _ = self._factor(A, M, Q, sigma, np.float64)
        return None if factor is None else -_solve(factor, Q, g)

    def _factor(
        self, A: GatedOperator, M: GroupJacobian, Q: FloatArray, sigma: float, dtype: type[np.floating]
    ) -> tuple[FloatArray | None, float]:
        """Return the Cholesky factor of I + sigma Q^(1/2) A M A' Q^(1/2), None if it fails, and the trace."""
        double = dtype == np.float64
        syrk, potrf = (blas.dsyrk, lapack.dpotrf) if double else (blas.ssyrk, lapack.spotrf)
        s, scale = M.shrinkage[0], self._products.scale
        # Transposed, as BLAS reads arrays by columns.
        mask = np.multiply(np.asarray(A.D).T, (np.sqrt(sigma * Q) * scale).astype(dtype).T)
        along = (np.sqrt(1.0 - s)[:, None] * M.directions[0]).astype(dtype) @ (A.X / scale).astype(dtype).T
        along *= mask
        mask *= np.sqrt(s).astype(dtype)[:, None]
        H = syrk(1.0, mask.T, lower=1)
        H *= self._products.kernel(dtype).T  # symmetric, and stored as H is
        H = syrk(1.0, along.T, beta=1.0, c=H, lower=1, overwrite_c=1)
        diagonal = H.ravel("K")[:: len(H) + 1]
        diagonal += 1.0
        trace = float(diagonal.sum())
        factor, failed = potrf(H, lower=1, overwrite_a=1, clean=0)
        return None if failed else factor, trace


def _refined(
    factor: FloatArray, A: GatedOperator, M: GroupJacobian, Q: FloatArray, sigma: float, g: FloatArray, tol: float
) -> FloatArray | None:
    """Return x with a residual of at most ``tol`` by iterative refinement, or None if the factor is too inaccurate."""
    x, residual = np.zeros_like(g), g
    for _ in range(_REFINEMENTS):
        x = x - _solve(factor, Q, residual)
        residual = g + x / Q + sigma * A.forward(M.half(M.half(A.adjoint(x))))
        size = float(np.linalg.norm(residual))
        if size <= tol:
            return x
        if not size < np.inf:
            return None
    return None


def _solve(factor: FloatArray, Q: FloatArray, v: FloatArray) -> FloatArray:
    root = np.sqrt(Q)
    trsv = blas.dtrsv if factor.dtype == np.float64 else blas.strsv
    half = trsv(factor, (root * v).astype(factor.dtype)[:, 0], lower=1)
    solution: FloatArray = root * trsv(factor, half, lower=1, trans=1)[:, None]
    return solution
