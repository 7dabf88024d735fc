"""Block coordinate descent for the group lasso with a given Gram matrix, accelerated by Anderson extrapolation.

The program is  minimise over u (k, d):  1/2 ||y - B u||^2 + threshold * sum_i ||u_i||,  with G = B'B and c = B'y. A
visit of a block is a proximal gradient step with the Lipschitz constant of that block. Five sweeps are followed by an
extrapolation, kept if it decreases the objective (Bertrand & Massias, AISTATS 2021).

`descend` takes G in float32 with the residual and its gradient at the start in float64: errors of G change the program
by second order in the step, so that repeated calls with exact gradients converge to the solution of the exact program.
"""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.runtime.blas import inner
from cvxrelu.runtime.compilation import kernel

SWEEPS = 5  # between extrapolations
_RIDGE = 1e-10  # relative to the trace


@kernel(
    "(float32[:, ::1], float64[::1], float64[::1], float64, float64, float64, int64,"
    "float64[::1], float64[:, ::1], float64[:, :, ::1], float64[:, ::1], float64[::1])"
)
def descend(  # type: ignore[no-untyped-def]
    gram, slopes, lipschitz, residual, threshold, target, n_cycles, u, vectors, history, small, state
):
    """Take cycles of five sweeps and an extrapolation, until the duality gap is at most ``target``.

    Parameters
    ----------
    gram : ndarray of shape (k d, k d), float32
        G.
    slopes : ndarray of shape (k d,)
        B'(y - B u) at the initial weights.
    lipschitz : ndarray of shape (k,)
        Upper bounds of the largest eigenvalues of the diagonal blocks of G.
    residual : float
        ||y - B u||^2 at the initial weights.
    threshold, target : float
        Weight of the norms, and the gap to reach.
    n_cycles : int
        Limit of cycles.
    u : ndarray of shape (k d,)
        Initial weights, overwritten by the solution.
    vectors, history, small : ndarrays of shape (2, k d), (2, 6, k d), (7, max(6, d))
        Work arrays: see `scratch`.
    state : ndarray of shape (3,)
        Overwritten by the objective, the gap and the number of cycles.
    """
    linear, product = vectors[0], vectors[1]
    multiply(gram, u, product, len(u) // len(lipschitz))
    square = residual
    for j in range(len(u)):
        linear[j] = slopes[j] + product[j]
        square += u[j] * (linear[j] + slopes[j])
    descend_on_gram(
        gram, linear, lipschitz, square, threshold, target, n_cycles, u, product, history, small, state
    )  # fmt: skip


@kernel()
def descend_on_gram(  # type: ignore[no-untyped-def]
    gram, linear, lipschitz, square, threshold, target, n_cycles, u, product, history, small, state
):
    """Do the work of `descend` given c and ||y||^2, and write G u; G and the history may have further columns."""
    m = len(linear)
    d = m // len(lipschitz)
    multiply(gram, u, product, d)
    objective, gap = _bounds(linear, product, u, square, threshold, d)
    n_done = 0
    while gap > target and n_done < n_cycles:
        n_done += 1
        copy(u, history[0, 0])
        copy(product, history[1, 0])
        for sweep in range(SWEEPS):
            _sweep(gram, linear, lipschitz, threshold, u, product, small)
            objective, gap = _checked_bounds(gram, linear, product, u, square, threshold, target, d)
            if gap <= target:
                break
            copy(u, history[0, sweep + 1])
            copy(product, history[1, sweep + 1])
        if gap <= target:
            break
        if _extrapolate(history, small, m):
            further, _ = _bounds(linear, history[1, 0, :m], history[0, 0, :m], square, threshold, d)
            if further < objective:
                copy(history[0, 0, :m], u)
                copy(history[1, 0, :m], product)
                objective, gap = _checked_bounds(gram, linear, product, u, square, threshold, target, d)
    state[0], state[1], state[2] = objective, gap, n_done


def scratch(k: int, d: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the work arrays of `descend` for k blocks of d."""
    return np.empty((2, k * d)), np.empty((2, SWEEPS + 1, k * d)), np.empty((SWEEPS + 2, max(SWEEPS + 1, d)))


@kernel()
def _sweep(gram, linear, lipschitz, threshold, u, product, small):  # type: ignore[no-untyped-def]
    """Visit all blocks; update u and G u."""
    d = len(linear) // len(lipschitz)
    step = small[SWEEPS, :d]
    for i in range(len(lipschitz)):
        start, bound = i * d, lipschitz[i]
        size, present = 0.0, False
        for r in range(d):
            j = start + r
            step[r] = linear[j] - product[j] + bound * u[j]
            size += step[r] * step[r]
            present = present or u[j] != 0.0
        size = np.sqrt(size)
        if size <= threshold and not present:
            continue
        factor = (1.0 - threshold / size) / bound if size > threshold else 0.0
        for r in range(d):
            j = start + r
            new = factor * step[r]
            step[r], u[j] = new - u[j], new
        _add(gram, step, start, product)


@kernel()
def multiply(gram, u, product, d):  # type: ignore[no-untyped-def]
    """Compute G u."""
    for j in range(len(u)):
        product[j] = 0.0
    for start in range(0, len(u), d):
        _add(gram, u[start : start + d], start, product)


@kernel()
def _add(gram, step, start, product):  # type: ignore[no-untyped-def]
    """Add the product of G with a step of the block that starts at an index; four rows of G at a time."""
    m, d = len(product), len(step)
    whole = d - d % 4
    for r in range(0, whole, 4):
        a, b, e, f = step[r], step[r + 1], step[r + 2], step[r + 3]
        if a != 0.0 or b != 0.0 or e != 0.0 or f != 0.0:
            first, second, third, fourth = (
                gram[start + r],
                gram[start + r + 1],
                gram[start + r + 2],
                gram[start + r + 3],
            )
            for j in range(m):
                product[j] += a * first[j] + b * second[j] + e * third[j] + f * fourth[j]
    for r in range(whole, d):
        if step[r] != 0.0:
            for j in range(m):
                product[j] += step[r] * gram[start + r, j]


@kernel()
def _checked_bounds(gram, linear, product, u, square, threshold, target, d):  # type: ignore[no-untyped-def]
    """Return the objective and the gap; if it reaches the target, from G u computed afresh, as updates add errors."""
    objective, gap = _bounds(linear, product, u, square, threshold, d)
    if gap <= target:
        multiply(gram, u, product, d)
        objective, gap = _bounds(linear, product, u, square, threshold, d)
    return objective, gap


@kernel()
def _bounds(linear, product, u, square, threshold, d):  # type: ignore[no-untyped-def]
    """Return the objective at u, and its distance from the dual objective at the best multiple of the residual."""
    norms, largest, fit, response = 0.0, 0.0, 0.0, 0.0
    for start in range(0, len(linear), d):
        length, size = 0.0, 0.0
        for j in range(start, start + d):
            slope = linear[j] - product[j]
            fit += u[j] * linear[j]
            response += u[j] * slope
            length += u[j] * u[j]
            size += slope * slope
        norms += np.sqrt(length)
        largest = max(largest, size)
    along = square - fit  # of the residual and y
    residual = max(along - response, 0.0)
    objective = 0.5 * residual + threshold * norms
    scale = along / residual if residual > 0.0 else 0.0
    limit = threshold / np.sqrt(largest) if largest > 0.0 else np.inf
    scale = min(max(scale, 0.0), limit)
    return objective, objective - scale * (along - 0.5 * scale * residual)


@kernel()
def _extrapolate(history, small, m):  # type: ignore[no-untyped-def]
    """Write the extrapolated u and G u over the first ones; return whether there is an extrapolation."""
    take_differences(history[0], m)
    take_differences(history[1], m)
    if not find_weights(history[0], small, m):
        return False
    combine(history[0], small, m)
    combine(history[1], small, m)
    return True


@kernel()
def take_differences(iterates, m):  # type: ignore[no-untyped-def]
    """Overwrite the iterates of five sweeps, but the first one, by their steps."""
    for a in range(SWEEPS, 0, -1):
        for j in range(m):
            iterates[a, j] -= iterates[a - 1, j]


@kernel()
def find_weights(steps, small, m):  # type: ignore[no-untyped-def]
    """Write weights of sum 1 that minimise the norm of the combined steps; return whether there are such weights."""
    total = 0.0
    for a in range(SWEEPS):
        for b in range(a + 1):
            small[a, b] = inner(steps[a + 1, :m], steps[b + 1, :m])
            small[b, a] = small[a, b]
        total += small[a, a]
        small[a, SWEEPS] = 1.0
    if not 0.0 < total < np.inf:
        return False
    for a in range(SWEEPS):  # elimination without pivots, as the matrix is positive definite
        small[a, a] += _RIDGE * total
    for a in range(SWEEPS):
        for b in range(a + 1, SWEEPS):
            ratio = small[b, a] / small[a, a]
            for e in range(a, SWEEPS + 1):
                small[b, e] -= ratio * small[a, e]
    whole = 0.0
    for a in range(SWEEPS - 1, -1, -1):
        for b in range(a + 1, SWEEPS):
            small[a, SWEEPS] -= small[a, b] * small[b, SWEEPS]
        small[a, SWEEPS] /= small[a, a]
        whole += small[a, SWEEPS]
    if not 0.0 < abs(whole) < np.inf:
        return False
    for a in range(SWEEPS):
        small[a, SWEEPS] /= whole
    return True


@kernel()
def combine(steps, small, m):  # type: ignore[no-untyped-def]
    """Write the combination of the iterates after each sweep over the first one."""
    weight = 0.0
    for a in range(SWEEPS - 1, -1, -1):
        weight += small[a, SWEEPS]
        for j in range(m):
            steps[0, j] += weight * steps[a + 1, j]


@kernel()
def copy(source, target):  # type: ignore[no-untyped-def]
    """Copy a vector to the start of another."""
    for j in range(len(source)):
        target[j] = source[j]
