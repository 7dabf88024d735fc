"""Newton systems of C-GReLU in the rows: n x n matrices by Cholesky, where A M A' is a Hadamard product.

A M A' = XX' o (D S D') + E E' for one output, with M = s (I - ee') + ee' of each active pattern, S = diag(s) and the
columns sqrt(1 - s_i) D_i X e_i in E: n^2 k operations and not n^2 k d.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.linalg import blas, lapack

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import TINY
from cvxrelu.penalties.prox_jacobians import GroupJacobian
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set.data_products import DataProducts

_TOLERANCE = 0.1
_KEPT_TOLERANCE = 0.02  # a rougher solution takes fewer iterations, but more Newton steps
_REFINEMENTS = 6
_MOST_PRECISE = 4000
_HARMLESS = 0.01 / float(np.finfo(np.float32).eps)
# Work for each entry of the matrix beside its patterns, and of XX' beside its columns: passes over memory.
_MATRIX, _KERNEL = 100.0, 150.0
# Work of an iteration: for each entry of the matrix, for each of the masked data, and beside.
_ENTRY, _MASKED, _OVERHEAD = 4.0, 3.0, 2e7
_EXPECTED, _CAUTION = 8.0, 1.3
_WORTH = 0.6  # of a factor, in iterations with another one
_AMORTISED = 0.3  # least part of the first factor that its step is charged, as later ones use it


def bytes_needed(n: int) -> float:
    """Return the bytes of XX', a system of n rows and a kept factor, in both precisions where both are used."""
    return (28.0 if n <= _MOST_PRECISE else 12.0) * n**2


class RowSystems:
    """Solver of (Q^-1 + sigma A M A') x = -g, output by output, in 4 n^2 bytes and XX', or twice as much in float64.

    Factors are in float32. If their trace is large enough for rounding to matter, solutions are refined with float64
    products until the residual is a tenth of g. Once that fails, this and larger sigma are factored in float64, unless
    n is above 4,000.

    The last factor of each output is kept, and preconditions conjugate gradients where these take less than a new one.
    They multiply by the matrix, or by the masked data if that is cheaper or if rounding matters.

    Parameters
    ----------
    products : DataProducts
        Products of the data.
    """

    def __init__(self, products: DataProducts) -> None:
        self._products = products
        self._key = object()  # of the kept factors; with this solver itself, they would hold each other in memory
        self._precise_from = np.inf
        self._expected: dict[int, float] = {}  # iterations with the kept factor of an output

    def cost(self, n_features: int, n_active: FloatArray) -> float:
        """Predict the work with ``n_active`` (c,) patterns, in float64 operations of a large product."""
        return sum(min(self._costs(k, n_features, float(m))) for k, m in enumerate(n_active))

    def _costs(self, k: int, d: int, m: float) -> tuple[float, float, float]:
        """Predict the work for output k by a new factor, and by the kept one with the matrix and with masked data."""
        n = len(self._products.X)
        matrix, factor = n * n * (m + _MATRIX), n**3 / 6.0
        if not self._products.knows_kernel(np.float32):
            matrix += n * n * (d + _KERNEL)
        kept = self._kept(k) is not None
        n_iter = self._expected[k] if kept else _EXPECTED
        with_matrix, with_data = (n_iter * iteration for iteration in self._iteration(m * d))
        if not kept:
            later = max(_AMORTISED * factor, with_matrix) if self._products.keeps(4.0 * n * n) else factor
            return matrix + min(factor, later), np.inf, np.inf
        return matrix + factor, matrix + with_matrix, with_data

    def _iteration(self, columns: float) -> tuple[float, float]:
        """Predict the work of an iteration with the matrix, and with so many columns of masked data."""
        n = len(self._products.X)
        iteration = _ENTRY * n * n + _OVERHEAD
        return iteration, iteration + _MASKED * n * columns

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
        for k in np.flatnonzero(sizes > tol).tolist():
            used = np.flatnonzero(jacobian.shrinkage[k])
            if len(used) == 0:
                solution[:, k] = -diagonal[:, k] * gradient[:, k]
                continue
            M = GroupJacobian(jacobian.shrinkage[[k]][:, used], jacobian.directions[[k]][:, used])
            system = _System(operator.take(used), M, np.sqrt(diagonal[:, [k]]), sigma, self._products)
            y = self._one_output(k, system, system.root * gradient[:, [k]], tol)
            if y is None:
                return None
            solution[:, [k]] = -system.root * y
        return solution

    def _one_output(self, k: int, system: "_System", right: FloatArray, tol: float) -> FloatArray | None:
        """Return y (n, 1) of output k with matrix y = right."""
        H: FloatArray | None = None
        trace = np.inf
        kept = self._kept(k)
        direct, with_matrix, with_data = self._costs(k, system.A.n_features, system.A.n_patterns)
        if kept is not None and min(with_matrix, with_data) < direct:
            product, masked = system.product, True
            if with_matrix < with_data:
                H, trace = system.matrix(np.float32)
                if trace < _HARMLESS:
                    product, masked = partial(_multiplied, H), False
            worth = _WORTH * len(right) ** 3 / 6.0
            limit = max(2, int(worth / self._iteration(system.A.n_patterns * system.A.n_features)[masked]))
            near = _KEPT_TOLERANCE / _TOLERANCE * tol
            y, count, solved = _conjugate_gradients(product, kept, right, system.root, near, limit)
            self._expected[k] = 0.5 * (self._expected[k] + _CAUTION * count)
            if solved:
                return y
        if system.sigma < self._precise_from:
            if H is None:
                H, trace = system.matrix(np.float32)
            factor = self._factor(k, H)
            if factor is not None and trace < _HARMLESS:
                return _solved(factor, right)
            if factor is not None:
                y, _, solved = _conjugate_gradients(system.product, factor, right, system.root, tol, _REFINEMENTS)
                if solved:
                    return y
            self._precise_from = system.sigma
        if len(right) > _MOST_PRECISE:
            return None
        factor = self._factor(k, system.matrix(np.float64)[0])
        return None if factor is None else _solved(factor, right)

    def _kept(self, k: int) -> FloatArray | None:
        """Return the last factor of output k, if it has been kept."""
        return self._products.factors.get((self._key, k))

    def _factor(self, k: int, H: FloatArray) -> FloatArray | None:
        """Return the Cholesky factor of a lower triangle, which it overwrites, and keep it; None if it fails."""
        potrf = lapack.dpotrf if H.dtype == np.float64 else lapack.spotrf
        factor: FloatArray
        factor, failed = potrf(H, lower=1, overwrite_a=1, clean=0)
        if failed:
            return None
        self._products.keep((self._key, k), factor)
        self._expected[k] = _EXPECTED
        return factor


