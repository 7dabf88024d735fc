"""Block coordinate descent for the group lasso on masked data, which keeps the residual, with Anderson extrapolation.

The program is  minimise over u (k, d):  1/2 sum_j v_j (y_j - f_j)^2 + threshold * sum_i ||u_i||,  f = sum_i D_i X u_i.
A visit of a block reads the rows of its pattern twice: for the gradient, and to update the residual v (y - f). Blocks
that are zero are visited once in five sweeps. Where there are fewer rows than columns D_i X, this takes less work than
`group_lasso`, whose visits and whose Gram matrix grow with the number of blocks.

Rows are read in float32. The residual and the gradients at the start are given in float64, and only their changes are
summed in float32, so that repeated calls converge to the solution of the exact program.
"""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.group_lasso import SWEEPS, combine, copy, find_weights, take_differences
from cvxrelu.runtime.blas import inner
from cvxrelu.runtime.compilation import kernel
from cvxrelu.runtime.vectors import add, add_product, add_scaled, aligned_zeros, lanes, load, scale, store, total, zeros

_NEAR = 2.0  # estimates of the gap below this multiple of the target are replaced by the gap


@kernel(
    "(float32[::1], int32[::1], int64[::1], float64[::1], float32[::1], float64[::1], float64[::1], float64[::1],"
    "float64, float64, int64, float64[::1], float32[::1], float64[:, ::1], float32[:, ::1], float64[:, ::1],"
    "float32[::1], float32[::1], float64[::1], float64[::1])"
)
def descend_on_rows(  # type: ignore[no-untyped-def]
    X, rows, starts, lipschitz, curvature, y, residual, slopes, threshold, target, n_cycles,
    u, change, weights, changes, small, sums, move, step, state
):  # fmt: skip
    """Take cycles of five sweeps and an extrapolation, until the duality gap is at most ``target``.

    Parameters
    ----------
    X : ndarray
        The data, row by row, with zero columns up to a multiple of eight; so are the blocks of u.
    rows : ndarray
        The rows of the patterns, one pattern after the other.
    starts : ndarray of shape (k + 1,)
        Where those of each pattern start, and their number.
    lipschitz : ndarray of shape (k,)
        Upper bounds of the largest eigenvalues of X'D_i diag(v) X.
    curvature, y : ndarrays of shape (n,)
        v > 0 and y.
    residual, slopes : ndarrays of shapes (n,) and (k d,)
        v (y - f) and its gradients X'D_i v (y - f) at the initial weights.
    threshold, target : float
        Weight of the norms, and the gap to reach.
    n_cycles : int
        Limit of cycles.
    u : ndarray of shape (k d,)
        Initial weights, overwritten by the solution.
    change : ndarray of shape (n,)
        Overwritten by the change of v (y - f).
    weights, changes, small, sums, move, step : ndarrays of shapes (6, k d), (6, n), (5, 6), (d,), (d,), (d,)
        Work arrays.
    state : ndarray of shape (3,)
        Overwritten by the objective, the gap and the number of cycles.
    """
    m, n, n_done = len(u), len(y), 0
    objective, gap = np.inf, np.inf
    for j in range(n):
        change[j] = 0.0
    while gap > target and n_done < n_cycles:
        n_done += 1
        copy(u, weights[0])
        copy(change, changes[0])
        idle = 0.0  # largest gradient of the zero blocks at their last visit
        for sweep in range(SWEEPS):
            active, zero = _sweep(
                X, rows, starts, lipschitz, curvature, slopes, threshold, u, change, sweep == 0, sums, move, step
            )
            if sweep == 0:
                idle = zero
            objective, gap = _bounds(u, residual, change, curvature, y, threshold, max(active, idle), len(step))
            if gap <= _NEAR * target:
                largest = _largest(X, rows, starts, slopes, change, sums, step)
                objective, gap = _bounds(u, residual, change, curvature, y, threshold, largest, len(step))
                if gap <= target:
                    break
            copy(u, weights[sweep + 1])
            copy(change, changes[sweep + 1])
        if gap <= target:
            break
        take_differences(weights, m)
        if find_weights(weights, small, m):
            take_differences(changes, n)
            combine(weights, small, m)
            combine(changes, small, n)
            further, _ = _bounds(weights[0], residual, changes[0], curvature, y, threshold, np.inf, len(step))
            if further < objective:
                copy(weights[0], u)
                copy(changes[0], change)
    state[0], state[1], state[2] = objective, gap, n_done


@kernel()
def _sweep(  # type: ignore[no-untyped-def]
    X, rows, starts, lipschitz, curvature, slopes, threshold, u, change, whole, sums, move, step
):
    """Visit all blocks, or those that are not zero; return the largest gradients of those moved and those left at zero.

    Gradients are those before the steps.
    """
    d = len(step)
    moved, idle = 0.0, 0.0
    for i in range(len(lipschitz)):
        start, bound, present = i * d, lipschitz[i], False
        for a in range(d):
            present = present or u[start + a] != 0.0
        if not present and not whole:
            continue
        _sum_rows(X, rows, starts[i], starts[i + 1], change, sums)
        slope, size = 0.0, 0.0
        for a in range(d):
            own = slopes[start + a] + sums[a]
            slope += own * own
            step[a] = own + bound * u[start + a]
            size += step[a] * step[a]
        slope, size = np.sqrt(slope), np.sqrt(size)
        if size <= threshold and not present:
            idle = max(idle, slope)
            continue
        moved = max(moved, slope)
        factor = (1.0 - threshold / size) / bound if size > threshold else 0.0
        for a in range(d):
            new = factor * step[a]
            move[a], u[start + a] = new - u[start + a], new
        _subtract(X, rows, starts[i], starts[i + 1], curvature, move, change)
    return moved, idle


