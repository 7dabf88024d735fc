"""Masked products by compiled kernels, on masks of one bit per entry.

A kernel is used if its machine code is loaded or cached. It is compiled once products that it would have computed have
taken about as long as its compilation.
"""

import sys
import threading

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray, is_finite
from cvxrelu.problems.operators.packed_kernels import BLOCK, KERNELS, PASS, TABLES, WIDTH
from cvxrelu.problems.operators.shared import Data, IndexArray, Patterns
from cvxrelu.runtime.compilation import Kernel, PreparedArray, Savings
from cvxrelu.runtime.vectors import BYTES, aligned_zeros

SMALLEST = 2e6  # n P d c: below, loading a kernel takes longer than the products of a solve
_NUMPY_RATE = 2e10  # operations of a plain product in a second


class PackedProduct:
    """The kernel of a product in one precision, and whether to use it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._savings = Savings(kernel)

    def is_chosen(self, size: float, work: float) -> bool:
        """Return whether to use the kernel, after loading or compiling it if that pays.

        Parameters
        ----------
        size : float
            n P d c of the operator without restriction, so that one solve makes one choice.
        work : float
            n P d c of the product.
        """
        if size < SMALLEST or sys.byteorder != "little":  # words of bits are read as bytes
            return False
        if not self.kernel.is_ready():
            self._savings.add(2.0 * work / _NUMPY_RATE)
            self._savings.spend()
        return self.kernel.is_ready()


ADJOINT, FORWARD, GRAM = ({dtype: PackedProduct(kernels[k]) for dtype, kernels in KERNELS.items()} for k in range(3))


class _Scratch(threading.local):
    """Work arrays of the kernels, for each thread."""

    def __init__(self) -> None:
        self._arrays: dict[np.dtype[np.floating], tuple[PreparedArray, ...]] = {}
        words = (aligned_zeros(size, np.uint32) for size in (PASS, BLOCK))
        self.rows = *map(PreparedArray, words), PreparedArray(np.arange(BLOCK))

    def sums(self, dtype: np.dtype[np.floating]) -> tuple[PreparedArray, ...]:
        """Return the tables and the sums."""
        return self._of(dtype)[:2]

    def products(self, dtype: np.dtype[np.floating]) -> PreparedArray:
        """Return the products of columns."""
        return self._of(dtype)[2]

    def _of(self, dtype: np.dtype[np.floating]) -> tuple[PreparedArray, ...]:
        if dtype not in self._arrays:
            lanes = BYTES // dtype.itemsize
            sizes = TABLES * WIDTH * lanes, BLOCK * WIDTH * lanes, PASS * WIDTH * lanes + lanes
            self._arrays[dtype] = tuple(PreparedArray(aligned_zeros(size, dtype)) for size in sizes)
        return self._arrays[dtype]


_scratch = _Scratch()


def adjoint(data: Data, patterns: Patterns, outputs: FloatArray, used: BoolArray | None) -> FloatArray | None:
    """Return the blocks (m, d) of A't marked in ``used`` (c, P), by default all, in its order, for t' (c, n).

    None if an entry of the product, of X or of t is not finite: zeros of the mask then matter.
    """
    X, (c, n) = data.X, outputs.shape
    m = c * patterns.n_patterns if used is None else int(np.count_nonzero(used))
    d = data.n_used
    product, t = np.empty(m * d, dtype=X.dtype), outputs.reshape(-1)
    if used is not None:
        patterns, used = patterns.restricted(used)
    sizes = patterns.packed.n_patterns, n, d, data.stride
    arrays = patterns.packed.prepared_words, *patterns.blocks(used, c), data.panels, t, product
    ADJOINT[X.dtype].kernel(*arrays, *sizes, *_scratch.sums(X.dtype))
    if not (data.finite and is_finite(t) and is_finite(product)):
        return None
    if data.used is None:
        return product.reshape(m, d)
    blocks = np.zeros((m, X.shape[1]), dtype=X.dtype)
    blocks[:, data.used] = product.reshape(m, d)
    return blocks


def forward(data: Data, patterns: Patterns, U: FloatArray, used: BoolArray | None) -> FloatArray | None:
    """Return A u (n, c) for U (c, P, d), zero outside ``used`` (c, P), by default nowhere.

    None if an entry of the product, of X or of u is not finite: zeros of the mask then matter.
    """
    dtype, stride = data.X.dtype, data.stride
    n, c = len(data.X), len(U)
    u = U.reshape(-1, U.shape[2]) if used is None else U[used]
    weights = np.zeros((len(u), stride), dtype=dtype)
    weights[:, : data.n_used] = u if data.used is None else u[:, data.used]
    u, product = weights.reshape(-1), np.zeros(n * c, dtype=dtype)
    sizes = patterns.packed.n_patterns, n, stride
    arrays = patterns.packed.prepared_words, *patterns.blocks(used, c), data.panels, u, _ONE[dtype], product
    FORWARD[dtype].kernel(*arrays, *sizes, *_scratch.sums(dtype), *_scratch.rows)
    finite = data.finite and is_finite(u if data.used is None else U) and is_finite(product)
    return product.reshape(n, c) if finite else None


def gram(
    data: Data, patterns: Patterns, first: IndexArray, second: IndexArray, weights: FloatArray | None
) -> FloatArray | None:
    """Return the upper triangles (m, d (d + 1) / 2) of X'D_i diag(w) D_j X: masked sums of the rows x_a x_b, a <= b.

    None if an entry of the result, of X or of w is not finite: zeros of the masks then matter.
    """
    n, d = data.X.shape
    dtype = data.X.dtype
    weights = np.ones(n, dtype=dtype) if weights is None else np.require(weights, dtype, ["C", "A"])
    triangles = np.zeros((len(first), d * (d + 1) // 2), dtype=dtype)
    pairs = patterns.places[first], patterns.places[second]
    sizes, (_, *masks) = (patterns.packed.n_patterns, n, d), _scratch.rows
    arrays = patterns.packed.prepared_words, *pairs, data.rows, weights, triangles.ravel()
    GRAM[dtype].kernel(*arrays, *sizes, *masks, _scratch.products(dtype), *_scratch.sums(dtype))
    return triangles if data.finite and is_finite(weights) and is_finite(triangles) else None


_ONE = {dtype: PreparedArray(np.ones(1, dtype=dtype)) for dtype in KERNELS}
