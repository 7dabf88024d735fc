"""Block coordinate descent for the group lasso on masked data, which keeps the residual, with Anderson extrapolation.

The program is  minimise over u (k, d):  1/2 sum_j v_j (y_j - f_j)^2 + threshold * sum_i ||u_i||,  f = sum_i D_i X u_i.
A visit of a block reads the rows of its pattern twice: for the gradient, and to update the residual v (y - f). Blocks
that are zero are visited once in five sweeps. Where there are fewer rows than columns D_i X, this takes less work than
`group_lasso`, whose visits and whose Gram matrix grow with the number of blocks.
"""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.group_lasso import SWEEPS, combine, copy, find_weights, take_differences
from cvxrelu.runtime.blas import inner
from cvxrelu.runtime.compilation import kernel
from cvxrelu.runtime.vectors import add, aligned_zeros, lanes, load, multiply, scale, store, total, zeros

_NEAR = 2.0  # estimates of the gap below this multiple of the target are replaced by the gap


@kernel(
    "(float64[::1], int32[::1], int64[::1], float64[::1], float64[::1], float64[::1], float64, float64, int64,"
    "float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[::1],"
    "float64[::1])"
)
def descend_on_rows(  # type: ignore[no-untyped-def]
    X, rows, starts, lipschitz, curvature, y, threshold, target, n_cycles,
    u, residual, weights, residuals, small, gradient, step, state
):  # fmt: skip
    """Take cycles of five sweeps and an extrapolation, until the duality gap is at most ``target``.

    Parameters
    ----------
    X : ndarray
        The data, row by row, with zero columns up to a multiple of four; so are the blocks of u.
    rows : ndarray
        The rows of the patterns, one pattern after the other.
    starts : ndarray of shape (k + 1,)
        Where those of each pattern start, and their number.
    lipschitz : ndarray of shape (k,)
        Upper bounds of the largest eigenvalues of X'D_i diag(v) X.
    curvature, y : ndarrays of shape (n,)
        v > 0 and y.
    threshold, target : float
        Weight of the norms, and the gap to reach.
    n_cycles : int
        Limit of cycles.
    u : ndarray of shape (k d,)
        Initial weights, overwritten by the solution.
    residual : ndarray of shape (n,)
        v (y - f) of the initial weights, overwritten.
    weights, residuals, small, gradient, step : ndarrays of shapes (6, k d), (6, n), (5, 6), (d,), (d,)
        Work arrays.
    state : ndarray of shape (3,)
        Overwritten by the objective, the gap and the number of cycles.
    """
    m, n, n_done = len(u), len(y), 0
    objective, gap = np.inf, np.inf
    while gap > target and n_done < n_cycles:
        n_done += 1
        copy(u, weights[0])
        copy(residual, residuals[0])
        idle = 0.0  # largest gradient of the zero blocks at their last visit
        for sweep in range(SWEEPS):
            active, zero = _sweep(
                X, rows, starts, lipschitz, curvature, threshold, u, residual, sweep == 0, gradient, step
            )
            if sweep == 0:
                idle = zero
            objective, gap = _bounds(u, residual, curvature, y, threshold, max(active, idle), len(step))
            if gap <= _NEAR * target:
                largest = _largest(X, rows, starts, residual, gradient)
                objective, gap = _bounds(u, residual, curvature, y, threshold, largest, len(step))
                if gap <= target:
                    break
            copy(u, weights[sweep + 1])
            copy(residual, residuals[sweep + 1])
        if gap <= target:
            break
        take_differences(weights, m)
        if find_weights(weights, small, m):
            take_differences(residuals, n)
            combine(weights, small, m)
            combine(residuals, small, n)
            further, _ = _bounds(weights[0], residuals[0], curvature, y, threshold, np.inf, len(step))
            if further < objective:
                copy(weights[0], u)
                copy(residuals[0], residual)
    state[0], state[1], state[2] = objective, gap, n_done


