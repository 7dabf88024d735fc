"""The dual active-set method of Goldfarb and Idnani (1983) for projections onto {p : R p >= b}, of many blocks at once.

The rows R are signed rows of X of norm one. For each block it stores the tight rows T and a basis of R^d in d slots:
the columns of the pseudo-inverse of R_T, and an orthonormal basis of the null space of R_T. Pivots look only at the
candidates of the block, rows that were violated before: one matrix product of all rows with the points of all
unfinished blocks finds the most violated ones, which become candidates, until there are none.

Pivots are many small sequential operations, so they run in a compiled kernel (see `compilation`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.pivots import on_face, pivot
from cvxrelu.runtime.blas import inner, products_with_rows
from cvxrelu.runtime.compilation import PreparedArray, kernel
from cvxrelu.runtime.vectors import lanes, load, scale, store

IndexArray = NDArray[np.intp]
ACCURACY = 1e-11  # of a projection, relative to its argument
NOISE = 1e-6  # norm of R'g taken as rounding, relative to the argument
_GROUP = 128  # blocks whose products with the rows are computed together
_TILE = 128  # rows of such a product
_LEAST_FOUND = 16  # violated rows of a block kept from one product
_FEATURES_FOUND = 1.0  # the same, for each feature
_CANDIDATES = 3  # capacity for candidates, relative to that


@dataclass(frozen=True, eq=False)
class Faces:
    """Tight rows, bases and candidates of B blocks; see the module.

    Attributes
    ----------
    basis : ndarray of shape (B, d, d)
        The bases.
    tight : ndarray of shape (B, d), bool
        Mask of the slots of tight rows.
    row : ndarray of shape (B, d)
        The tight rows by slot.
    level : ndarray of shape (B, d)
        Their b, zero in other slots.
    gamma : ndarray of shape (B, d)
        Multipliers of the last projection, zero in other slots.
    candidates : ndarray of shape (B, m + 1)
        The latest candidates, a ring of m rows, and how many there have been.
    """

    basis: FloatArray
    tight: BoolArray
    row: IndexArray
    level: FloatArray
    gamma: FloatArray
    candidates: IndexArray

    @classmethod
    def of(cls, size: int, d: int) -> Self:
        """Return arrays for ``size`` blocks, to be reset before use."""
        return cls(
            basis=np.empty((size, d, d)),
            tight=np.empty((size, d), dtype=np.bool_),
            row=np.empty((size, d), dtype=np.intp),
            level=np.empty((size, d)),
            gamma=np.empty((size, d)),
            candidates=np.empty((size, _CANDIDATES * _found(d) + 1), dtype=np.intp),
        )

    def __len__(self) -> int:
        return len(self.basis)

    @cached_property
    def prepared(self) -> tuple[PreparedArray, ...]:
        """The arrays."""
        return tuple(map(PreparedArray, self._arrays))

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.basis, self.tight, self.row, self.level, self.gamma, self.candidates

    @cached_property
    def work(self) -> tuple[PreparedArray, ...]:
        """Work arrays of the kernel."""
        d, candidates = self.basis.shape[1], self.candidates.shape[1]
        return tuple(
            PreparedArray(np.empty(shape, dtype=dtype))
            for shape, dtype in (
                ((_GROUP, d), np.float64),
                ((_GROUP * _TILE,), np.float64),
                ((_GROUP, _found(d)), np.float64),
                ((_GROUP, _found(d)), np.intp),
                ((4, _GROUP), np.intp),
                ((candidates,), np.intp),
                ((candidates, d), np.float64),
                ((5, d), np.float64),
                ((candidates,), np.float64),
            )
        )

    def reset(self, slots: slice) -> None:
        """Remove all tight rows of some blocks."""
        self.basis[slots] = np.eye(self.basis.shape[1])
        for each in (self.tight, self.row, self.level, self.gamma, self.candidates):
            each[slots] = 0

    def resized(self, size: int, used: int) -> Self:
        """Return arrays for ``size`` blocks, the first ``used`` of them copied; others take no memory until used."""
        new = self.of(size, self.basis.shape[1])
        for target, source in zip(new._arrays, self._arrays, strict=True):
            target[:used] = source[:used]
        vars(new)["work"] = self.work
        return new

    def project(
        self,
        unit: FloatArray | PreparedArray,
        active: BoolArray | PreparedArray,
        pattern: IndexArray,
        offset: FloatArray | PreparedArray,
        slot: IndexArray,
        x: FloatArray,
        tolerance: FloatArray,
        threshold: float,
        limit: int,
    ) -> FloatArray:
        """Return projections of x (B, d), starting from the tight rows; see `project_blocks`."""
        p = np.empty(x.shape)
        project_blocks(
            unit,
            active,
            pattern,
            offset,
            slot,
            np.ascontiguousarray(x, dtype=np.float64),
            tolerance,
            threshold,
            limit,
            *self.prepared,
            p,
            *self.work,
        )
        return p


def _found(d: int) -> int:
    return max(_LEAST_FOUND, int(_FEATURES_FOUND * d))


_SIGNATURE = (
    "(float64[:, ::1], boolean[:, ::1], intp[::1], float64[:, ::1], intp[::1], float64[:, ::1], float64[::1],"
    "float64, int64, float64[:, :, ::1], boolean[:, ::1], intp[:, ::1], float64[:, ::1], float64[:, ::1],"
    "intp[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1], intp[:, ::1], intp[:, ::1],"
    "intp[::1], float64[:, ::1], float64[:, ::1], float64[::1])"
)


@kernel(_SIGNATURE)
def project_blocks(  # type: ignore[no-untyped-def]
    unit,
    active,
    pattern,
    offset,
    slot,
    x,
    tolerance,
    threshold,
    limit,
    basis,
    tight,
    row,
    level,
    gamma,
    candidates,
    p,
    points,
    products,
    margin,
    found,
    index,
    violated,
    gathered,
    vectors,
    margins,
):
    """Project x and update the tight sets of blocks to those of their projections, in place.

    Each block starts from its tight set without the rows of negative multipliers, a dual feasible point p = x + R_T'g.
    It stops when no row is violated by more than the tolerance, when ||p|| <= ``threshold``, or after about ``limit``
    pivots; also if the entering row depends on the tight ones to rounding.

    Parameters
    ----------
    unit : ndarray of shape (n, d)
        The rows, unsigned.
    active : ndarray of shape (P, n), bool
        Masks of the rows with sign +1, by pattern.
    pattern : ndarray of shape (B,)
        The pattern of each block.
    offset : ndarray of shape (B, n), or (B, 0) if b = 0
        b of each row.
    slot : ndarray of shape (B,)
        Index of each block in the `Faces`.
    x : ndarray of shape (B, d)
        Points to project.
    tolerance : ndarray of shape (B,)
        Largest violation taken as zero.
    threshold : float
        Norm below which a projection need not be exact.
    limit : int
        Limit of pivots for each block.
    basis, tight, row, level, gamma, candidates : ndarrays
        The arrays of `Faces`.
    p : ndarray of shape (B, d)
        Overwritten by x + R'g: the projections.
    points, products, margin, found, index, violated, gathered, vectors, margins : ndarrays
        Work arrays of shapes (g, d), (g m,), (g, k), (g, k), (4, g), (c,), (c, d), (5, d), (c,): g blocks are processed
        together, m rows of a product, k rows of it are kept for each block, and it has fewer than c candidates.
    """
    unfinished, pivots, n_found = index[0], index[1], index[2]
    d = x.shape[1]
    for start in range(0, len(x), len(points)):
        n_unfinished = min(len(points), len(x) - start)
        for i in range(n_unfinished):
            unfinished[i], pivots[i], n_found[i] = i, -1, 0
        while n_unfinished > 0:
            n_left = 0
            for i in range(n_unfinished):
                k = unfinished[i]
                b = start + k
                z, face, mask, bounds, point, multipliers = (
                    x[b],
                    basis[slot[b]],
                    tight[slot[b]],
                    level[slot[b]],
                    p[b],
                    gamma[slot[b]],
                )
                before = pivots[k]
                if n_found[i] > 0:
                    rows = candidates[slot[b]]
                    n_candidates = _gather(unit, active[pattern[b]], found[i], n_found[i], rows, gathered)
                    pivots[k] = pivot(
                        gathered[:n_candidates],
                        rows,
                        violated,
                        offset[b],
                        tolerance[b],
                        threshold,
                        limit,
                        pivots[k],
                        face,
                        mask,
                        row[slot[b]],
                        bounds,
                        point,
                        multipliers,
                        vectors,
                        margins[:n_candidates],
                    )
                elif before < 0:
                    pivots[k] = 0
                else:
                    continue
                # After pivots, too: it removes rounding errors and, if a row could not enter, negative multipliers.
                on_face(z, tolerance[b], face, mask, bounds, offset.shape[1], point, multipliers, vectors)
                if before < pivots[k] < limit and np.sqrt(inner(point, point)) > threshold:
                    for j in range(d):
                        points[n_left, j] = point[j]
                    unfinished[n_left] = k
                    n_left += 1
            n_unfinished = n_left
            if n_left > 0:
                _most_violated(
                    unit, active, pattern, offset, tolerance, start, n_left, points, products, margin, found, index
                )


@kernel()
def _most_violated(  # type: ignore[no-untyped-def]
    unit, active, pattern, offset, tolerance, start, n_points, points, products, margin, found, index
):
    """Write the most violated rows of each unfinished block to ``found``, and their numbers to ``index[2]``."""
    unfinished, n_found, last = index[0], index[2], index[3]
    tile = len(products) // len(points)
    for i in range(n_points):
        n_found[i] = 0
    for first in range(0, len(unit), tile):
        width = min(tile, len(unit) - first)
        products_with_rows(points[:n_points], unit[first : first + width], products)
        for i in range(n_points):
            b = start + unfinished[i]
            signs, levels = active[pattern[b]], offset[b]
            enough = -tolerance[b] if n_found[i] < len(margin[i]) else margin[i, last[i]]
            signed = products[i * width : (i + 1) * width]
            for j in range(width):  # without branches
                signed[j] *= 2.0 * signs[first + j] - 1.0
            for j in range(width):
                value = signed[j] - levels[first + j] if len(levels) else signed[j]
                if value < enough:
                    if n_found[i] < len(margin[i]):
                        k = n_found[i]
                        n_found[i] += 1
                    else:
                        k = last[i]
                    margin[i, k], found[i, k] = value, first + j
                    if n_found[i] == len(margin[i]):  # find the least violated one again
                        last[i] = 0
                        for k in range(len(margin[i])):
                            if margin[i, k] > margin[i, last[i]]:
                                last[i] = k
                        enough = margin[i, last[i]]


@kernel()
def _gather(unit, active, found, n_found, candidates, gathered):  # type: ignore[no-untyped-def]
    """Add the rows found to the candidates, write the signed rows to ``gathered``, and return their number."""
    capacity = len(candidates) - 1
    for k in range(n_found):
        candidates[candidates[capacity] % capacity] = found[k]
        candidates[capacity] += 1
    size = min(capacity, candidates[capacity])
    for k in range(size):
        sign = 1.0 if active[candidates[k]] else -1.0
        source, target = unit[candidates[k]], gathered[k]
        whole = len(target) - len(target) % lanes(target)
        for j in range(0, whole, lanes(target)):
            store(target, j, scale(sign, load(source, j)))
        for j in range(whole, len(target)):
            target[j] = sign * source[j]
    return size
