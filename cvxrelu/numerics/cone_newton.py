"""Proximal-point steps for small C-ReLU programs on all blocks, by semismooth Newton in one kernel.

The blocks b = (sign, output, pattern) are in this order, and a step minimises the psi of
`cvxrelu.solvers.working_set.relu_newton`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu.numerics.active_set import ACCURACY, NOISE, project_blocks
from cvxrelu.numerics.cone_systems import adjoint, direction, predict
from cvxrelu.numerics.dual_terms import damp, dual_terms, inner_product
from cvxrelu.numerics.gated_losses import LOGISTIC
from cvxrelu.numerics.rounding import TINY
from cvxrelu.runtime.compilation import kernel

SLOPE_DROP = 0.6
ROUNDING = 1e-14
INEXACT = 0.25  # residual of a step, relative to what it moves
SEARCHES = 30
# Entries of the state: outcome, Newton steps taken, gap, and objective of the point.
OUTCOME, STEPS, GAP, OBJECTIVE = range(4)
DONE, CONVERGED, FAILED, LIMITED, OPEN = range(5)

_MATRIX, _VECTOR, _INDEX = "float64[:, ::1]", "float64[::1]", "intp[::1]"
_SIGNATURE = ",".join(
    [
        *(_MATRIX, _MATRIX, _MATRIX, _MATRIX, "int64", "float64", "float64"),
        *("float64", "float64", "int64"),
        *(_MATRIX, _MATRIX, _MATRIX, _MATRIX),
        *(_MATRIX, "boolean[:, ::1]", _MATRIX, _VECTOR, _INDEX),
        *("float64[:, :, ::1]", "boolean[:, ::1]", "intp[:, ::1]", _MATRIX, _MATRIX, "intp[:, ::1]"),
        *(_MATRIX, _VECTOR, _MATRIX, "intp[:, ::1]", "intp[:, ::1]", _INDEX, _MATRIX, _MATRIX, _VECTOR),
        *("float64[:, :, ::1]", "float64[:, :, ::1]", _MATRIX, "intp[:, ::1]", _MATRIX, _INDEX),
        *(_MATRIX, _VECTOR, _VECTOR, _MATRIX, _MATRIX, _MATRIX, _VECTOR),
    ]
)


@kernel(f"({_SIGNATURE})")
def cone_step(  # type: ignore[no-untyped-def]
    X, columns, mask, y, loss, delta, lam, sigma, tol, most_steps,
    centre, shift, t, u,
    unit, signs, normal, squared, slot,
    basis, tight, row, level, gamma, candidates,
    points, margin_products, margin, found, index, violated, gathered, vectors, margins,
    rows, blocks, sizes, places, roots, owner,
    B, B_entries, gram, small, weighted, offset, state
):  # fmt: skip
    """Take Newton steps until the gap is ``tol`` times the objective, the step is solved, or a limit is reached.

    Parameters
    ----------
    X, columns : ndarrays of shapes (n, d) and (d, n)
        The data, and its transpose.
    mask : ndarray of shape (P, n)
        The patterns, as zeros and ones.
    y : ndarray of shape (c, n)
        Targets.
    loss : int
        SQUARED, LOGISTIC or HUBER.
    delta, lam, sigma, tol : float
        Parameter of Huber's loss, regularization strength, proximal-point parameter, and the relative gap to reach.
    most_steps : int
        Limit of the number of Newton steps.
    centre : ndarray of shape (B, d)
        The centre of the step.
    shift : ndarray of shape (c, n)
        Centre of the block s of Huber's loss.
    t : ndarray of shape (c, n)
        The dual variable, overwritten.
    u : ndarray of shape (B, d)
        Overwritten by the blocks.
    unit, signs, normal, squared, slot, basis, tight, row, level, gamma, candidates : ndarrays
        State of the projector, with a slot for each block.
    points, margin_products, margin, found, index, violated, gathered, vectors, margins : ndarrays
        Work arrays of the projections.
    rows, blocks, sizes, places, roots, owner, B, B_entries, gram, small, weighted, offset : ndarrays
        Work arrays: see `work_arrays`.
    state : ndarray of shape (4,)
        Outcome, number of Newton steps, and gap and objective of the point.
    """
    gradient, response, step, prediction, before = rows[0], rows[1], rows[2], rows[3], rows[4]
    products, change, products_before = blocks[2], blocks[3], blocks[4]
    adjoint(columns, mask, t, weighted, small[0], products)
    taken, length, accepted, slope, rounding, residual = 0, 0.0, True, 0.0, 0.0, 0.0
    low, at_low, high, at_high, searches = 0.0, 0.0, np.inf, np.inf, 0
    state[OUTCOME] = OPEN
    while True:
        n_active, norm, error = _evaluate(
            X, mask, y, loss, delta, lam, sigma, centre, shift, t, u, unit, signs, normal, squared, slot,
            basis, tight, row, level, gamma, candidates,
            points, margin_products, margin, found, index, violated, gathered, vectors, margins,
            rows, blocks, sizes, places, small[0, : X.shape[0]], offset, state
        )  # fmt: skip
        if state[OUTCOME] != OPEN:  # back at the last point
            break
        if taken > 0 and -slope <= rounding:
            accepted = norm <= 0.5 * residual
            if not accepted:
                state[OUTCOME] = CONVERGED
        elif taken > 0:
            here = inner_product(gradient, step)
            accepted = abs(here) <= SLOPE_DROP * -slope or (here < 0.0 and high == np.inf)
            if not accepted:
                if here < 0.0:
                    low, at_low = length, here
                else:
                    high, at_high = length, here
                length = low + (high - low) * min(max(-at_low / (at_high - at_low), 0.1), 0.9)
                searches += 1
                if searches == SEARCHES:
                    state[OUTCOME] = FAILED
        if accepted:
            state[OUTCOME] = _end(tol, norm, sigma, centre, u, taken == most_steps, state)
            if state[OUTCOME] != OPEN:
                break
            taken += 1
            direction(
                X, mask, basis, tight, places, n_active, sigma, blocks[1], sizes, response, gradient, step,
                roots, owner, B, B_entries, gram, small
            )  # fmt: skip
            if loss == LOGISTIC:
                damp(t, y, gradient, step, prediction)
            adjoint(columns, mask, step, weighted, small[0], change)
            slope, residual, rounding = inner_product(gradient, step), norm, error
            low, at_low, high, at_high, length, searches = 0.0, slope, np.inf, np.inf, 1.0, 0
            _copy(t, before)
            _copy(products, products_before)
        if state[OUTCOME] != OPEN:
            length = 0.0
        _move(before, step, length, t)
        _move(products_before, change, length, products)
    state[STEPS] = taken


@kernel()
def _evaluate(  # type: ignore[no-untyped-def]
    X, mask, y, loss, delta, lam, sigma, centre, shift, t, u, unit, signs, normal, squared, slot,
    basis, tight, row, level, gamma, candidates,
    points, margin_products, margin, found, index, violated, gathered, vectors, margins,
    rows, blocks, sizes, places, product, offset, state
):  # fmt: skip
    """Evaluate psi at t: its gradient, the response, the blocks u, their gap and objective.

    Returns the number of active blocks, the squared gradient in the norm of the response, and the rounding error of
    psi.
    """
    gradient, response, prediction, x, p, products = rows[0], rows[1], rows[3], blocks[0], blocks[1], blocks[2]
    d, threshold, k = X.shape[1], sigma * lam, 0
    for b in range(len(centre)):
        size = 0.0
        for j in range(d):
            x[k, j] = centre[b, j] - sigma * products[b, j]
            size += x[k, j] * x[k, j]
        if _bound(x[k], 1.0, normal[b], squared[b]) > threshold:
            places[0, k], places[1, k], places[2, k] = b, b % len(mask), slot[b]
            sizes[0, k], sizes[1, k] = ACCURACY * np.sqrt(size), np.sqrt(size)
            k += 1
    project_blocks(
        unit, signs, places[1, :k], offset[:k], places[2, :k], x[:k], sizes[0, :k], threshold, 20 * d,
        basis, tight, row, level, gamma, candidates, p[:k],
        points, margin_products, margin, found, index, violated, gathered, vectors, margins
    )  # fmt: skip
    n_active, total, squares = _shrink(k, threshold, x, p, sizes, places, normal, squared, gamma, u)
    predict(X, mask, u, places, n_active, product, prediction)
    largest = 0.0
    for b in range(len(centre)):
        largest = max(largest, _bound(products[b], -1.0, normal[b], squared[b]))
    value, conjugate, dual = dual_terms(
        loss, delta, lam, sigma, largest, shift, t, y, prediction, gradient, response
    )  # fmt: skip
    state[OBJECTIVE] = value + lam * total
    state[GAP] = state[OBJECTIVE] - dual
    norm = 0.0
    for i in range(len(y)):
        for j in range(len(X)):
            norm += gradient[i, j] * gradient[i, j] * response[i, j]
    return n_active, norm, ROUNDING * (abs(conjugate) + squares / (2.0 * sigma))


@kernel()
def _end(tol, norm, sigma, centre, u, last, state):  # type: ignore[no-untyped-def]
    """Return the outcome at an accepted point."""
    if state[GAP] <= tol * abs(state[OBJECTIVE]):
        return DONE
    if last:
        return LIMITED
    moved = 0.0
    for b in range(len(u)):
        for j in range(u.shape[1]):
            difference = u[b, j] - centre[b, j]
            moved += difference * difference
    return CONVERGED if norm <= INEXACT / sigma * moved else OPEN


@kernel()
def _move(start, step, length, target):  # type: ignore[no-untyped-def]
    for i in range(len(start)):
        for j in range(start.shape[1]):
            target[i, j] = start[i, j] + length * step[i, j]


@kernel()
def _copy(source, target):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@kernel()
def _bound(x, factor, normal, squared):  # type: ignore[no-untyped-def]
    """Return min over a >= 0 of ||factor x + a R'g||, for R'g with the given square."""
    along, size = 0.0, 0.0
    for j in range(len(x)):
        along -= factor * x[j] * normal[j]
    along = max(along, 0.0) / squared
    for j in range(len(x)):
        value = factor * x[j] + along * normal[j]
        size += value * value
    return np.sqrt(size)


@kernel()
def _shrink(k, threshold, x, p, sizes, places, normal, squared, gamma, u):  # type: ignore[no-untyped-def]
    """Write R'g of all projections, and u; move the blocks of long projections to the front.

    Returns their number, the sum of the norms of u, and the sum of the squares of their excesses.
    """
    d = x.shape[1]
    for b in range(len(u)):
        for j in range(d):
            u[b, j] = 0.0
    n_active, total, squares = 0, 0.0, 0.0
    for i in range(k):
        b = places[0, i]
        size, square = 0.0, 0.0
        for j in range(d):
            size += p[i, j] * p[i, j]
            normal[b, j] = p[i, j] - x[i, j]
            square += normal[b, j] * normal[b, j]
        # For x in its cone, p - x is rounding error, not R'g: scaled up, it would give no bound.
        if np.sqrt(square) <= NOISE * sizes[1, i]:
            square = 0.0
            for j in range(d):
                normal[b, j] = 0.0
                gamma[places[2, i], j] = 0.0
        squared[b] = max(square, TINY)
        size = np.sqrt(size)
        if size > threshold:
            shrinkage = 1.0 - threshold / size
            for j in range(d):
                p[n_active, j] = p[i, j]
                u[b, j] = shrinkage * p[i, j]
            places[0, n_active], places[1, n_active], places[2, n_active] = b, places[1, i], places[2, i]
            sizes[0, n_active], sizes[2, n_active] = shrinkage, size
            n_active += 1
            total += shrinkage * size
            squares += (size - threshold) * (size - threshold)
    return n_active, total, squares


def work_arrays(n: int, d: int, c: int, P: int) -> tuple[NDArray[Any], ...]:
    """Return the work arrays of `cone_step`, and its state."""
    blocks, most = 2 * c * P, 2 * P * d
    B = np.empty((most, n))
    return (
        np.empty((5, c, n)),
        np.empty((5, blocks, d)),
        np.empty((3, blocks)),
        np.empty((3, blocks), dtype=np.intp),
        np.empty((most, d)),
        np.empty(most, dtype=np.intp),
        B,
        B.ravel(),
        np.empty(min(n, most) ** 2),
        np.empty((3, max(n, most))),
        np.empty((d, n)),
        np.empty((blocks, 0)),
        np.zeros(4),
    )
