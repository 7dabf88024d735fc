"""The linear map A u = sum_i D_i X u_i and its adjoint, without the n x (P d) matrix."""

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray

_BLOCK_BYTES = 2**25
_POWER_ITERATIONS = 100
_POWER_ACCURACY = 1e-4
_POWER_SAFETY = 1.05
_FEW = 0.5


class GatedOperator:
    """A and A' on (X, D), in row blocks of bounded memory.

    ``A u`` for u (c, P, d) is the prediction (n, c) with column k equal to sum_i D_i X u_{k,i};
    ``A' t`` for t (n, c) is the array (c, P, d) with block (k, i) equal to X' D_i t_k.
    Both are one matrix product: of the mask with an array of c d columns, or of X with one of c P, the fewer.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        The data; products are computed in its precision.
    D : ndarray of shape (n, P), bool
        The activation patterns.
    block_bytes : int
        Memory of the temporaries of one row block: P + 2 c min(P, d) floats for each of its rows. It holds at
        least one row. A mask that fits into one block is kept from call to call.
    """

    def __init__(self, X: FloatArray, D: BoolArray, block_bytes: int = _BLOCK_BYTES) -> None:
        self.X = X
        self.D = D
        self.block_bytes = block_bytes
        self._mask: FloatArray | None = None

    @property
    def n_features(self) -> int:
        """Number d of features."""
        return int(self.X.shape[1])

    @property
    def n_patterns(self) -> int:
        """Number P of patterns."""
        return int(self.D.shape[1])

    def take(self, index: NDArray[np.intp]) -> Self:
        """Return the operator of the patterns of ``index``."""
        part = type(self)(self.X, self.D[:, index], self.block_bytes)
        if self._mask is not None:
            part._mask = self._mask[:, index]
        return part

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return the operator in another precision."""
        return type(self)(self.X.astype(dtype), self.D, self.block_bytes)

    def forward(self, U: FloatArray) -> FloatArray:
        """Return A u (n, c) for weights U (c, P, d); patterns of zero weights cost nothing if they are the most."""
        active = np.flatnonzero(np.any(U, axis=(0, 2)))
        if len(active) < _FEW * self.n_patterns:
            return self.take(active).forward(U[:, active])
        c = U.shape[0]
        d = self.n_features
        f = np.empty((self.X.shape[0], c), dtype=self.X.dtype)
        if self.n_patterns < d:
            columns = U.reshape(-1, d).T.astype(self.X.dtype, copy=False)
            for rows, mask in self._row_blocks(c):
                f[rows] = np.einsum("rcp,rp->rc", (self.X[rows] @ columns).reshape(len(mask), c, -1), mask)
            return f
        columns = np.ascontiguousarray(U.transpose(1, 0, 2), dtype=self.X.dtype).reshape(-1, c * d)
        for rows, mask in self._row_blocks(c):
            products = (mask @ columns).reshape(-1, c, d)
            f[rows] = np.einsum("rcd,rd->rc", products, self.X[rows])
        return f

    def adjoint(self, t: FloatArray) -> FloatArray:
        """Return A' t (c, P, d) for t (n, c)."""
        c = t.shape[1]
        d = self.n_features
        t = t.astype(self.X.dtype, copy=False)
        if self.n_patterns < d:
            Z = np.zeros((c * self.n_patterns, d), dtype=self.X.dtype)
            for rows, mask in self._row_blocks(c):
                weighted = t[rows][:, :, None] * mask[:, None, :]
                Z += weighted.reshape(len(mask), -1).T @ self.X[rows]
            return Z.reshape(c, -1, d)
        Z = np.zeros((self.n_patterns, c * d), dtype=self.X.dtype)
        for rows, mask in self._row_blocks(c):
            weighted = t[rows][:, :, None] * self.X[rows][:, None, :]
            Z += mask.T @ weighted.reshape(-1, c * d)
        return np.ascontiguousarray(Z.reshape(-1, c, d).transpose(1, 0, 2))

    def squared_norm(self) -> float:
        """Return an upper estimate of ||A||_2^2: the power method's value, to 1e-4, and 5 % on top."""
        U = np.random.default_rng(0).standard_normal((1, self.n_patterns, self.n_features))
        size = 0.0
        for _ in range(_POWER_ITERATIONS):
            U = U / max(float(np.linalg.norm(U)), float(np.finfo(np.float64).tiny))
            image = self.forward(U).astype(np.float64)
            previous, size = size, float(np.vdot(image, image))
            if abs(size - previous) <= _POWER_ACCURACY * size:
                break
            U = self.adjoint(image).astype(np.float64)
        return _POWER_SAFETY * size

    def _row_blocks(self, c: int) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        if self._mask is not None:
            yield slice(None), self._mask
            return
        row_bytes = (self.n_patterns + 2 * c * min(self.n_patterns, self.n_features)) * self.X.itemsize
        step = min(len(self.X), max(1, self.block_bytes // max(row_bytes, 1)))
        buffer = np.empty((step, self.n_patterns), dtype=self.X.dtype)
        for start in range(0, len(self.X), step):
            rows = slice(start, start + step)
            mask = buffer[: len(self.X[rows])]
            mask[:] = self.D[rows]
            if step == len(self.X):
                self._mask = mask  # one block holds it all: converted once
            yield rows, mask
