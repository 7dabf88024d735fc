"""The linear operator A u = sum_i D_i X u_i and its adjoint, without the n x (P d) matrix."""

from collections.abc import Iterator
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.rounding import TINY
from cvxrelu.patterns.packed_mask import Mask, take_patterns

_BLOCK_BYTES = 2**25
_POWER_ITERATIONS = 100
_POWER_ACCURACY = 1e-4
_POWER_SAFETY = 1.05
_FEW = 0.5
_TILE_BYTES = 2**21


class GatedOperator:
    """The operator A and its adjoint A' on (X, D), with bounded memory.

    ``A u`` for u (c, P, d) is the prediction (n, c) with column k equal to sum_i D_i X u_{k,i};
    ``A' t`` for t (n, c) is the array (c, P, d) with block (k, i) equal to X' D_i t_k.
    Both are one matrix product: of the mask with an array of c d rows or of X with one of c P rows, whichever is fewer.
    Arrays have the rows of X in their last axis, as products of a tall mask with few columns are slow. The mask is
    converted to floats in tiles that fit in the cache, which is faster than reading floats from memory.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        The data; products are computed in its precision.
    D : ndarray or PackedMask of shape (n, P), bool
        The activation patterns, preferably in Fortran order. Packed masks are unpacked by tiles.
    block_bytes : int
        Memory of the temporaries: 2 c min(P, d) floats for each row of a block of at least one row. Masks of at most
        2 MiB are cached as floats; larger ones need a tile of that size in addition.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.array([[-2.0, 1.0], [0.5, 1.0]])
    >>> operator = cr.GatedOperator(X, np.array([[False, True], [True, True]]))
    >>> U = np.array([[[1.0, 0.0], [0.0, 3.0]]])
    >>> operator.forward(U)  # row 1: 3; row 2: 0.5 + 3
    array([[3. ],
           [3.5]])
    >>> t = np.array([[1.0], [-1.0]])
    >>> float(np.vdot(operator.forward(U), t)) == float(np.vdot(U, operator.adjoint(t)))
    True
    """

    def __init__(self, X: FloatArray, D: Mask, block_bytes: int = _BLOCK_BYTES) -> None:
        self.X = X
        self.D = D
        self.block_bytes = block_bytes
        self._data = _Data(X)

    @property
    def n_features(self) -> int:
        """Number d of features."""
        return int(self.X.shape[1])

    @property
    def n_patterns(self) -> int:
        """Number P of patterns."""
        return int(self.D.shape[1])

    @cached_property
    def _mask(self) -> FloatArray | None:
        """The mask as floats (P, n) if it is small; else None."""
        if self.D.size * self.X.itemsize > _TILE_BYTES:
            return None
        mask = self.D[:, :].T.astype(self.X.dtype, order="C")
        mask.flags.writeable = False
        return mask

    def take(self, index: NDArray[np.intp]) -> Self:
        """Return the operator restricted to the patterns in ``index``."""
        part = type(self)(self.X, take_patterns(self.D, index), self.block_bytes)
        part._data = self._data
        return part

    def on_data(self, X: FloatArray) -> Self:
        """Return the operator with the same patterns on other data of the same shape, in their precision."""
        return type(self)(X, self.D, self.block_bytes)

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return the operator in another precision."""
        return self.on_data(self.X.astype(dtype))

    def forward(self, U: FloatArray) -> FloatArray:
        """Return A u (n, c) for weights U (c, P, d); zero blocks are skipped if most blocks are zero."""
        c, P, d = U.shape
        used = np.any(U, axis=2)
        patterns = np.flatnonzero(np.any(used, axis=0))
        if len(patterns) < _FEW * P:
            return self.take(patterns).forward(U[:, patterns])
        U = U.astype(self.X.dtype, copy=False)
        if used.sum() < c * d:
            return self._forward_by_blocks(U[used], used)
        f = np.empty((len(self.X), c), dtype=self.X.dtype)
        columns = np.ascontiguousarray(U.transpose(0, 2, 1)).reshape(-1, P)
        for rows in self.row_blocks(c * d, P):
            products = columns @ self._tile(rows)
            f[rows] = np.einsum("cdr,dr->rc", products.reshape(c, d, products.shape[1]), self._data.columns[:, rows])
        return f

    def adjoint(self, t: FloatArray, mask: BoolArray | None = None) -> FloatArray:
        """Return A' t (c, P, d) for t (n, c).

        With ``mask`` (c, P), blocks outside it are left zero if that saves work.
        """
        c, P, d = t.shape[1], self.n_patterns, self.n_features
        outputs = np.ascontiguousarray(t.T, dtype=self.X.dtype)
        if mask is not None and mask.sum() < c * d:
            Z = np.zeros((c, P, d), dtype=self.X.dtype)
            Z[mask] = self._adjoint_by_blocks(outputs, mask)
            return Z
        if d > P:
            return self._adjoint_by_blocks(outputs, np.ones((c, P), dtype=np.bool_)).reshape(c, P, d)
        Z = np.zeros((c * d, P), dtype=self.X.dtype)
        for rows in self.row_blocks(c * d, c * d):  # weighted rows are at most as large as a tile of the mask
            weighted = outputs[:, None, rows] * self._data.columns[:, rows]
            weighted = weighted.reshape(c * d, weighted.shape[-1])
            step = max(1, self._tile_size // weighted.shape[1])
            for start in range(0, P, step):
                patterns = slice(start, start + step)
                Z[:, patterns] += weighted @ self._tile(rows, patterns).T
        return np.ascontiguousarray(Z.reshape(c, d, P).transpose(0, 2, 1))

    def _forward_by_blocks(self, blocks: FloatArray, used: BoolArray) -> FloatArray:
        """Return A u (n, c) for the blocks (m, d) marked in ``used`` (c, P), in its order."""
        f = np.zeros((len(self.X), len(used)), dtype=self.X.dtype)
        groups = _groups(used)
        for rows in self.row_blocks(len(blocks), self.n_patterns):
            mask, products = self._tile(rows), blocks @ self.X[rows].T
            for k, span, patterns in groups:
                f[rows, k] = np.einsum("pr,pr->r", products[span], mask[patterns])
        return f

    def _adjoint_by_blocks(self, outputs: FloatArray, used: BoolArray) -> FloatArray:
        """Return the blocks (m, d) of A't marked in ``used`` (c, P), in its order, for t' (c, n)."""
        size = int(used.sum())
        Z = np.zeros((size, self.n_features), dtype=self.X.dtype)
        groups = _groups(used)
        for rows in self.row_blocks(size, self.n_patterns):
            mask, t = self._tile(rows), outputs[:, rows]
            weighted = np.empty((size, t.shape[1]), dtype=self.X.dtype)
            for k, span, patterns in groups:
                np.multiply(t[k], mask[patterns], out=weighted[span])
            Z += weighted @ self.X[rows]
        return Z

    def squared_norm(self) -> float:
        """Return an upper estimate of ||A||_2^2: the power method, to a relative 1e-4, plus 5 %."""
        U = np.random.default_rng(0).standard_normal((1, self.n_patterns, self.n_features))
        size = 0.0
        for _ in range(_POWER_ITERATIONS):
            U = U / max(float(np.linalg.norm(U)), TINY)
            image = self.forward(U).astype(np.float64)
            previous, size = size, float(np.vdot(image, image))
            if abs(size - previous) <= _POWER_ACCURACY * size:
                break
            U = self.adjoint(image).astype(np.float64)
        return _POWER_SAFETY * size

    @property
    def _tile_size(self) -> int:
        """Number of entries of a tile of the mask; all entries if the mask is cached."""
        return max(1, _TILE_BYTES // self.X.itemsize if self._mask is None else self.D.size)

    def _tile(self, rows: slice, patterns: slice = slice(None)) -> FloatArray:
        """Return a part of the mask as floats (patterns, rows)."""
        mask = self._mask
        if mask is not None:
            return mask[patterns, rows]
        return self.D[rows, patterns].T.astype(self.X.dtype, order="C")

    def row_blocks(self, floats: int, patterns: int = 0) -> Iterator[slice]:
        """Yield blocks of rows, for two temporaries of ``floats`` numbers a row and a tile of ``patterns`` patterns."""
        step = max(1, self.block_bytes // max(2 * floats * self.X.itemsize, 1))
        if patterns:
            step = min(step, max(1, self._tile_size // patterns))
        for start in range(0, len(self.X), step):
            yield slice(start, start + step)


class _Data:
    """X and a contiguous copy of its transpose, shared by an operator and its restrictions."""

    def __init__(self, X: FloatArray) -> None:
        self._X = X

    @cached_property
    def columns(self) -> FloatArray:
        """X' (d, n), C-contiguous."""
        columns = np.array(self._X.T, order="C")
        columns.flags.writeable = False
        return columns


def _groups(used: BoolArray) -> list[tuple[int, slice, NDArray[np.intp] | slice]]:
    """Return the index, the span of blocks in order, and the patterns of each output with blocks in ``used`` (c, P)."""
    ends = np.cumsum(used.sum(axis=1))
    starts = np.concatenate([[0], ends[:-1]])
    return [
        (k, slice(start, end), slice(None) if end - start == used.shape[1] else np.flatnonzero(used[k]))
        for k, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
        if end > start
    ]