class _System:
    """I + sigma Q^(1/2) A M A' Q^(1/2) of one output, whose Q^(1/2) is ``root`` (n, 1)."""

    def __init__(
        self, A: GatedOperator, M: GroupJacobian, root: FloatArray, sigma: float, products: DataProducts
    ) -> None:
        self.A, self.M, self.root, self.sigma = A, M, root, sigma
        self._products = products

    def product(self, v: FloatArray) -> FloatArray:
        """Return its product with v (n, 1), by masked products."""
        image = self.A.forward(self.M.half(self.M.half(self.A.adjoint(self.root * v))))
        image *= self.sigma * self.root
        image += v
        return image

    def matrix(self, dtype: type[np.floating]) -> tuple[FloatArray, float]:
        """Return its lower triangle, and its trace."""
        syrk = blas.dsyrk if dtype == np.float64 else blas.ssyrk
        s, scale = self.M.shrinkage[0], self._products.scale
        # Transposed, as BLAS reads arrays by columns.
        mask = np.multiply(np.asarray(self.A.D).T, (np.sqrt(self.sigma) * self.root * scale).astype(dtype).T)
        along = (np.sqrt(1.0 - s)[:, None] * self.M.directions[0]).astype(dtype) @ (self.A.X / scale).astype(dtype).T
        along *= mask
        mask *= np.sqrt(s).astype(dtype)[:, None]
        H = syrk(1.0, mask.T, lower=1)
        H *= self._products.kernel(dtype).T  # symmetric, and stored as H is
        H = syrk(1.0, along.T, beta=1.0, c=H, lower=1, overwrite_c=1)
        diagonal = H.ravel("K")[:: len(H) + 1]
        diagonal += 1.0
        return H, float(diagonal.sum())


def _conjugate_gradients(
    product: Callable[[FloatArray], FloatArray],
    factor: FloatArray,
    right: FloatArray,
    root: FloatArray,
    tol: float,
    limit: int,
) -> tuple[FloatArray, int, bool]:
    """Return y with product(y) = right, the iterations, and whether the residual / root has come down to ``tol``."""
    y, r, count = np.zeros_like(right), right, 0
    z = _solved(factor, r)
    p, rz = z, float(np.vdot(r, z))
    for count in range(1, limit + 1):
        image = product(p)
        length = rz / float(np.vdot(p, image))
        y, r = y + length * p, r - length * image
        if float(np.linalg.norm(r / root)) <= tol:
            return y, count, True
        z = _solved(factor, r)
        before, rz = rz, float(np.vdot(r, z))
        if not 0.0 < rz < np.inf:
            break
        p = z + rz / before * p
    return y, count, False


def _solved(factor: FloatArray, v: FloatArray) -> FloatArray:
    """Return (L L')^-1 v for a Cholesky factor L."""
    trsv = blas.dtrsv if factor.dtype == np.float64 else blas.strsv
    x, size = _rounded(v, factor)
    solution: FloatArray = size * trsv(factor, trsv(factor, x, lower=1), lower=1, trans=1)[:, None].astype(np.float64)
    return solution


def _multiplied(H: FloatArray, v: FloatArray) -> FloatArray:
    """Return H v for the lower triangle of H, in float32."""
    x, size = _rounded(v, H)
    image: FloatArray = size * blas.ssymv(1.0, H, x, lower=1)[:, None].astype(np.float64)
    return image


def _rounded(v: FloatArray, matrix: FloatArray) -> tuple[FloatArray, float]:
    """Return v (n, 1) over its largest entry, flat in the precision of a matrix, and that entry."""
    size = max(float(np.abs(v).max()), TINY)
    return (v / size).astype(matrix.dtype)[:, 0], size
