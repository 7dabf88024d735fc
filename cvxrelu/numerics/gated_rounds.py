"""Rounds of block descent for small C-GReLU programs with one output, compiled as a whole.

The program is  minimise over u (P, d):  F(f) + lam * sum_i ||u_i||,  f = sum_i D_i X u_i. A round prices all
patterns by the gradient of F, adds those that violate the dual constraint most, and descends on the quadratic model of
F at f by `group_lasso`; for the squared loss the model is F itself, but for rounding errors of its Gram matrix in
float32. The gradient of each model at f is exact, so they do not limit the gap.
"""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.gated_losses import LOGISTIC, SQUARED, compute_curvature, conjugate, feasible_scale, value
from cvxrelu.numerics.group_lasso import SWEEPS, copy, descend_on_gram, multiply
from cvxrelu.numerics.rounding import TINY
from cvxrelu.runtime.blas import products_with_rows
from cvxrelu.runtime.compilation import kernel

_PAIRS, _FEWEST = 64, 8  # pairs of patterns in one product, at most; patterns or pairs worth one thread, at least
_ONE_THREAD = 2.5e5  # multiplications of a product, as small ones take longer in several threads
_TO_GO, _NEW_GAP, _FINAL_GAP, _MODEL_GAP = 0.9, 0.02, 0.5, 0.03  # of the tolerance, the gap and the gap to reach
_FEWEST_NEW = 3
_SHORTENINGS = 30
_INNER_CYCLES = 20  # of a round
_ROUNDING, _NOISE = 1e-5, 1e-14  # relative errors of float32 sums of products, and of objectives
_ROW, _ROUND = 100.0, 1e5  # operations for the terms of a row, and at least in a round
# Entries of the state: objective, gap and that of the round before, cycles and operations so far, patterns, outcome.
OBJECTIVE, GAP, PREVIOUS, CYCLES, WORK, N_MEMBERS, OUTCOME = range(7)
LIMITED, REACHED, STALLED = range(3)


