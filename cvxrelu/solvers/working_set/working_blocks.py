"""The operators A_b = +-D_i X of a working set of C-ReLU, b = (sign, output, pattern), and its Newton systems."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.active_set import IndexArray

_CHUNK = 1024  # rows whose temporaries, d or m numbers each, stay in the cache


class WorkingBlocks:
    """The operators A_b and their adjoints for some blocks (sign, output, pattern) of a problem."""

    def __init__(self, X: FloatArray, D: BoolArray, n_outputs: int, ids: IndexArray) -> None:
        n_patterns = D.shape[1]
        self.ids = ids
        self.X = X
        self._columns = np.ascontiguousarray(X.T)
        self._signs = np.where(ids < n_outputs * n_patterns, 1.0, -1.0)
        self._masks = np.ascontiguousarray(D[:, ids % n_patterns].T, dtype=np.float64)
        self._single_masks: NDArray[np.float32] | None = None
        self._outputs = (ids // n_patterns) % n_outputs
        self._of_output = [np.flatnonzero(self._outputs == k) for k in range(n_outputs)]

    def adjoint(self, t: FloatArray) -> FloatArray:
        """Return A_b't_k (B, d) for t (n, c), with k the output of block b."""
        products = np.zeros((len(self.ids), self.X.shape[1]))
        for k, blocks in enumerate(self._of_output):
            masks = self._masks[blocks] if len(self._of_output) > 1 else self._masks
            for rows in self._chunks():
                products[blocks] += masks[:, rows] @ (t[rows, k, None] * self.X[rows])
        products *= self._signs[:, None]
        return products

    def forward(self, active: IndexArray, u: FloatArray) -> FloatArray:
        """Return sum_b A_b u_b (n, c) over the blocks at the sorted indices ``active``."""
        f = np.zeros((len(self.X), len(self._of_output)))
        for k, chosen in self._by_output(active):
            blocks = active[chosen]
            f[:, k] = self._masked_sum(blocks, self._signs[blocks, None] * u[chosen])
        return f

    def gram(self, blocks: IndexArray, vectors: FloatArray, first: int) -> FloatArray:
        """Return the inner products (m, m - first) of A_b v with those from ``first`` on, for vectors v (m, d).

        ``blocks`` (m,) are the indices of their blocks. Products of different outputs are zero.
        """
        gram = np.zeros((len(vectors), len(vectors) - first))
        signed = self._signs[blocks, None] * vectors
        for rows in self._chunks():
            products = signed @ self._columns[:, rows]
            products *= self._masks[blocks, rows]
            gram += products @ products[first:].T
        outputs = self._outputs[blocks]
        gram[outputs[:, None] != outputs[first:]] = 0.0
        return gram

    def solve(
        self,
        active: IndexArray,
        roots: FloatArray,
        counts: IndexArray,
        response: FloatArray,
        g: FloatArray,
        dtype: type[np.floating] = np.float64,
    ) -> FloatArray:
        """Return (Q^-1 + sum_b A_b Y_b'Y_b A_b')^-1 g for the diagonal Q > 0, ``response`` (n, c).

        The rows of all Y_b, ``counts`` (B,) for each active block, are stacked in ``roots`` (m, d). The matrix is
        factorised in the given precision. Memory: 16 m^2 bytes if m < n, else 8 n (m + 2 n); half in float32, where
        the result may be far off, or NaN.
        """
        z = response * g
        scale = np.sqrt(response)
        outputs = np.repeat(self._outputs[active], counts)
        for k, chosen in self._by_output(active):
            rows = roots[outputs == k] if len(chosen) < len(active) else roots
            part = _Roots(active[chosen], rows, counts[chosen])
            z[:, k] = scale[:, k] * self._solve_output(part, scale[:, k], g[:, k], dtype)
        return z

    def _solve_output(self, part: "_Roots", scale: FloatArray, g: FloatArray, dtype: type[np.floating]) -> FloatArray:
        """Return (I + B'B)^-1 Q^(1/2) g for B = Y A'Q^(1/2) (m, n), from I + B'B or I + BB', the smaller one."""
        m, n = len(part.roots), len(self.X)
        scaled = scale * g
        syrk = blas.ssyrk if dtype == np.float32 else blas.dsyrk
        if m >= n:
            return _cholesky_solve(syrk(1.0, self._rows_of_B(part, scale, slice(None), dtype).T), scaled)
        gram, product = np.zeros((m, m), dtype, order="F"), np.zeros(m)
        for rows in self._chunks():
            B = self._rows_of_B(part, scale, rows, dtype)
            gram = syrk(1.0, B.T, trans=1, beta=1.0, c=gram, overwrite_c=1)
            product += B @ scaled[rows].astype(dtype, copy=False)
        sums = block_sums(part.roots, part.counts, _cholesky_solve(gram, product))
        solution: FloatArray = scaled - scale * self._masked_sum(part.blocks, sums)
        return solution

    def _rows_of_B(self, part: "_Roots", scale: FloatArray, rows: slice, dtype: type[np.floating]) -> FloatArray:
        columns = (self._columns[:, rows] * scale[rows]).astype(dtype, copy=False)
        B: FloatArray = part.roots.astype(dtype, copy=False) @ columns
        masks = self._masks_of(dtype)
        stop = 0
        for block, count in zip(part.blocks.tolist(), part.counts.tolist(), strict=True):
            start, stop = stop, stop + count
            B[start:stop] *= masks[block, rows]
        return B

    def _masks_of(self, dtype: type[np.floating]) -> FloatArray:
        if dtype == np.float64:
            return self._masks
        if self._single_masks is None:
            self._single_masks = self._masks.astype(np.float32)
        return self._single_masks

    def _masked_sum(self, blocks: IndexArray, u: FloatArray) -> FloatArray:
        """Return sum_b D_b X u_b (n,)."""
        f = np.empty(len(self.X))
        for rows in self._chunks():
            f[rows] = np.vecdot(self._masks[blocks, rows].T @ u, self.X[rows])
        return f

    def _chunks(self) -> Iterator[slice]:
        for start in range(0, len(self.X), _CHUNK):
            yield slice(start, start + _CHUNK)

    def _by_output(self, active: IndexArray) -> list[tuple[int, IndexArray]]:
        if len(self._of_output) == 1:
            return [(0, np.arange(len(active)))] if len(active) else []
        outputs = self._outputs[active]
        parts = ((k, np.flatnonzero(outputs == k)) for k in range(len(self._of_output)))
        return [(k, chosen) for k, chosen in parts if len(chosen)]


