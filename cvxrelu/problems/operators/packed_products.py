"""Masked products by compiled kernels, on masks of one bit per entry.

A kernel is used if its machine code is loaded or cached. It is compiled once products that it would have computed have
taken about as long as its compilation.
"""

import sys
import threading

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.problems.operators.packed_kernels import BLOCK, KERNELS, TABLES, WIDTH
from cvxrelu.problems.operators.shared import Data, IndexArray, Patterns, triangle_parts
from cvxrelu.runtime.compilation import Kernel, PreparedArray, Savings
from cvxrelu.runtime.vectors import BYTES

SMALLEST = 2e6  # n P d c: below, loading a kernel takes longer than the products of a solve
_NUMPY_RATE = 2e10  # operations of a plain product in a second
_GRAM_ROWS, _GRAM_COLUMNS = 512, 256  # of the products of columns that are held at once
_PAIR_BYTES = 2**22  # of the masks of pairs


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


ADJOINT, FORWARD = ({dtype: PackedProduct(kernels[k]) for dtype, kernels in KERNELS.items()} for k in range(2))


class _Scratch(threading.local):
    """Work arrays of the kernels, for each thread."""

    def __init__(self) -> None:
        self._arrays: dict[np.dtype[np.floating], tuple[PreparedArray, ...]] = {}
        self.words = np.zeros(4 * BLOCK // 8, dtype=np.uint64)
        self.bits = PreparedArray(self.words), PreparedArray(self.words.view(np.uint8)), PreparedArray(np.arange(BLOCK))

    def sums(self, dtype: np.dtype[np.floating]) -> tuple[PreparedArray, ...]:
        """Return the tables and the sums."""
        if dtype not in self._arrays:
            lanes = BYTES // dtype.itemsize
            sizes = TABLES * WIDTH * lanes, BLOCK * WIDTH * lanes
            self._arrays[dtype] = tuple(PreparedArray(np.zeros(size, dtype=dtype)) for size in sizes)
        return self._arrays[dtype]


_scratch = _Scratch()


def adjoint(data: Data, patterns: Patterns, outputs: FloatArray, used: BoolArray | None) -> FloatArray | None:
    """Return the blocks (m, d) of A't marked in ``used`` (c, P), by default all, in its order, for t' (c, n).

    None if an entry of the product, of X or of t is not finite: zeros of the mask then matter.
    """
    n, d = data.X.shape
    positions, starts = _blocks(patterns, used, len(outputs))
    Z = np.empty((len(positions), d), dtype=data.X.dtype)
    product, t = Z.reshape(-1), outputs.reshape(-1)
    tables, sums = _scratch.sums(data.X.dtype)
    kernel = ADJOINT[data.X.dtype].kernel
    kernel(patterns.bits, positions, starts, data.rows, t, product, n, d, data.stride, tables, sums)
    return Z if data.finite and _is_finite(t) and _is_finite(product) else None


def forward(data: Data, patterns: Patterns, blocks: FloatArray, used: BoolArray) -> FloatArray | None:
    """Return A u (n, c) for the blocks (m, d) of u marked in ``used`` (c, P), in its order.

    None if an entry of the product, of X or of u is not finite: zeros of the mask then matter.
    """
    n, d = data.X.shape
    dtype, stride = data.X.dtype, data.stride
    positions, starts = _blocks(patterns, used, len(used))
    f = np.zeros((n, len(used)), dtype=dtype)
    weights = np.zeros((len(blocks), stride), dtype=dtype)
    weights[:, :d] = blocks
    u, product = weights.reshape(-1), f.reshape(-1)
    tables, sums = _scratch.sums(dtype)
    kernel = FORWARD[dtype].kernel
    kernel(
        patterns.bits, positions, starts, data.rows, u, _ONE[dtype], product, n, stride, tables, sums, *_scratch.bits
    )
    return f if data.finite and _is_finite(u) and _is_finite(product) else None


def gram(
    data: Data, patterns: Patterns, first: IndexArray, second: IndexArray, weights: FloatArray | None
) -> FloatArray | None:
    """Return the upper triangles (m, d (d + 1) / 2) of X'D_i diag(w) D_j X: masked sums of the rows x_a x_b, a <= b.

    None if an entry of the result, of X or of w is not finite: zeros of the masks then matter.
    """
    n, d = data.X.shape
    dtype = data.X.dtype
    bits = patterns.bits.array.reshape(-1, -(-n // 8))
    first, second = patterns.index[first], patterns.index[second]
    weights = np.ones(n, dtype=dtype) if weights is None else np.require(weights, dtype, ["C", "A"])
    triangles = np.zeros((len(first), d * (d + 1) // 2), dtype=dtype)
    step = max(1, _PAIR_BYTES // (_GRAM_ROWS // 8))
    for row in range(0, n, _GRAM_ROWS):
        rows, some = slice(row, row + _GRAM_ROWS), slice(row // 8, (row + _GRAM_ROWS) // 8)
        for start in range(0, len(first), step):
            pairs = slice(start, start + step)
            masks = bits[first[pairs], some] & bits[second[pairs], some]
            for columns, products in triangle_parts(data.X[rows], _GRAM_COLUMNS, BYTES // dtype.itemsize):
                triangles[pairs, columns] += _masked_sums(masks, products, columns.stop - columns.start, weights[rows])
    return triangles if data.finite and _is_finite(weights) and _is_finite(triangles) else None


def _masked_sums(masks: NDArray[np.uint8], rows: FloatArray, size: int, weights: FloatArray) -> FloatArray:
    """Return the sums (m, size) of the first columns of weighted rows over the bits of masks (m, ceil(n / 8))."""
    (m, n_bytes), (n, stride) = masks.shape, rows.shape
    sums = np.empty((m, size), dtype=rows.dtype)
    positions, starts = np.arange(0, m * n_bytes, n_bytes), np.array([0, m])
    tables, scratch = _scratch.sums(rows.dtype)
    kernel = ADJOINT[rows.dtype].kernel
    kernel(
        masks.reshape(-1),
        positions,
        starts,
        rows.reshape(-1),
        weights,
        sums.reshape(-1),
        n,
        size,
        stride,
        tables,
        scratch,
    )
    return sums


_ONE = {dtype: PreparedArray(np.ones(1, dtype=dtype)) for dtype in KERNELS}


def _blocks(patterns: Patterns, used: BoolArray | None, n_outputs: int) -> tuple[IndexArray, IndexArray]:
    """Return the positions of the patterns of each block in ``used`` (c, P), and the first block of each output."""
    positions = patterns.positions
    if used is None:
        size = len(positions)
        return np.tile(positions, n_outputs), np.arange(0, size * n_outputs + 1, max(size, 1))[: n_outputs + 1]
    starts = np.zeros(n_outputs + 1, dtype=np.intp)
    np.add.accumulate(np.add.reduce(used, axis=1, dtype=np.intp), out=starts[1:])
    return positions[used.nonzero()[1]], starts


def _is_finite(array: FloatArray) -> bool:
    return bool(np.isfinite(array).all())
