"""The linear operator A u = sum_i D_i X u_i and its adjoint, without the n x (P d) matrix."""

from collections.abc import Iterator
from functools import cached_property
from typing import Self

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.rounding import TINY
from cvxrelu.patterns.packed_mask import Mask
from cvxrelu.problems.operators import packed_products
from cvxrelu.problems.operators.numpy_products import NumpyProducts, row_blocks
from cvxrelu.problems.operators.packed_products import PackedProduct
from cvxrelu.problems.operators.shared import Data, IndexArray, Patterns, symmetric

_BLOCK_BYTES = 2**25
_POWER_ITERATIONS = 100
_POWER_ACCURACY = 1e-4
_POWER_SAFETY = 1.05
# Of the Gram matrix of a pair of patterns by NumPy, each of its n and n d; and of each byte of n d^2 in kernel tables.
_PAIR_SECONDS, _ROW_SECONDS, _ENTRY_SECONDS, _TABLE_SECONDS = 2e-5, 1e-8, 5e-10, 8e-11


class GatedOperator:
    """The operator A and its adjoint A' on (X, D), with bounded memory.

    ``A u`` for u (c, P, d) is the prediction (n, c) with column k equal to sum_i D_i X u_{k,i};
    ``A' t`` for t (n, c) is the array (c, P, d) with block (k, i) equal to X' D_i t_k.
    Large products are computed by compiled kernels on the packed mask (`packed_products`), others by NumPy
    (`numpy_products`). X and D must not change: copies of them are kept.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        The data; products are computed in its precision.
    D : ndarray or PackedMask of shape (n, P), bool
        The activation patterns, preferably in Fortran order. Packed masks are unpacked by tiles. Or `Patterns`, whose
        copies of the mask are shared.
    block_bytes : int
        Memory of the temporaries: 2 c min(P, d) floats for each row of a block of at least one row. Masks of at most
        2 MiB are cached as floats; larger ones need a tile of that size in addition. The products of all pairs of
        columns are cached too if they take no more. Kernels keep n P bits, beside those of a `PackedMask`, and n m
        bits for each restriction to m patterns, fewer than a quarter; NumPy computes if n P bits do not fit in the free
        memory. They keep a copy of X unless d is 4, 8, 12 or 16 (float64) or twice as large.

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

    def __init__(self, X: FloatArray, D: Mask | Patterns, block_bytes: int = _BLOCK_BYTES) -> None:
        self.X = X
        self.block_bytes = block_bytes
        self._data = Data(X)
        self._patterns = D if isinstance(D, Patterns) else Patterns(D)

    @property
    def D(self) -> Mask:
        """The activation patterns (n, P)."""
        return self._patterns.D

    @property
    def n_features(self) -> int:
        """Number d of features."""
        return int(self.X.shape[1])

    @property
    def n_patterns(self) -> int:
        """Number P of patterns."""
        return self._patterns.n_patterns

    def take(self, index: IndexArray) -> Self:
        """Return the operator restricted to the patterns in ``index``."""
        return self._with(self._data, self._patterns.take(index))

    def on_data(self, X: FloatArray) -> Self:
        """Return the operator with the same patterns on other data of the same shape, in their precision."""
        return self._with(Data(X), self._patterns)

    def _with(self, data: Data, patterns: Patterns) -> Self:
        other = object.__new__(type(self))
        other.X, other.block_bytes, other._data, other._patterns = data.X, self.block_bytes, data, patterns
        return other

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return the operator in another precision."""
        if self.X.dtype == dtype:
            return self
        return self.on_data(self.X.astype(dtype))

    def forward(self, U: FloatArray) -> FloatArray:
        """Return A u (n, c) for weights U (c, P, d); kernels skip zero blocks, NumPy patterns if most are zero."""
        used: BoolArray = np.logical_or.reduce(U, axis=2)
        n_blocks = int(np.count_nonzero(used))
        if self._is_packed(packed_products.FORWARD, U.shape, n_blocks):
            f = packed_products.forward(self._data, self._patterns, U, None if n_blocks == used.size else used)
            if f is not None:
                return f
        return self._numpy.forward(U.astype(self.X.dtype, copy=False), used)

    def adjoint(self, t: FloatArray, mask: BoolArray | None = None) -> FloatArray:
        """Return A' t (c, P, d) for t (n, c).

        With ``mask`` (c, P), blocks outside it are left zero if that saves work.
        """
        n, c = t.shape
        shape = c, self.n_patterns, self.n_features
        outputs = np.require(t.T, self.X.dtype, ["C", "A"])
        n_blocks = shape[0] * shape[1] if mask is None else int(np.count_nonzero(mask))
        fits = n == len(self.X) and (mask is None or (mask.shape == shape[:2] and mask.dtype == np.bool_))
        if fits and self._is_packed(packed_products.ADJOINT, shape, n_blocks):
            blocks = packed_products.adjoint(self._data, self._patterns, outputs, mask)
            if blocks is not None:
                if mask is None:
                    return blocks.reshape(shape)
                Z = np.zeros(shape, dtype=self.X.dtype)
                Z[mask] = blocks
                return Z
        return self._numpy.adjoint(outputs, np.ones(shape[:2], dtype=np.bool_) if mask is None else mask)

    def gram(self, first: IndexArray, second: IndexArray, weights: FloatArray | None = None) -> FloatArray:
        """Return X'D_i diag(w) D_j X (m, d, d) for m pairs of patterns i, j, and weights w (n,), by default ones.

        The matrices are symmetric, so they take a quarter of the operations of the product of the blocks D_i X; only
        few pairs do not pay for the products of all pairs of columns, and their tables.
        """
        (n, d), triangles = self.X.shape, None
        one_by_one = len(first) * (_PAIR_SECONDS + n * (_ROW_SECONDS + _ENTRY_SECONDS * d))
        if one_by_one < _TABLE_SECONDS * n * d * d * self.X.itemsize:
            return self._numpy.pairs(first, second, weights)
        fits = weights is None or weights.shape == (len(self.X),)
        if fits and self._is_packed(packed_products.GRAM, (1, self.n_patterns, d), len(first) * (d + 1) / 2):
            triangles = packed_products.gram(self._data, self._patterns, first, second, weights)
        if triangles is None:
            triangles = self._numpy.gram(first, second, weights)
        return symmetric(triangles, d)

    def as_floats(self) -> tuple[FloatArray, FloatArray]:
        """Return X' (d, n) and the mask (P, n) as floats in the precision of X, for small data."""
        return self._data.columns, self._numpy.mask_as_floats()

    def _is_packed(
        self, products: dict[np.dtype[np.floating], PackedProduct], shape: tuple[int, ...], n_blocks: float
    ) -> bool:
        """Return whether a kernel computes ``n_blocks`` blocks of a product with weights of a shape (c, P, d)."""
        first, size = self._patterns.first, float(self.X.size)
        whole = size * first.n_patterns * shape[0]
        product = products.get(self.X.dtype)
        if product is None or whole < packed_products.SMALLEST:
            return False
        if shape[1:] != (self.n_patterns, self.n_features) or not first.fits(len(self.X)):
            return False  # NumPy refuses other shapes
        return self._patterns.fits_in_memory and product.is_chosen(whole, size * n_blocks)

    @cached_property
    def _numpy(self) -> NumpyProducts:
        return NumpyProducts(self._data, self._patterns, self.block_bytes)

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

    def row_blocks(self, floats: int) -> Iterator[slice]:
        """Yield blocks of rows, for two temporaries of ``floats`` numbers a row."""
        return row_blocks(self.X, floats, self.block_bytes)