@dataclass(frozen=True, eq=False)
class _Roots:
    """The stacked rows Y_b (m, d) of some blocks, ``counts`` for each."""

    blocks: IndexArray
    roots: FloatArray
    counts: IndexArray


def block_sums(roots: FloatArray, counts: IndexArray, weights: FloatArray) -> FloatArray:
    """Return Y_b'w_b (B, d) for the stacked rows Y_b, ``counts`` (B,) for each block, and their weights w (m,)."""
    sums = np.zeros((len(counts), roots.shape[1]))
    starts, used = np.cumsum(counts) - counts, counts > 0
    sums[used] = np.add.reduceat(weights[:, None] * roots, starts[used], axis=0)
    return sums


def _cholesky_solve(gram: FloatArray, g: FloatArray) -> FloatArray:
    """Return (I + gram)^-1 g from the upper triangle of gram.

    If rounding makes the matrix indefinite, the shift is larger in float64; in float32 the result is NaN.
    """
    single = gram.dtype == np.float32
    factorize, solve = (lapack.spotrf, lapack.spotrs) if single else (lapack.dpotrf, lapack.dpotrs)
    shift = 1.0
    while True:
        shifted = gram.copy(order="F")
        shifted.ravel(order="K")[:: len(gram) + 1] += shift
        factor, failed = factorize(shifted, overwrite_a=1, clean=0)
        if not failed:
            solution: FloatArray = solve(factor, g)[0]
            return solution.astype(np.float64, copy=False)
        if single:
            return np.full(len(g), np.nan)
        shift = max(10.0 * shift, 1e-14 * float(np.trace(gram)))
