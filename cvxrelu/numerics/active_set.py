"""The dual active-set method of Goldfarb and Idnani (1983) for projections onto {p : R p >= b}, of many blocks at once.

The rows R are signed rows of X of norm one. For each block it stores the tight rows T and a basis of R^d in d slots:
the columns of the pseudo-inverse of R_T, and an orthonormal basis of the null space of R_T. Pivots look only at the
candidates of the block, rows that were violated before: one matrix product of all rows with the points of all
unfinished blocks finds the most violated ones, which become candidates, until there are none.

Pivots are many small sequential operations, so they run in a compiled kernel (see `compilation`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.runtime.blas import inner, products_with_rows, times, transposed_times
from cvxrelu.runtime.compilation import kernel

IndexArray = NDArray[np.intp]
_DEPENDENT = 1e-20  # squared distance of a unit row from the span of the tight rows
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

    def reset(self, slots: slice) -> None:
        """Remove all tight rows of some blocks."""
        self.basis[slots] = np.eye(self.basis.shape[1])
        for each in (self.tight, self.row, self.level, self.gamma, self.candidates):
            each[slots] = 0

    def resized(self, size: int, used: int) -> Self:
        """Return arrays for ``size`` blocks, the first ``used`` of them copied; others take no memory until used."""
        new = self.of(size, self.basis.shape[1])
        for name, array in vars(self).items():
            getattr(new, name)[:used] = array[:used]
        return new

    def project(
        self,
        unit: FloatArray,
        active: BoolArray,
        pattern: IndexArray,
        offset: FloatArray,
        slot: IndexArray,
        x: FloatArray,
        tolerance: FloatArray,
        threshold: float,
        limit: int,
    ) -> FloatArray:
        """Return projections of x (B, d), starting from the tight rows; see `project_blocks`."""
        d = x.shape[1]
        p, n_found = np.empty(x.shape), _found(d)
        size = min(_GROUP, max(1, len(x)))
        candidates = self.candidates.shape[1]
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
            self.basis,
            self.tight,
            self.row,
            self.level,
            self.gamma,
            self.candidates,
            p,
            np.empty((size, d)),
            np.empty(size * min(_TILE, max(1, len(unit)))),
            np.empty((size, n_found)),
            np.empty((size, n_found), dtype=np.intp),
            np.empty((4, size), dtype=np.intp),
            np.empty(candidates, dtype=np.intp),
            np.empty((candidates, d)),
            np.empty((5, d)),
            np.empty(candidates),
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
    unfinished, pivots = index[0], index[1]
    for start in range(0, len(x), len(points)):
        n_unfinished = 0
        for i in range(min(len(points), len(x) - start)):
            b = start + i
            s = slot[b]
            pivots[i] = 0
            _on_face(x[b], tolerance[b], basis[s], tight[s], level[s], len(offset[b]), p[b], gamma[s], vectors)
            if np.sqrt(inner(p[b], p[b])) > threshold:
                unfinished[n_unfinished] = i
                n_unfinished += 1
        while n_unfinished > 0:
            for i in range(n_unfinished):
                for j in range(len(points[i])):
                    points[i, j] = p[start + unfinished[i], j]
            _most_violated(
                unit, active, pattern, offset, tolerance, start, n_unfinished, points, products, margin, found, index
            )
            n_left = 0
            for i in range(n_unfinished):
                b = start + unfinished[i]
                s = slot[b]
                if index[2, i] == 0:
                    continue
                n_candidates = _gather(unit, active[pattern[b]], found[i], index[2, i], candidates[s], gathered)
                pivots[unfinished[i]] = _pivot(
                    gathered[:n_candidates],
                    candidates[s],
                    violated,
                    offset[b],
                    tolerance[b],
                    threshold,
                    limit,
                    pivots[unfinished[i]],
                    basis[s],
                    tight[s],
                    row[s],
                    level[s],
                    p[b],
                    gamma[s],
                    vectors,
                    margins[:n_candidates],
                )
                # Free of rounding errors; and without a row that could not enter, multipliers may be negative.
                _on_face(x[b], tolerance[b], basis[s], tight[s], level[s], len(offset[b]), p[b], gamma[s], vectors)
                if pivots[unfinished[i]] < limit and np.sqrt(inner(p[b], p[b])) > threshold:
                    unfinished[n_left] = unfinished[i]
                    n_left += 1
            n_unfinished = n_left


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
        for j in range(len(gathered[k])):
            gathered[k, j] = sign * unit[candidates[k], j]
    return size


@kernel()
def _pivot(  # type: ignore[no-untyped-def]
    rows,
    candidates,
    violated,
    offset,
    tolerance,
    threshold,
    limit,
    n_pivots,
    basis,
    tight,
    row,
    level,
    p,
    gamma,
    vectors,
    margins,
):
    """Pivot until no candidate is violated; return the number of pivots, ``limit`` if they cannot continue."""
    d = len(p)
    coordinates, direction, normal, null_part = vectors[0], vectors[1], vectors[2], vectors[3]
    n_violated = 0
    while n_pivots < limit and np.sqrt(inner(p, p)) > threshold:
        entering = -1
        while entering < 0:  # look at all candidates only if none of those violated at the last look still is
            if n_violated == 0:
                times(rows, p, margins)
                for k in range(len(rows)):
                    if len(offset):
                        margins[k] -= offset[candidates[k]]
                    if margins[k] < -tolerance:
                        violated[n_violated] = k
                        n_violated += 1
                if n_violated == 0:
                    return n_pivots
            n_left, worst = 0, -tolerance
            for k in range(n_violated):
                j = violated[k]
                value = inner(rows[j], p) - (offset[candidates[j]] if len(offset) else 0.0)
                if value < -tolerance:
                    violated[n_left] = j
                    n_left += 1
                    if value < worst:
                        worst, entering = value, j
            n_violated = n_left
        for i in range(d):
            normal[i] = rows[entering, i]
        entering_level = offset[candidates[entering]] if len(offset) else 0.0
        multiplier = 0.0
        while True:
            n_pivots += 1
            times(basis, normal, coordinates)
            ratio, leaving, squared, slot = np.inf, -1, 0.0, -1
            for i in range(d):
                null_part[i] = 0.0 if tight[i] else coordinates[i]
                if tight[i]:
                    if coordinates[i] > 0.0 and gamma[i] < ratio * coordinates[i]:
                        ratio, leaving = gamma[i] / coordinates[i], i
                else:
                    squared += coordinates[i] * coordinates[i]
                    if slot < 0 or abs(coordinates[i]) > abs(coordinates[slot]):
                        slot = i
            full_step = (entering_level - inner(normal, p)) / squared if squared > _DEPENDENT else np.inf
            if leaving < 0 and full_step == np.inf:
                return limit
            _combine(basis, null_part, direction)
            step = full_step if full_step < ratio else ratio
            multiplier += step
            for i in range(d):
                p[i] += step * direction[i]
                if tight[i]:
                    gamma[i] -= step * coordinates[i]
            if ratio < full_step:
                _release(basis, tight, level, leaving, null_part, coordinates)
                gamma[leaving] = 0.0
            else:
                _enter(basis, tight, coordinates, direction, squared, slot)
                tight[slot], row[slot], level[slot] = True, candidates[entering], entering_level
                gamma[slot] = multiplier
                break
    return n_pivots


@kernel()
def _combine(basis, weights, vector):  # type: ignore[no-untyped-def]
    """Write the sum of the rows of the basis with non-zero weights."""
    for j in range(len(vector)):
        vector[j] = 0.0
    for i in range(len(basis)):
        if weights[i] != 0.0:
            for j in range(len(vector)):
                vector[j] += weights[i] * basis[i, j]


@kernel()
def _enter(basis, tight, coordinates, direction, squared, slot):  # type: ignore[no-untyped-def]
    """Make the entering row tight in ``slot``; ``direction`` is its projection onto the null space.

    Its ``coordinates`` are those in the basis. A Householder reflection rotates the null space so that the vector in
    ``slot`` is the one removed. The pseudo-inverse gains a column for the new row, orthogonal to the other tight rows,
    and its other columns are updated.
    """
    d = len(coordinates)
    length = np.sqrt(squared)
    shift = length if coordinates[slot] >= 0.0 else -length
    scale = 1.0 / (squared + abs(coordinates[slot]) * length)
    for j in range(d):
        basis[slot, j] = direction[j] + shift * basis[slot, j]  # the reflector
    for i in range(d):
        if tight[i]:
            factor = coordinates[i] / squared
            for j in range(d):
                basis[i, j] -= factor * direction[j]
        elif i != slot:
            factor = coordinates[i] * scale
            for j in range(d):
                basis[i, j] -= factor * basis[slot, j]
    for j in range(d):
        basis[slot, j] = direction[j] / squared


@kernel()
def _release(basis, tight, level, slot, null_part, change):  # type: ignore[no-untyped-def]
    """Remove the row in ``slot`` from the tight set; ``null_part`` and ``change`` are work arrays.

    Its column of the pseudo-inverse is orthogonal to the other tight rows; normalised, it joins the null-space basis.
    """
    d = len(basis)
    tight[slot], level[slot] = False, 0.0
    length = np.sqrt(inner(basis[slot], basis[slot]))
    for j in range(d):
        null_part[j] = basis[slot, j] / length
    times(basis, null_part, change)
    for i in range(d):
        if tight[i]:
            for j in range(d):
                basis[i, j] -= change[i] * null_part[j]
    for j in range(d):
        basis[slot, j] = null_part[j]


@kernel()
def _on_face(x, tolerance, basis, tight, level, n_levels, p, gamma, vectors):  # type: ignore[no-untyped-def]
    """Drop tight rows, most negative multiplier first, until all are >= 0 to the tolerance; write p and multipliers."""
    d = len(x)
    coordinates, shift, change = vectors[0], vectors[1], vectors[2]
    while True:
        times(basis, x, coordinates)
        if n_levels:
            for i in range(d):
                change[i] = level[i] if tight[i] else 0.0
            transposed_times(basis, change, shift)
            times(basis, shift, change)
        slot = -1
        for i in range(d):
            if not tight[i]:
                gamma[i] = 0.0
                continue
            gamma[i] = (change[i] if n_levels else 0.0) - coordinates[i]
            if gamma[i] < -tolerance and (slot < 0 or gamma[i] < gamma[slot]):
                slot = i
        if slot < 0:
            break
        _release(basis, tight, level, slot, shift, coordinates)
    for i in range(d):
        if tight[i]:
            coordinates[i] = level[i]
            gamma[i] = max(gamma[i], 0.0)
    _combine(basis, coordinates, p)