@kernel()
def _sum_rows(X, rows, start, stop, weights, sums):  # type: ignore[no-untyped-def]
    """Sum rows of X, with weights, four at a time."""
    d, lane = np.uint64(len(sums)), lanes(sums)
    for a in range(0, len(sums), lane):
        store(sums, a, zeros(sums))
    whole = stop - (stop - start) % 4
    for p in range(start, whole, 4):
        i, j, k, h = _row(rows, p), _row(rows, p + 1), _row(rows, p + 2), _row(rows, p + 3)
        # Read once, as the compiler cannot know that sums are stored elsewhere.
        first, second, third, fourth = weights[i], weights[j], weights[k], weights[h]
        i, j, k, h = i * d, j * d, k * d, h * d
        for a in range(0, len(sums), lane):
            one = add_scaled(scale(first, load(X, i + np.uint64(a))), second, load(X, j + np.uint64(a)))
            two = add_scaled(scale(third, load(X, k + np.uint64(a))), fourth, load(X, h + np.uint64(a)))
            store(sums, a, add(load(sums, a), add(one, two)))
    for p in range(whole, stop):
        i = _row(rows, p)
        for a in range(0, len(sums), lane):
            store(sums, a, add_scaled(load(sums, a), weights[i], load(X, i * d + np.uint64(a))))


@kernel()
def _row(rows, p):  # type: ignore[no-untyped-def]
    """Return the index of a row, known not to be negative."""
    return np.uint64(rows[np.uint64(p)])


@kernel()
def _subtract(X, rows, start, stop, curvature, move, change):  # type: ignore[no-untyped-def]
    """Subtract the products of rows of X with a step, times the curvature, four rows at a time."""
    d, lane = np.uint64(len(move)), lanes(move)
    whole = stop - (stop - start) % 4
    for p in range(start, whole, 4):
        i, j, k, h = _row(rows, p), _row(rows, p + 1), _row(rows, p + 2), _row(rows, p + 3)
        first, second, third, fourth = zeros(move), zeros(move), zeros(move), zeros(move)
        for a in range(0, len(move), lane):
            own = load(move, a)
            first = add_product(first, load(X, i * d + np.uint64(a)), own)
            second = add_product(second, load(X, j * d + np.uint64(a)), own)
            third = add_product(third, load(X, k * d + np.uint64(a)), own)
            fourth = add_product(fourth, load(X, h * d + np.uint64(a)), own)
        change[i] -= curvature[i] * total(first)
        change[j] -= curvature[j] * total(second)
        change[k] -= curvature[k] * total(third)
        change[h] -= curvature[h] * total(fourth)
    for p in range(whole, stop):
        i, first = _row(rows, p), zeros(move)
        for a in range(0, len(move), lane):
            first = add_product(first, load(X, i * d + np.uint64(a)), load(move, a))
        change[i] -= curvature[i] * total(first)


@kernel()
def _largest(X, rows, starts, slopes, change, sums, step):  # type: ignore[no-untyped-def]
    """Return the largest norm of a gradient."""
    d, largest = len(step), 0.0
    for i in range(len(starts) - 1):
        _sum_rows(X, rows, starts[i], starts[i + 1], change, sums)
        for a in range(d):
            step[a] = slopes[i * d + a] + sums[a]
        largest = max(largest, inner(step, step))
    return np.sqrt(largest)


@kernel()
def _bounds(u, residual, change, curvature, y, threshold, largest, d):  # type: ignore[no-untyped-def]
    """Return the objective, and its distance from the dual objective at the best multiple of the residual."""
    norms, along, square = 0.0, 0.0, 0.0
    for start in range(0, len(u), d):
        norms += np.sqrt(inner(u[start : start + d], u[start : start + d]))
    for j in range(len(y)):
        own = residual[j] + change[j]
        along += own * y[j]
        square += own * own / curvature[j]
    objective = 0.5 * square + threshold * norms
    scaling = along / square if square > 0.0 else 0.0
    limit = threshold / largest if largest > 0.0 else np.inf
    scaling = min(max(scaling, 0.0), limit)
    return objective, objective - scaling * (along - 0.5 * scaling * square)


def work_arrays(n: int, k: int, d: int) -> tuple[FloatArray, ...]:
    """Return the work arrays for k blocks of d, beginning with ``change``."""
    return (
        np.empty(n, dtype=np.float32),
        np.empty((SWEEPS + 1, k * d)),
        np.empty((SWEEPS + 1, n), dtype=np.float32),
        np.empty((SWEEPS, SWEEPS + 1)),
        aligned_zeros(d, np.float32),
        aligned_zeros(d, np.float32),
        np.empty(d),
    )