@kernel(
    "(float64[:, ::1], float64[:, ::1], float64[::1], float64[::1], int64, float64, float64, float64, int64, float64,"
    "float64[:, ::1], float64[::1], int64[:, ::1], float32[:, ::1], float32[:, ::1], float64[:, ::1], float64[:, ::1],"
    "float64[:, ::1], float64[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1], float64[::1],"
    "float64[:, :, ::1], float64[:, ::1], float64[::1])"
)
def gated_rounds(  # type: ignore[no-untyped-def]
    columns, mask, y, weights, loss, delta, lam, tol, n_cycles, limit,
    u, f, places, gram, square, vectors, sizes, rows, weighted, triangles, both, sums, Z, history, small, state
):  # fmt: skip
    """Take rounds until the gap is at most ``tol`` times the objective, or a limit is reached, or progress stops.

    Parameters
    ----------
    columns : ndarray of shape (d, n)
        X'.
    mask : ndarray of shape (P, n)
        The patterns, as zeros and ones.
    y, weights : ndarrays of shape (n,)
        Targets, and weights of the rows: ones for the squared loss.
    loss : int
        SQUARED, LOGISTIC or HUBER.
    delta : float
        Parameter of Huber's loss.
    lam, tol : float
        Regularization strength, and the relative gap to reach.
    n_cycles : int
        Limit of the number of cycles.
    limit : float
        Limit of the number of operations, checked once in a round.
    u : ndarray of shape (P, d)
        Initial weights, overwritten by the solution.
    f : ndarray of shape (n,)
        Predictions of u, overwritten.
    places, gram, square, vectors, sizes, rows, weighted, triangles, both, sums, Z, history, small : ndarrays
        Work arrays: see `work_arrays`.
    state : ndarray of shape (7,)
        Objective, last two gaps, numbers of cycles, operations and patterns with known Gram blocks, and outcome; those
        of an earlier call continue, with its work arrays.
    """
    (d, n), P = columns.shape, len(mask)
    t, curvature = rows[0], rows[1]
    norms, lipschitz, place, members = sizes[0], sizes[1], places[0], places[1]
    heaviest = 0.0
    for j in range(n):
        heaviest = max(heaviest, weights[j])
    unit = (4.0 if loss == LOGISTIC else 1.0) / heaviest  # relative to 1 / n
    if state[CYCLES] == 0.0:
        _fill_triangles(columns, triangles)
    k = int(state[N_MEMBERS])
    previous, outdated = state[PREVIOUS] if k > 0 else np.inf, k == 0
    taken = 1.0  # cycles of the last round, if its step is accepted
    objective = value(loss, delta, f, y, weights, t, rows[4]) + lam * _total(u)
    while True:
        largest = _price(columns, mask, t, weighted, Z, norms)
        scale = feasible_scale(loss, t, y, lam * n, largest)
        gap = objective + min(conjugate(loss, scale, t, y, weights, rows[4]), 0.0)  # which is zero at zero
        spent = state[CYCLES] >= n_cycles or state[WORK] >= limit
        state[WORK] += 2.0 * n * P * d + _ROW * n + _ROUND
        state[OBJECTIVE], state[GAP], state[PREVIOUS], state[N_MEMBERS] = objective, gap, previous, k
        goal = _TO_GO * tol * abs(objective)
        state[OUTCOME] = REACHED if gap <= goal else LIMITED
        if gap <= goal or spent:
            return
        if loss != SQUARED and not outdated:
            outdated = _is_outdated(gap, previous, goal, n, P, u)
        if outdated:
            compute_curvature(loss, delta, f, y, weights, t, heaviest, curvature)
            for i in range(P):
                place[i] = -1
            k = 0
            for i in range(P):
                if (k + 1) * d <= len(gram) and _is_active(u, i):
                    place[i], members[k] = k, i
                    k += 1
            known = 0
        else:
            known = k
        entered = _enter(norms, lam * n, place, members, k, _most_new(n, P, d, k), len(gram) // d)
        # Without a step since the last round, another model at the same point is the same model.
        if k + entered == 0 or (taken == 0.0 and (entered == 0 or outdated)):
            state[OUTCOME] = STALLED
            return
        k += entered
        _add_blocks(mask, places, known, k, triangles, curvature, both, sums, gram, lipschitz, square)
        state[WORK] += 2.0 * n * (len(triangles) + 2.0) * 0.5 * (k * (k + 1.0) - known * (known + 1.0))
        outdated = False
        inner_gap = _FINAL_GAP * goal
        if loss != SQUARED:
            inner_gap = max(_MODEL_GAP * gap, inner_gap)
        elif entered > 0:
            inner_gap = max(_NEW_GAP * gap, inner_gap)
        cycles = min(n_cycles - int(state[CYCLES]), _INNER_CYCLES)
        taken = -state[CYCLES]
        objective, length = _take_step(
            columns, mask, y, weights, loss, delta, lam, unit, inner_gap, objective, cycles,
            u, f, members, k, gram, vectors, lipschitz, rows, Z, history, small, state
        )  # fmt: skip
        taken = taken + state[CYCLES] if length > 0.0 else 0.0
        previous = gap


@kernel()
def _take_step(  # type: ignore[no-untyped-def]
    columns, mask, y, weights, loss, delta, lam, unit, inner_gap, objective, n_cycles,
    u, f, members, k, gram, vectors, lipschitz, rows, Z, history, small, state
):  # fmt: skip
    """Descend on the model at f, and search along the step; return the objective and the length of the step."""
    d, n = columns.shape
    m = k * d
    solution, product, linear, start = vectors[0, :m], vectors[1, :m], vectors[2, :m], vectors[3, :m]
    t, curvature, change = rows[0], rows[1], rows[2]
    for i in range(k):
        for a in range(d):
            start[i * d + a] = u[members[i], a]
    copy(start, solution)
    multiply(gram, solution, product, d)
    for i in range(k):
        for a in range(d):
            linear[i * d + a] = product[i * d + a] - unit * Z[members[i] * d + a]
    square = 0.0  # such that the objective at the start is exact, whatever the rounding errors of the Gram matrix
    for i in range(m):
        square += start[i] * (2.0 * linear[i] - product[i])
    for j in range(n):
        square += unit * t[j] * (unit * t[j] / curvature[j])
    inner = small[SWEEPS + 1]
    # The kernel's objective is n unit times that of the problem.
    descend_on_gram(
        gram, linear, lipschitz[:k], square, n * unit * lam, n * unit * inner_gap, n_cycles,
        solution, product, history, small, inner
    )  # fmt: skip
    state[CYCLES] += inner[2]
    active = 0
    for i in range(k):
        for a in range(d):
            u[members[i], a] = solution[i * d + a]
        if _is_active(u, members[i]):
            active += 1
    state[WORK] += 4.0 * SWEEPS * inner[2] * active * d * m + 4.0 * n * d * active
    _predict(columns, mask, u, members, k, rows)
    for j in range(n):
        change[j] -= f[j]
    length, total = 1.0, 0.0
    for attempt in range(_SHORTENINGS + 1):
        if attempt == _SHORTENINGS:
            length = 0.0
        for j in range(n):
            rows[3, j] = f[j] + length * change[j] if length > 0.0 else f[j]
        for i in range(m):
            own = start[i]
            if length > 0.0:  # the solution itself to the last bit, without cancellation
                own = solution[i] if length == 1.0 else start[i] + length * (solution[i] - start[i])
            u[members[i // d], i % d] = own
        state[WORK] += _ROW * n
        total = value(loss, delta, rows[3], y, weights, t, rows[4]) + lam * _total(u)
        if total <= objective + _NOISE * abs(objective):
            break
        length *= 0.5
    copy(rows[3], f)
    return total, length


@kernel()
def _price(columns, mask, t, weighted, Z, norms):  # type: ignore[no-untyped-def]
    """Write the blocks of A't and their norms; return the largest."""
    d, n = columns.shape
    for a in range(d):
        for j in range(n):
            weighted[a, j] = columns[a, j] * t[j]
    step = _product_size(n * d, len(mask))
    for i in range(0, len(mask), step):
        products_with_rows(mask[i : min(i + step, len(mask))], weighted, Z[i * d :])
    largest = 0.0
    for i in range(len(mask)):
        size = 0.0
        for a in range(i * d, (i + 1) * d):
            size += Z[a] * Z[a]
        norms[i] = np.sqrt(size)
        largest = max(largest, norms[i])
    return largest


@kernel()
def _product_size(size, most):  # type: ignore[no-untyped-def]
    """Return how many products of the same size to take at once."""
    return most if _FEWEST * size > _ONE_THREAD else min(int(_ONE_THREAD / size), most)


@kernel()
def _is_outdated(gap, previous, goal, n, P, u):  # type: ignore[no-untyped-def]
    """Return whether models with the present curvature take more work than a new Gram matrix."""
    if not gap < previous:
        return True
    if not gap > goal > 0.0:
        return False
    d, active = u.shape[1], 0.0
    for i in range(len(u)):
        if _is_active(u, i):
            active += 1.0
    further = np.log(gap / goal) / np.log(previous / gap) - 1.0
    return further * (2.0 * n * (P + active) * d + _ROW * n) > 0.5 * active * (active + 1.0) * n * d * (d + 1.0)


@kernel()
def _most_new(n, P, d, k):  # type: ignore[no-untyped-def]
    """Return how many patterns may enter: as many as take the work of a pricing, and at least half of those known."""
    new = max(_FEWEST_NEW, k // 2)
    while (new + 1.0) * (k + 0.5 * new + 1.0) * (d + 1.0) <= 2.0 * P:
        new += 1
    return new


@kernel()
def _enter(norms, bound, place, members, k, most, capacity):  # type: ignore[no-untyped-def]
    """Add the patterns with the largest dual constraint values above the bound; return their number."""
    entered = 0
    while entered < most and k + entered < capacity:
        best, largest = -1, bound
        for i in range(len(norms)):
            if place[i] < 0 and norms[i] > largest:
                best, largest = i, norms[i]
        if best < 0:
            break
        place[best], members[k + entered] = k + entered, best
        entered += 1
    return entered


@kernel()
def _fill_triangles(columns, triangles):  # type: ignore[no-untyped-def]
    d, n = columns.shape
    row = 0
    for a in range(d):
        for b in range(a, d):
            for j in range(n):
                triangles[row, j] = columns[a, j] * columns[b, j]
            row += 1


@kernel()
def _add_blocks(  # type: ignore[no-untyped-def]
    mask, places, known, k, triangles, curvature, both, sums, gram, lipschitz, square
):
    """Compute the blocks of the Gram matrix of members known, ..., k - 1 with all before them, and their bounds."""
    d, members, count, step = len(square), places[1], 0, _product_size(len(curvature) * len(triangles), len(both))
    for i in range(known, k):
        own = mask[members[i]]
        for j in range(i + 1):
            other, product = mask[members[j]], both[count]
            for row in range(len(curvature)):
                product[row] = own[row] * other[row] * curvature[row]
            places[2, count], places[3, count] = i * d, j * d
            count += 1
            if count == step or (i == k - 1 and j == i):
                products_with_rows(both[:count], triangles, sums)
                _spread(sums, places, count, square, gram)
                count = 0
    for i in range(known, k):
        lipschitz[i] = max(_bound(gram, i * d, square, sums), TINY)


@kernel()
def _spread(sums, places, count, square, gram):  # type: ignore[no-untyped-def]
    """Write blocks of the Gram matrix, given their triangles, and their transposes, equal to them, to their places."""
    entry, d = 0, len(square)
    for p in range(count):
        row, column = places[2, p], places[3, p]
        for a in range(d):
            for b in range(a, d):
                square[a, b] = sums[entry]
                square[b, a] = sums[entry]
                entry += 1
        for a in range(d):
            for b in range(d):
                gram[row + a, column + b] = square[a, b]
            for b in range(d):
                gram[column + a, row + b] = square[a, b]


@kernel()
def _bound(gram, start, square, power):  # type: ignore[no-untyped-def]
    """Return an upper bound of the largest eigenvalue of a diagonal block: the norm of its power 4, to the power 1/4.

    The block, divided by its trace, and its square are written to a matrix (d, d), its square and its power 4 to the
    start of a vector.
    """
    d, trace, total = len(square), 0.0, 0.0
    for a in range(d):
        trace += gram[start + a, start + a]
    if not trace > 0.0:
        return 0.0
    for a in range(d):
        for b in range(d):
            square[a, b] = gram[start + a, start + b] / trace
    products_with_rows(square, square, power)
    for a in range(d):
        for b in range(d):
            square[a, b] = power[a * d + b]
    products_with_rows(square, square, power)
    for a in range(d * d):
        total += power[a] * power[a]
    return (1.0 + _ROUNDING) * trace * np.sqrt(np.sqrt(np.sqrt(total)))


@kernel()
def _predict(columns, mask, u, members, k, rows):  # type: ignore[no-untyped-def]
    """Write A u to the third row, with the fourth as scratch."""
    d, n = columns.shape
    for j in range(n):
        rows[2, j] = 0.0
    for i in range(k):
        block = u[members[i]]
        if _is_active(u, members[i]):
            for j in range(n):
                rows[3, j] = 0.0
            for a in range(d):
                weight = block[a]
                for j in range(n):
                    rows[3, j] += weight * columns[a, j]
            own = mask[members[i]]
            for j in range(n):
                rows[2, j] += own[j] * rows[3, j]


@kernel()
def _is_active(u, i):  # type: ignore[no-untyped-def]
    largest = 0.0
    for a in range(u.shape[1]):
        largest = max(largest, abs(u[i, a]))
    return largest > 0.0


@kernel()
def _total(u):  # type: ignore[no-untyped-def]
    """Return the sum of the norms of the blocks."""
    total = 0.0
    for i in range(len(u)):
        size = 0.0
        for a in range(u.shape[1]):
            size += u[i, a] * u[i, a]
        total += np.sqrt(size)
    return total


def work_arrays(n: int, P: int, d: int, capacity: int) -> tuple[FloatArray, ...]:
    """Return the work arrays of `gated_rounds` for at most ``capacity`` patterns in a working set, and its state."""
    m, size = capacity * d, d * (d + 1) // 2
    return (
        np.empty((4, max(P, _PAIRS)), dtype=np.int64),
        np.empty((m, m), dtype=np.float32),
        np.empty((d, d), dtype=np.float32),
        np.empty((4, m)),
        np.empty((2, P)),
        np.empty((5, n)),
        np.empty((d, n)),
        np.empty((size, n), dtype=np.float32),
        np.empty((_PAIRS, n), dtype=np.float32),
        np.empty(_PAIRS * size, dtype=np.float32),
        np.empty(P * d),
        np.empty((2, SWEEPS + 1, m)),
        np.empty((SWEEPS + 2, max(SWEEPS + 1, d))),
        np.zeros(7),
    )
