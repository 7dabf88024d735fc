"""Masked products by NumPy, with bounded memory: the fallback of the kernels, and their oracle in tests."""

from collections.abc import Iterator

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.problems.operators.shared import Data, IndexArray, Patterns, triangle_parts

_TILE_BYTES, _CACHED_BYTES = 2**21, 2**22
_FEW = 0.5  # of the patterns: products with fewer are restricted to them
_COLUMNS = 4  # from which products by blocks of a cached mask are faster than with a restricted one


class NumpyProducts:
    """The products with A and A' as products of matrices.

    Both are one matrix product: of the mask with an array of c d rows or of X with one of c P rows, whichever is fewer.
    Arrays have the rows of X in their last axis, as products of a tall mask with few columns are slow. The mask is
    converted to floats in tiles that fit in the cache, which is faster than reading floats from memory.

    Parameters
    ----------
    data : Data
        X (n, d).
    patterns : Patterns
        D (n, P).
    block_bytes : int
        Memory of the temporaries, see `GatedOperator`.
    """

    def __init__(self, data: Data, patterns: Patterns, block_bytes: int) -> None:
        self._data, self._patterns, self._block_bytes = data, patterns, block_bytes
        self._n_patterns = patterns.n_patterns
        size, most = len(data.X) * patterns.n_patterns, _TILE_BYTES // data.X.itemsize
        self._caches_mask = size * data.X.itemsize <= _CACHED_BYTES
        self._tile_size = max(1, min(size, most))

    def forward(self, U: FloatArray, used: BoolArray) -> FloatArray:
        """Return A u (n, c) for weights U (c, P, d) in the precision of X, zero outside ``used`` (c, P).

        By blocks with fewer than c d of them, or with one output and less than half of the patterns of a cached mask,
        unless X has few columns.
        """
        c, P, d = U.shape
        by_blocks = self._caches_mask and c == 1 and d >= _COLUMNS and np.count_nonzero(used) < _FEW * P
        if not by_blocks:
            patterns = np.flatnonzero(used.any(axis=0))
            if len(patterns) < _FEW * P:
                part = NumpyProducts(self._data, self._patterns.take(patterns), self._block_bytes)
                return part.forward(U[:, patterns], used[:, patterns])
        if by_blocks or np.count_nonzero(used) < c * d:
            return self._forward_by_blocks(U[used], used)
        X = self._data.X
        f = np.empty((len(X), c), dtype=X.dtype)
        columns = np.ascontiguousarray(U.transpose(0, 2, 1)).reshape(-1, P)
        for rows in self._row_blocks(c * d, P):
            products = columns @ self._tile(rows)
            f[rows] = np.einsum("cdr,dr->rc", products.reshape(c, d, products.shape[1]), self._data.columns[:, rows])
        return f

    def adjoint(self, outputs: FloatArray, used: BoolArray) -> FloatArray:
        """Return A't (c, P, d) for t' (c, n) in the precision of X; blocks outside ``used`` (c, P) may be zero."""
        c, P, d = len(outputs), self._n_patterns, self._data.X.shape[1]
        dtype = self._data.X.dtype
        if d > P or np.count_nonzero(used) < c * d:
            Z = np.zeros((c, P, d), dtype=dtype)
            Z[used] = self._adjoint_by_blocks(outputs, used)
            return Z
        Z = np.zeros((c * d, P), dtype=dtype)
        for rows in self._row_blocks(c * d, c * d):  # weighted rows are at most as large as a tile of the mask
            weighted = outputs[:, None, rows] * self._data.columns[:, rows]
            weighted = weighted.reshape(c * d, weighted.shape[-1])
            step = max(1, self._tile_size // weighted.shape[1])
            for start in range(0, P, step):
                patterns = slice(start, start + step)
                Z[:, patterns] += weighted @ self._tile(rows, patterns).T
        return np.ascontiguousarray(Z.reshape(c, d, P).transpose(0, 2, 1))

    def gram(self, first: IndexArray, second: IndexArray, weights: FloatArray | None) -> FloatArray:
        """Return the upper triangles (m, d (d + 1) / 2) of X'D_i diag(w) D_j X."""
        X = self._data.X
        size = X.shape[1] * (X.shape[1] + 1) // 2
        triangles = np.zeros((len(first), size), dtype=X.dtype)
        for rows in row_blocks(X, len(first) + size, self._block_bytes):
            masks = np.ascontiguousarray(self._patterns.D[rows, :].T)
            both = (masks[first] & masks[second]).astype(X.dtype)
            if weights is not None:
                both *= weights[rows].astype(X.dtype, copy=False)
            parts = triangle_parts(X[rows], size)
            if X.shape[0] * size * X.itemsize <= _TILE_BYTES:
                parts = iter([(slice(size), self._data.pair_products[rows])])
            for columns, products in parts:
                triangles[:, columns] += both @ products
        return triangles

    def pairs(self, first: IndexArray, second: IndexArray, weights: FloatArray | None) -> FloatArray:
        """Return X'D_i diag(w) D_j X (m, d, d), one after the other."""
        X, D = self._data.X, self._patterns.D
        matrices = np.empty((len(first), X.shape[1], X.shape[1]), dtype=X.dtype)
        for k, (i, j) in enumerate(zip(first, second, strict=True)):
            rows = np.flatnonzero(D[:, int(i)] & D[:, int(j)])
            part = X[rows]
            matrices[k] = part.T @ (part if weights is None else weights[rows, None].astype(X.dtype) * part)
        return matrices

    def _forward_by_blocks(self, blocks: FloatArray, used: BoolArray) -> FloatArray:
        """Return A u (n, c) for the blocks (m, d) marked in ``used`` (c, P), in its order."""
        X = self._data.X
        f = np.zeros((len(X), len(used)), dtype=X.dtype)
        groups = _groups(used)
        for rows in self._row_blocks(len(blocks), self._n_patterns):
            mask, products = self._tile(rows), blocks @ X[rows].T
            for k, span, patterns in groups:
                f[rows, k] = np.einsum("pr,pr->r", products[span], mask[patterns])
        return f

    def _adjoint_by_blocks(self, outputs: FloatArray, used: BoolArray) -> FloatArray:
        """Return the blocks (m, d) of A't marked in ``used`` (c, P), in its order, for t' (c, n)."""
        X = self._data.X
        size = int(used.sum())
        Z = np.zeros((size, X.shape[1]), dtype=X.dtype)
        groups = _groups(used)
        for rows in self._row_blocks(size, self._n_patterns):
            mask, t = self._tile(rows), outputs[:, rows]
            weighted = np.empty((size, t.shape[1]), dtype=X.dtype)
            for k, span, patterns in groups:
                np.multiply(t[k], mask[patterns], out=weighted[span])
            Z += weighted @ X[rows]
        return Z

    def _tile(self, rows: slice, patterns: slice = slice(None)) -> FloatArray:
        """Return a part of the mask as floats (patterns, rows)."""
        if not self._caches_mask:
            return _floats(self._patterns.D[rows, patterns], self._data.X.dtype)
        return self.mask_as_floats()[patterns, rows]

    def mask_as_floats(self) -> FloatArray:
        """Return the mask (P, n) in the precision of X; it is cached if it is small."""
        dtype = self._data.X.dtype
        mask = self._patterns.floats.get(dtype)
        if mask is None:
            mask = _floats(self._patterns.D[:, :], dtype)
            mask.flags.writeable = False
            if self._caches_mask:
                self._patterns.floats[dtype] = mask
        return mask

    def _row_blocks(self, floats: int, patterns: int) -> Iterator[slice]:
        """Yield blocks of rows, for two temporaries of ``floats`` numbers a row and a tile of ``patterns`` patterns."""
        size = max(1, self._tile_size // patterns) if patterns else None
        return row_blocks(self._data.X, floats, self._block_bytes, size)


def _floats(D: BoolArray, dtype: np.dtype[np.floating]) -> FloatArray:
    """Return the transpose of a mask as floats: transposed first, which is four times as fast."""
    return np.ascontiguousarray(D.T).astype(dtype)


def row_blocks(X: FloatArray, floats: int, block_bytes: int, most: int | None = None) -> Iterator[slice]:
    """Yield blocks of at most ``most`` rows of X, with two temporaries of ``floats`` numbers a row in block_bytes."""
    step = max(1, block_bytes // max(2 * floats * X.itemsize, 1))
    if most is not None:
        step = min(step, most)
    for start in range(0, len(X), step):
        yield slice(start, start + step)


def _groups(used: BoolArray) -> list[tuple[int, slice, IndexArray | slice]]:
    """Return the index, the span of blocks in order, and the patterns of each output with blocks in ``used`` (c, P)."""
    groups: list[tuple[int, slice, IndexArray | slice]] = []
    start = 0
    for k, marks in enumerate(used):
        patterns = marks.nonzero()[0]
        span = slice(start, start + len(patterns))
        if len(patterns):
            groups.append((k, span, slice(None) if len(patterns) == len(marks) else patterns))
        start = span.stop
    return groups
