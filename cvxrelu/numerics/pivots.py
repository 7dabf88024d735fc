"""Pivots of the dual active-set method of `active_set` on one block."""

import numpy as np

from cvxrelu.runtime.blas import inner, times, transposed_times
from cvxrelu.runtime.compilation import kernel
from cvxrelu.runtime.vectors import add, lanes, load, scale, store

_DEPENDENT = 1e-20  # squared distance of a unit row from the span of the tight rows


@kernel()
def pivot(  # type: ignore[no-untyped-def]
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
    coordinates, direction, normal, null_part, reflector = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    n_violated = 0
    while n_pivots < limit and np.sqrt(inner(p, p)) > threshold:
        entering, n_violated = _entering(rows, candidates, violated, n_violated, offset, p, tolerance, margins)
        if entering < 0:
            break
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
            transposed_times(basis, null_part, direction)
            step = full_step if full_step < ratio else ratio
            multiplier += step
            add_multiple(step, direction, p)
            for i in range(d):
                if tight[i]:
                    gamma[i] -= step * coordinates[i]
            if ratio < full_step:
                _release(basis, tight, level, leaving, null_part, coordinates)
                gamma[leaving] = 0.0
            else:
                _enter(basis, tight, coordinates, direction, squared, slot, reflector)
                tight[slot], row[slot], level[slot] = True, candidates[entering], entering_level
                gamma[slot] = multiplier
                break
    return n_pivots


@kernel()
def _entering(rows, candidates, violated, n_violated, offset, p, tolerance, margins):  # type: ignore[no-untyped-def]
    """Return the most violated of the ``violated`` candidates, -1 if there is none, and update their number.

    All candidates are looked at only if none of those violated at the last look still is.
    """
    n_left, worst, entering = 0, -tolerance, -1
    for k in range(n_violated):
        j = violated[k]
        margin = inner(rows[j], p) - (offset[candidates[j]] if len(offset) else 0.0)
        if margin < -tolerance:
            violated[n_left] = j
            n_left += 1
            if margin < worst:
                worst, entering = margin, j
    n_violated = n_left
    if entering < 0:
        times(rows, p, margins)
        for j in range(len(rows)):
            margin = margins[j] - (offset[candidates[j]] if len(offset) else 0.0)
            if margin < -tolerance:
                violated[n_violated] = j
                n_violated += 1
                if margin < worst:
                    worst, entering = margin, j
    return entering, n_violated


@kernel()
def add_multiple(factor, source, target):  # type: ignore[no-untyped-def]
    """Add a multiple of a vector to another one. LLVM cannot tell that rows of a basis do not overlap."""
    size, width = len(target), lanes(target)
    whole = size - size % width
    for j in range(0, whole, width):
        store(target, j, add(load(target, j), scale(factor, load(source, j))))
    for j in range(whole, size):
        target[j] += factor * source[j]


@kernel()
def _enter(basis, tight, coordinates, direction, squared, slot, reflector):  # type: ignore[no-untyped-def]
    """Make the entering row tight in ``slot``; ``direction`` is its projection onto the null space.

    Its ``coordinates`` are those in the basis. A Householder reflection rotates the null space so that the vector in
    ``slot`` is the one removed. The pseudo-inverse gains a column for the new row, orthogonal to the other tight rows,
    and its other columns are updated.
    """
    d = len(coordinates)
    length = np.sqrt(squared)
    shift = length if coordinates[slot] >= 0.0 else -length
    share = 1.0 / (squared + abs(coordinates[slot]) * length)
    for j in range(d):
        reflector[j] = direction[j] + shift * basis[slot, j]
    for i in range(d):
        if tight[i]:
            add_multiple(-coordinates[i] / squared, direction, basis[i])
        elif i != slot:
            add_multiple(-coordinates[i] * share, reflector, basis[i])
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
            add_multiple(-change[i], null_part, basis[i])
    for j in range(d):
        basis[slot, j] = null_part[j]


@kernel()
def on_face(x, tolerance, basis, tight, level, n_levels, p, gamma, vectors):  # type: ignore[no-untyped-def]
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
    transposed_times(basis, coordinates, p)
