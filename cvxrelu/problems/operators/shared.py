"""What an operator shares with its restrictions and its copies in other precisions."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.patterns.packed_mask import Mask, packed_bits, take_patterns
from cvxrelu.problems.operators.packed_kernels import WIDTH
from cvxrelu.runtime import memory
from cvxrelu.runtime.compilation import PreparedArray
from cvxrelu.runtime.vectors import BYTES, aligned_zeros, padded

IndexArray = NDArray[np.intp]
_PACKED = 256  # patterns that are packed at once
# Bits are gathered for less than a fraction of the patterns, of masks with more than a number of bytes of bits: for a
# restriction, and for one product (less than a word in a cache line, of a mask beyond the cache).
_KEPT, _ONCE = (1 / 4, 2**18), (1 / 16, 2**22)


class Data:
    """X (n, d), and its copies for products."""

    def __init__(self, X: FloatArray) -> None:
        self.X = X

    def __getstate__(self) -> dict[str, FloatArray]:
        return {"X": self.X}

    @cached_property
    def columns(self) -> FloatArray:
        """X' (d, n), C-contiguous."""
        columns = np.array(self.X.T, order="C")
        columns.flags.writeable = False
        return columns

    @cached_property
    def pair_products(self) -> FloatArray:
        """Products (n, d (d + 1) / 2) of all pairs of columns; see `triangle_parts`."""
        size = self.X.shape[1] * (self.X.shape[1] + 1) // 2
        ((_, products),) = triangle_parts(self.X, size)
        products.flags.writeable = False
        return products

    @cached_property
    def finite(self) -> bool:
        """Whether all entries are finite."""
        return bool(np.isfinite(self.X).all())

    @cached_property
    def used(self) -> IndexArray | None:
        """The columns of X that are not zero, which kernels take, or None for all: if they do not save a vector."""
        used = np.flatnonzero(self.X.any(axis=0))
        size = max(len(used), 1)
        return None if padded(size, self.X.dtype) == padded(self.X.shape[1], self.X.dtype) else used

    @property
    def n_used(self) -> int:
        """Number of columns that kernels take."""
        return int(self.X.shape[1]) if self.used is None else len(self.used)

    @cached_property
    def stride(self) -> int:
        """Columns that kernels take, padded to whole vectors."""
        return padded(self.n_used, self.X.dtype)

    @cached_property
    def rows(self) -> PreparedArray:
        """X, flat, followed by zeros."""
        return PreparedArray(np.concatenate([self.X.reshape(-1), np.zeros(BYTES // self.X.itemsize, self.X.dtype)]))

    @cached_property
    def panels(self) -> PreparedArray:
        """X in `panels`, of the columns that kernels take."""
        return PreparedArray(panels(self.X if self.used is None else self.X[:, self.used]))


class Patterns:
    """The mask D (n, P) of an operator, whose bits are packed once for all restrictions.

    Restrictions to few of many patterns hold their part of the bits too: these lie far apart in those of all patterns.

    Parameters
    ----------
    D : ndarray or PackedMask of shape (n, P), bool
        The activation patterns.
    """

    def __init__(self, D: Mask) -> None:
        self.D = D
        self._first: Self | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name in ("D", "index", "_first")}

    def take(self, index: IndexArray) -> Self:
        """Return the patterns in ``index``."""
        part = object.__new__(type(self))
        part._first, part.index = self.first, self.index[index]
        return part

    @property
    def first(self) -> Self:
        """The patterns of which these are a part."""
        return self if self._first is None else self._first

    @cached_property
    def D(self) -> Mask:
        """The mask (n, P)."""
        return take_patterns(self.first.D, self.index)

    @cached_property
    def index(self) -> IndexArray:
        """Indices (P,) of the patterns among the first ones."""
        return np.arange(self.D.shape[1])

    @property
    def n_patterns(self) -> int:
        """Number P of patterns."""
        return len(self.index)

    def fits(self, n: int) -> bool:
        """Return whether the mask has n rows of booleans."""
        return self.D.shape[0] == n and self.D.dtype == np.bool_

    @cached_property
    def packed(self) -> Self:
        """The patterns whose bits are packed for products with these: all, or these alone if they are few of many."""
        return self if self._are_few(self.n_patterns, _KEPT) else self.first

    def restricted(self, used: BoolArray) -> tuple[Self, BoolArray]:
        """Return the patterns with blocks in ``used`` (c, P), and their part of it, if that speeds up one product."""
        if self.packed is self.first and self._are_few(0, _ONCE):
            index = np.flatnonzero(used.any(axis=0))
            if self._are_few(len(index), _ONCE):
                return self.take(index), used[:, index]
        return self, used

    def _are_few(self, n_patterns: int, bounds: tuple[float, int]) -> bool:
        (n, P), (fraction, n_bytes) = self.first.D.shape, bounds
        return bool(n_patterns < fraction * P and n * P > 8 * n_bytes)

    @property
    def fits_in_memory(self) -> bool:
        """Whether the bits of all patterns are packed or fit in the free memory."""
        return "words" in vars(self.first) or memory.fits(self.first.D.size / 8)

    @cached_property
    def words(self) -> NDArray[np.uint32]:
        """Words (ceil(n / 32), P) of 32 rows each, with the bytes of `packed_bits`."""
        if self is not self.first:
            part: NDArray[np.uint32] = self.first.words.take(self.index, axis=1)
            return part
        (n, P), D = self.D.shape, self.D
        words = np.empty((-(-n // 32), P), dtype=np.uint32)
        for start in range(0, P, _PACKED):
            bits = packed_bits(take_patterns(D, slice(start, start + _PACKED)))
            padded = np.zeros((len(bits), 4 * len(words)), dtype=np.uint8)
            padded[:, : bits.shape[1]] = bits
            words[:, start : start + _PACKED] = padded.view(np.uint32).T
        return words

    @cached_property
    def prepared_words(self) -> PreparedArray:
        """The words, flat."""
        return PreparedArray(self.words.reshape(-1))

    @cached_property
    def places(self) -> IndexArray:
        """Indices (P,) of the patterns among those whose bits are packed."""
        return np.arange(self.n_patterns) if self.packed is self else self.index

    def blocks(self, used: BoolArray | None, n_outputs: int) -> tuple[PreparedArray, PreparedArray]:
        """Return the place of each block's pattern among those `packed`, and the first block of each output.

        Blocks are those in ``used`` (c, P), by default all.
        """
        if used is None and n_outputs in self._all_blocks:
            return self._all_blocks[n_outputs]
        if used is None:
            places, counts = np.tile(self.places, n_outputs), np.full(n_outputs, self.n_patterns)
        else:
            places, counts = self.places[used.nonzero()[1]], np.add.reduce(used, axis=1, dtype=np.intp)
        starts = np.zeros(n_outputs + 1, dtype=np.intp)
        np.add.accumulate(counts, out=starts[1:])
        blocks = PreparedArray(places), PreparedArray(starts)
        if used is None:
            self._all_blocks[n_outputs] = blocks
        return blocks

    @cached_property
    def _all_blocks(self) -> dict[int, tuple[PreparedArray, PreparedArray]]:
        """Cache of `blocks`, by the number of outputs."""
        return {}

    @cached_property
    def floats(self) -> dict[np.dtype[np.floating], FloatArray]:
        """Cache of the mask as floats (P, n), by their type."""
        return {}


def panels(X: FloatArray) -> FloatArray:
    """Return X (n, d), with zero columns up to whole vectors, as panels of the columns that a pass of a kernel takes.

    Panels are flat, one after the other: a pass reads contiguous memory. X is not copied if it is one panel.
    """
    (n, d), lanes = X.shape, BYTES // X.itemsize
    stride = padded(d, X.dtype)
    vectors = stride // lanes
    passes = -(-vectors // WIDTH)
    if passes == 1 and stride == d and X.flags.c_contiguous and X.flags.aligned:
        return X.reshape(-1)
    flat = aligned_zeros(n * stride, X.dtype)
    for part in range(passes):
        start, stop = (k * vectors // passes * lanes for k in (part, part + 1))
        flat[n * start : n * stop].reshape(n, stop - start)[:, : min(stop, d) - start] = X[:, start:stop]
    return flat


def triangle_parts(X: FloatArray, width: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yield parts of the products x_a x_b, a <= b, of the columns of X (n, d), with their places in the upper triangle.

    A part has the rows a of a block of the triangle: at least one, and at most ``width`` columns if there are more.
    """
    n, d = X.shape
    a = stop = 0
    while a < d:
        start, first = stop, a
        while a < d and (a == first or stop - start + d - a <= width):
            stop, a = stop + d - a, a + 1
        products = np.empty((n, stop - start), dtype=X.dtype)
        column = 0
        for k in range(first, a):
            np.multiply(X[:, k : k + 1], X[:, k:], out=products[:, column : column + d - k])
            column += d - k
        yield slice(start, stop), products


def symmetric(triangles: FloatArray, d: int) -> FloatArray:
    """Return symmetric matrices (m, d, d) from their upper triangles (m, d (d + 1) / 2)."""
    a = np.arange(d)
    low, high = np.minimum(a[:, None], a), np.maximum(a[:, None], a)
    matrices: FloatArray = triangles.take(low * (2 * d - 1 - low) // 2 + high, axis=1)
    return matrices
