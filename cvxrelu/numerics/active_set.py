"""The dual active-set method of Goldfarb and Idnani (1983) for projections onto {p : R p >= b}.

The rows R are signed rows of X of norm one. Of each block it keeps the tight rows T and a basis of R^d in d slots:
the columns of the pseudo-inverse of R_T, and an orthonormal basis of the null space of R_T.

The pivots of a block are many small operations, one after another. In NumPy, many blocks in step, C-ReLU took 1.7 times
as long to solve as with a kernel: see `compilation`.
"""

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.runtime.blas import inner, times, transposed_times
from cvxrelu.runtime.compilation import kernel

IndexArray = NDArray[np.intp]
_DEPENDENT = 1e-20  # squared distance of a unit row from the span of the tight rows
_WORST = 0.75  # rows that violate by at least that share of the largest violation are looked at again first


def on_face(x: FloatArray, basis: FloatArray, tight: BoolArray, level: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the projections of x onto {p : R_T p = b_T}, and the multipliers of the tight rows in their slots.

    ``level`` (B, d) is b of the tight rows in their slots, zero in the others.
    """
    coordinates = np.matmul(basis, x[:, :, None])[:, :, 0]
    p: FloatArray = np.matmul(np.where(tight, level, coordinates)[:, None, :], basis)[:, 0]
    if level.any():
        shift = np.matmul((level * tight)[:, None, :], basis)[:, 0]
        coordinates -= np.matmul(basis, shift[:, :, None])[:, :, 0]
    return p, -coordinates * tight


@kernel(
    "(float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64, int64,"
    "float64[:, :, ::1], boolean[:, ::1], intp[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], intp[::1])"
)
def project_blocks(  # type: ignore[no-untyped-def]
    unit, active, offset, x, tolerance, enough, limit, basis, tight, row, level, vectors, margins, some
):
    """Move the tight sets of blocks to those of their projections, in place.

    Each block starts from its tight set without the rows of negative multipliers, a dual feasible point p = x + R_T'g.
    It is done when no row is violated by more than its tolerance, when ||p|| <= ``enough``, or after ``limit`` pivots
    or a few more. A row that is dependent on the tight ones to rounding ends it as well.

    Parameters
    ----------
    unit : ndarray of shape (n, d)
        The rows, unsigned.
    active : ndarray of shape (B, n), bool
        Where the sign is +1.
    offset : ndarray of shape (B, n), or (B, 0) where b = 0
        b of each row.
    x : ndarray of shape (B, d)
        What is projected.
    tolerance : ndarray of shape (B,)
        Violation that counts as none.
    basis, tight, row, level : ndarrays of shape (B, d, d), (B, d), (B, d), (B, d)
        The tight sets: basis, which slots are tight, their rows and their b.
    vectors, margins, some : ndarrays of shape (6, d), (n,), (n,)
        To write to: see `scratch`.
    """
    for k in range(len(x)):
        _project(
            unit,
            active[k],
            offset[k],
            x[k],
            tolerance[k],
            enough,
            limit,
            basis[k],
            tight[k],
            row[k],
            level[k],
            vectors,
            margins,
            some,
        )


def scratch(n: int, d: int) -> tuple[FloatArray, FloatArray, IndexArray]:
    """Return what `project_blocks` writes to, for n rows of d columns."""
    return np.empty((6, d)), np.empty(n), np.empty(n, dtype=np.intp)


@kernel()
def _project(  # type: ignore[no-untyped-def]
    unit, active, offset, x, tolerance, enough, limit, basis, tight, row, level, vectors, margins, some
):
    d = len(x)
    p, gamma, coordinates = vectors[0], vectors[1], vectors[2]
    direction, normal, loose = vectors[3], vectors[4], vectors[5]
    n_some = 0
    _drop_negative(x, basis, tight, level, p, gamma, coordinates, loose)
    n_pivots = 0
    while True:
        if np.sqrt(inner(p, p)) <= enough or n_pivots >= limit:
            return
        entering, n_some = _most_violated(unit, active, offset, p, tolerance, margins, some, n_some)
        if entering < 0:
            return
        sign = 1.0 if active[entering] else -1.0
        for i in range(d):
            normal[i] = sign * unit[entering, i]
        reach = offset[entering] if len(offset) else 0.0
        multiplier = 0.0
        while True:
            n_pivots += 1
            times(basis, normal, coordinates)
            ratio, leaving, squared, slot = np.inf, -1, 0.0, -1
            for i in range(d):
                loose[i] = 0.0 if tight[i] else coordinates[i]
                if tight[i]:
                    if coordinates[i] > 0.0 and gamma[i] < ratio * coordinates[i]:
                        ratio, leaving = gamma[i] / coordinates[i], i
                else:
                    squared += coordinates[i] * coordinates[i]
                    if slot < 0 or abs(coordinates[i]) > abs(coordinates[slot]):
                        slot = i
            full = (reach - inner(normal, p)) / squared if squared > _DEPENDENT else np.inf
            if leaving < 0 and full == np.inf:
                # Without the row that was entering, multipliers may be negative again.
                _drop_negative(x, basis, tight, level, p, gamma, coordinates, loose)
                return
            transposed_times(basis, loose, direction)
            step = full if full < ratio else ratio
            multiplier += step
            for i in range(d):
                p[i] += step * direction[i]
                if tight[i]:
                    gamma[i] -= step * coordinates[i]
            if ratio < full:
                _release(basis, tight, level, leaving, loose, coordinates)
                gamma[leaving] = 0.0
            else:
                _enter(basis, tight, coordinates, direction, squared, slot)
                tight[slot], row[slot], level[slot], gamma[slot] = True, entering, reach, multiplier
                break


@kernel()
def _most_violated(unit, active, offset, p, allowed, margins, some, n_some):  # type: ignore[no-untyped-def]
    """Return the row that is violated the most, -1 if none is, and the number of rows in ``some``.

    The worst ones of the last time that all rows were looked at go first: mostly one of them is violated still.
    """
    worst, entering = -allowed, -1
    for place in range(n_some):
        j = some[place]
        margin = inner(unit[j], p)
        margin = (margin if active[j] else -margin) - (offset[j] if len(offset) else 0.0)
        if margin < worst:
            worst, entering = margin, j
    if entering >= 0:
        return entering, n_some
    times(unit, p, margins)
    for j in range(len(unit)):
        if not active[j]:
            margins[j] = -margins[j]
        if len(offset):
            margins[j] -= offset[j]
        if margins[j] < worst:
            worst, entering = margins[j], j
    n_some = 0
    if entering >= 0:
        for j in range(len(unit)):
            if margins[j] <= _WORST * worst:
                some[n_some] = j
                n_some += 1
    return entering, n_some


@kernel()
def _enter(basis, tight, coordinates, direction, squared, slot):  # type: ignore[no-untyped-def]
    """Give the entering row the slot; its ``coordinates`` are in the basis, ``direction`` its part in the null space.

    A Householder reflection turns the null space so that its vector in ``slot`` is the one that it loses; the
    pseudo-inverse gets the new row's column, orthogonal to the other tight rows, and its others are corrected.
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
def _release(basis, tight, level, slot, loose, change):  # type: ignore[no-untyped-def]
    """Let the row in ``slot`` be no longer tight; ``loose`` and ``change`` are to write to.

    A column of the pseudo-inverse is orthogonal to the other tight rows: normalised, it joins the null space.
    """
    d = len(basis)
    tight[slot], level[slot] = False, 0.0
    length = np.sqrt(inner(basis[slot], basis[slot]))
    for j in range(d):
        loose[j] = basis[slot, j] / length
    times(basis, loose, change)
    for i in range(d):
        if tight[i]:
            for j in range(d):
                basis[i, j] -= change[i] * loose[j]
    for j in range(d):
        basis[slot, j] = loose[j]


@kernel()
def _drop_negative(x, basis, tight, level, p, gamma, coordinates, shift):  # type: ignore[no-untyped-def]
    """Drop tight rows, those of the most negative multipliers first, until all are >= 0; write p and multipliers.

    ``coordinates`` and ``shift`` are to write to.
    """
    d = len(x)
    while True:
        times(basis, x, coordinates)
        for i in range(d):
            if tight[i]:
                coordinates[i] = level[i]
        transposed_times(basis, coordinates, p)
        for i in range(d):
            shift[i] = p[i] - x[i]
        times(basis, shift, gamma)
        slot = -1
        for i in range(d):
            if not tight[i]:
                gamma[i] = 0.0
            elif gamma[i] < 0.0 and (slot < 0 or gamma[i] < gamma[slot]):
                slot = i
        if slot < 0:
            return
        _release(basis, tight, level, slot, shift, coordinates)