@kernel()
def _sweep(  # type: ignore[no-untyped-def]
    X, rows, starts, lipschitz, curvature, threshold, u, residual, whole, gradient, step
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
        _sum_rows(X, rows, starts[i], starts[i + 1], residual, gradient)
        slope, size = 0.0, 0.0
        for a in range(d):
            slope += gradient[a] * gradient[a]
            step[a] = gradient[a] + bound * u[start + a]
            size += step[a] * step[a]
        slope, size = np.sqrt(slope), np.sqrt(size)
        if size <= threshold and not present:
            idle = max(idle, slope)
            continue
        moved = max(moved, slope)
        factor = (1.0 - threshold / size) / bound if size > threshold else 0.0
        for a in range(d):
            new = factor * step[a]
            step[a], u[start + a] = new - u[start + a], new
        _subtract(X, rows, starts[i], starts[i + 1], curvature, step, residual)
    return moved, idle


@kernel()
def _sum_rows(X, rows, start, stop, residual, gradient):  # type: ignore[no-untyped-def]
    """Sum rows of X, weighted by the residual, four at a time."""
    d, lane = len(gradient), lanes(gradient)
    for a in range(0, d, lane):
        store(gradient, a, zeros(gradient))
    whole = stop - (stop - start) % 4
    for p in range(start, whole, 4):
        i, j, k, h = rows[p], rows[p + 1], rows[p + 2], rows[p + 3]
        for a in range(0, d, lane):
            first = add(scale(residual[i], load(X, i * d + a)), scale(residual[j], load(X, j * d + a)))
            second = add(scale(residual[k], load(X, k * d + a)), scale(residual[h], load(X, h * d + a)))
            store(gradient, a, add(load(gradient, a), add(first, second)))
    for p in range(whole, stop):
        i = rows[p]
        for a in range(0, d, lane):
            store(gradient, a, add(load(gradient, a), scale(residual[i], load(X, i * d + a))))


@kernel()
def _subtract(X, rows, start, stop, curvature, step, residual):  # type: ignore[no-untyped-def]
    """Subtract the products of rows of X with a step, times the curvature, four rows at a time."""
    d, lane = len(step), lanes(step)
    whole = stop - (stop - start) % 4
    for p in range(start, whole, 4):
        i, j, k, h = rows[p], rows[p + 1], rows[p + 2], rows[p + 3]
        first, second, third, fourth = zeros(step), zeros(step), zeros(step), zeros(step)
        for a in range(0, d, lane):
            own = load(step, a)
            first = add(first, multiply(load(X, i * d + a), own))
            second = add(second, multiply(load(X, j * d + a), own))
            third = add(third, multiply(load(X, k * d + a), own))
            fourth = add(fourth, multiply(load(X, h * d + a), own))
        residual[i] -= curvature[i] * total(first)
        residual[j] -= curvature[j] * total(second)
        residual[k] -= curvature[k] * total(third)
        residual[h] -= curvature[h] * total(fourth)
    for p in range(whole, stop):
        i, first = rows[p], zeros(step)
        for a in range(0, d, lane):
            first = add(first, multiply(load(X, i * d + a), load(step, a)))
        residual[i] -= curvature[i] * total(first)


@kernel()
def _largest(X, rows, starts, residual, gradient):  # type: ignore[no-untyped-def]
    """Return the largest norm of a gradient."""
    largest = 0.0
    for i in range(len(starts) - 1):
        _sum_rows(X, rows, starts[i], starts[i + 1], residual, gradient)
        largest = max(largest, inner(gradient, gradient))
    return np.sqrt(largest)


@kernel()
def _bounds(u, residual, curvature, y, threshold, largest, d):  # type: ignore[no-untyped-def]
    """Return the objective, and its distance from the dual objective at the best multiple of the residual."""
    norms, along, square = 0.0, 0.0, 0.0
    for start in range(0, len(u), d):
        norms += np.sqrt(inner(u[start : start + d], u[start : start + d]))
    for j in range(len(y)):
        along += residual[j] * y[j]
        square += residual[j] * residual[j] / curvature[j]
    objective = 0.5 * square + threshold * norms
    scaling = along / square if square > 0.0 else 0.0
    limit = threshold / largest if largest > 0.0 else np.inf
    scaling = min(max(scaling, 0.0), limit)
    return objective, objective - scaling * (along - 0.5 * scaling * square)


def work_arrays(n: int, k: int, d: int) -> tuple[FloatArray, ...]:
    """Return the work arrays for k blocks of d."""
    return (
        np.empty((SWEEPS + 1, k * d)),
        np.empty((SWEEPS + 1, n)),
        np.empty((SWEEPS, SWEEPS + 1)),
        aligned_zeros(d, np.float64),
        aligned_zeros(d, np.float64),
    )
