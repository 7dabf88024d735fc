"""The bound of one cone in branch and bound: a least-squares problem with bounds, solved by an active-set method.

The task is to bound f(u) = sum_j a_j q_j + sum_k t_k (e_k'u)_+ over u = sum_j a_j v_j, a >= 0, in the unit ball, with
unit rays v_j and t < 0. For c in [0, 1] and any x with

    g_j = v_j'x - q_j - sum_k c_k t_k e_k'v_j >= 0   for all j

f(u) <= x'u <= ||x||. Such x are x = w + sum_k c_k t_k e_k + P g with a constant w and the inverse P of the matrix of
the rays, so ||x|| is minimised over c in [0, 1] and g >= 0. The proof does not use P: violations of g >= 0, recomputed
from x and c, and a margin for their rounding errors are compensated by a multiple of an s with v_j's >= 1.

The kernel is written in loops, as array expressions take ten times as long to compile.
"""

import numpy as np

from cvxrelu.runtime.compilation import kernel

_SWEEPS = 3
_PIVOTS = 100
_DEPENDENT = 1e-11  # a column this close to the span of others, relatively, counts as dependent
_GRADIENT = 1e-13  # cosine of x and a column that counts as zero
_SMALL_PIVOT = 1e-12  # smallest pivot in the inversion of the rays


@kernel()
def bound_cone(V, q, Z, e, t, m, margin, limit, x, c, u, matrices, vectors, indices):  # type: ignore[no-untyped-def]
    """Return a bound on f over a cone: the smallest, or one that is at most ``limit``.

    Parameters
    ----------
    V : ndarray of shape (r, r)
        The rays v_j in rows.
    q : ndarray of shape (r,)
        The linear part of f at the rays.
    Z, e, t : ndarrays of shape (>= m, r), (>= m, r), (>= m,)
        e_k'v_j, e_k and t_k < 0 of the m lines.
    margin : float
        Bound on the rounding errors of g.
    x, c : ndarrays of shape (r,) and (>= m,)
        Initial values; overwritten by a proof of the bound, for `move_out`.
    u : ndarray of shape (r,)
        Overwritten by coefficients a >= 0 of a point of the cone where f is large, zero if there is none.
    matrices, vectors, indices : ndarrays of shape (4, r, r), (6, r), (>= m + 2 r,)
        Work arrays.
    """
    r = len(q)
    P, Q, R, A = matrices[0], matrices[1], matrices[2], matrices[3]
    g, weight, s = vectors[0], vectors[1], vectors[2]
    d, y, point = vectors[3], vectors[4], vectors[5]
    reach, highest = np.inf, 0.0
    for j in range(r):
        s[j] = 0.0
    for j in range(r):
        u[j] = 0.0
        if q[j] > highest:
            highest = q[j]
        for i in range(r):
            s[i] += V[j, i]
    for j in range(r):
        reach = least(reach, dot(V[j], s))
    reach = np.sqrt(dot(s, s)) / reach  # ||s|| for s scaled to v_j's >= 1
    best = (highest + margin) * reach
    if best <= limit:
        for i in range(r):
            x[i] = 0.0
        for k in range(m):
            c[k] = 0.0
        return best
    if not _invert(V, P, A):
        return best
    for j in range(r):
        g[j] = largest(-_shortfall(V[j], q[j], Z, t, m, x, c, j), 0.0)
        weight[j] = 0.0
        for i in range(r):
            weight[j] += P[i, j] * P[i, j]
    for _ in range(_SWEEPS):
        _sweep(e, t, m, P, weight, x, c, g)
        if np.sqrt(dot(x, x)) <= limit:
            best = least(best, _proven(V, q, Z, t, m, margin, x, c, reach))
            if best <= limit:
                return best
    if _relaxed_value(V, q, e, t, m, x, P, u, point) <= limit:
        best = least(
            best, _pivot(V, q, Z, e, t, m, margin, limit, x, c, u, P, g, weight, reach, Q, R, d, y, point, indices)
        )
        if best <= limit:
            return best
    return least(best, _proven(V, q, Z, t, m, margin, x, c, reach))


@kernel()
def least(a, b):  # type: ignore[no-untyped-def]
    """Return the smaller of two numbers; the builtin takes longer to compile."""
    return b if b < a else a


@kernel()
def largest(a, b):  # type: ignore[no-untyped-def]
    """Return the larger of two numbers."""
    return b if b > a else a


@kernel()
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return a'b, summed in order."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@kernel()
def _shortfall(v, q, Z, t, m, x, c, j):  # type: ignore[no-untyped-def]
    """Return -g_j, computed from x and c."""
    short = q - dot(v, x)
    for k in range(m):
        short += c[k] * t[k] * Z[k, j]
    return short


@kernel()
def _proven(V, q, Z, t, m, margin, x, c, reach):  # type: ignore[no-untyped-def]
    """Return the bound that x and c prove: ||x|| plus the compensation of the largest violation."""
    return np.sqrt(dot(x, x)) + _violation(V, q, Z, t, m, margin, x, c) * reach


@kernel()
def _violation(V, q, Z, t, m, margin, x, c):  # type: ignore[no-untyped-def]
    """Return the largest violation of g >= 0, with the margin."""
    violation = 0.0
    for j in range(len(q)):
        violation = largest(violation, _shortfall(V[j], q[j], Z, t, m, x, c, j) + margin)
    return violation


@kernel()
def move_out(V, q, Z, t, m, margin, x, c, s):  # type: ignore[no-untyped-def]
    """Move x along the sum s of the rays until g >= 0 holds by the margin, and return ||x||, the bound proven.

    s is a work array.
    """
    r, least_product = len(q), np.inf
    for i in range(r):
        s[i] = 0.0
        for j in range(r):
            s[i] += V[j, i]
    for j in range(r):
        least_product = least(least_product, dot(V[j], s))
    step = _violation(V, q, Z, t, m, margin, x, c) / least_product
    for i in range(r):
        x[i] += step * s[i]
    return np.sqrt(dot(x, x))


@kernel()
def _relaxed_value(V, q, e, t, m, x, P, u, point):  # type: ignore[no-untyped-def]
    """Return f at the unit vector along x without its negative coefficients, a lower bound on all bounds.

    u receives the coefficients; ``point`` is a work array.
    """
    r = len(q)
    value = 0.0
    for i in range(r):
        point[i] = 0.0
    for j in range(r):
        u[j] = 0.0
        for i in range(r):
            u[j] += P[i, j] * x[i]
        u[j] = largest(u[j], 0.0)
        value += u[j] * q[j]
        for i in range(r):
            point[i] += u[j] * V[j, i]
    for k in range(m):
        value += t[k] * largest(dot(e[k], point), 0.0)
    size = np.sqrt(dot(point, point))
    return value / size if size > 0.0 else 0.0


@kernel()
def _sweep(e, t, m, P, weight, x, c, g):  # type: ignore[no-untyped-def]
    """Minimise ||x|| over each variable in turn."""
    r = len(x)
    for k in range(m):
        step = least(largest(dot(e[k], x) / -t[k], -c[k]), 1.0 - c[k])
        if step != 0.0:
            c[k] += step
            for i in range(r):
                x[i] += step * t[k] * e[k, i]
    for j in range(r):
        inner = 0.0
        for i in range(r):
            inner += P[i, j] * x[i]
        step = largest(-inner / weight[j], -g[j])
        if step != 0.0:
            g[j] += step
            for i in range(r):
                x[i] += step * P[i, j]


@kernel()
def _pivot(  # type: ignore[no-untyped-def]
    V, q, Z, e, t, m, margin, limit, x, c, u, P, g, weight, reach, Q, R, d, y, point, indices
):
    """Minimise ||x|| by an active-set method: x is made orthogonal to the columns of the free variables.

    Variables are numbered c first, then g. Returns the best bound proven. The last six arguments are work arrays.
    """
    r = len(x)
    best = np.inf
    basic, free = indices[:r], indices[r:]
    n_free = n = 0
    for j in range(r):
        if g[j] > 0.0:
            free[n_free] = m + j
            n_free += 1
    for k in range(m):
        if 0.0 < c[k] < 1.0:
            free[n_free] = k
            n_free += 1
    for _ in range(_PIVOTS):
        n = _orthogonalize(e, m, P, weight, free, n_free, basic, Q, R, y)
        for o in range(n - 1, -1, -1):
            d[o] = -dot(Q[o], x)
            for h in range(o + 1, n):
                d[o] -= R[o, h] * d[h]
            d[o] /= R[o, o]
        step, leaving = 1.0, -1
        for o in range(n):
            k = basic[o]
            longest = np.inf
            if k >= m and d[o] < 0.0:
                longest = g[k - m] * np.sqrt(weight[k - m]) / -d[o]
            elif k < m and d[o] != 0.0:
                longest = t[k] * (c[k] - 1.0 if d[o] > 0.0 else c[k]) / d[o]
            if longest < step:
                step, leaving = longest, o
        _move(e, t, m, P, weight, x, c, g, d, basic, n, step, leaving)
        size = np.sqrt(dot(x, x))
        if size <= limit:
            best = least(best, _proven(V, q, Z, t, m, margin, x, c, reach))
            if best <= limit:
                break
        if leaving >= 0:
            gone = basic[leaving]
            n = 0
            for position in range(n_free):
                if free[position] != gone:
                    free[n] = free[position]
                    n += 1
            n_free = n
            continue
        if _relaxed_value(V, q, e, t, m, x, P, u, point) > limit:
            break
        for position in range(n):
            free[position] = basic[position]
        entering = _steepest(e, m, P, weight, x, c, g, basic, n, _GRADIENT * size)
        if entering < 0:
            break
        free[n] = entering
        n_free = n + 1
    return best


@kernel()
def _orthogonalize(e, m, P, weight, free, n_free, basic, Q, R, y):  # type: ignore[no-untyped-def]
    """Write the QR factors of the unit columns of independent free variables, and these variables; return their number.

    By Gram-Schmidt, repeated once for orthogonality. Variables with dependent columns are left out.
    """
    n, r = 0, len(y)
    for position in range(n_free):
        if n == r:
            break
        k = free[position]
        for i in range(r):
            y[i] = -e[k, i] if k < m else P[i, k - m] / np.sqrt(weight[k - m])
        for o in range(n):
            R[o, n] = 0.0
        for _ in range(2):
            for o in range(n):
                product = dot(Q[o], y)
                R[o, n] += product
                for i in range(r):
                    y[i] -= product * Q[o, i]
        R[n, n] = np.sqrt(dot(y, y))
        if R[n, n] > _DEPENDENT:
            for i in range(r):
                Q[n, i] = y[i] / R[n, n]
            basic[n] = k
            n += 1
    return n


@kernel()
def _move(e, t, m, P, weight, x, c, g, d, basic, n, step, leaving):  # type: ignore[no-untyped-def]
    """Take a step along d; the leaving basic variable is set to its bound."""
    r = len(x)
    for o in range(n):
        k = basic[o]
        if k < m:
            c[k] = least(largest(c[k] + step * d[o] / -t[k], 0.0), 1.0)
            if o == leaving:
                c[k] = 1.0 if d[o] > 0.0 else 0.0
            for i in range(r):
                x[i] -= step * d[o] * e[k, i]
        else:
            change = step * d[o] / np.sqrt(weight[k - m])
            g[k - m] = 0.0 if o == leaving else largest(g[k - m] + change, 0.0)
            for i in range(r):
                x[i] += change * P[i, k - m]


@kernel()
def _steepest(e, m, P, weight, x, c, g, basic, n, slope):  # type: ignore[no-untyped-def]
    """Return the non-basic variable whose unit column decreases ||x|| most steeply, or -1 if none does."""
    r = len(x)
    entering = -1
    for k in range(m + r):
        if k < m:
            inner = -dot(e[k], x)
            falls = c[k] < 1.0 if inner < 0.0 else c[k] > 0.0
        else:
            inner = 0.0
            for i in range(r):
                inner += P[i, k - m] * x[i]
            inner /= np.sqrt(weight[k - m])
            falls = inner < 0.0 or g[k - m] > 0.0
        if falls and abs(inner) > slope:
            known = False
            for o in range(n):
                known = known or basic[o] == k
            if not known:
                slope, entering = abs(inner), k
    return entering


@kernel()
def _invert(V, P, A):  # type: ignore[no-untyped-def]
    """Write the inverse of V into P by elimination with row pivoting; return False if a pivot is too small.

    A is a work array.
    """
    r = len(V)
    for i in range(r):
        for j in range(r):
            A[i, j] = V[i, j]
            P[i, j] = 1.0 if i == j else 0.0
    for j in range(r):
        pivot = j
        for i in range(j + 1, r):
            if abs(A[i, j]) > abs(A[pivot, j]):
                pivot = i
        if abs(A[pivot, j]) < _SMALL_PIVOT:
            return False
        scale = 1.0 / A[pivot, j]
        for k in range(r):
            A[j, k], A[pivot, k] = A[pivot, k], A[j, k]
            P[j, k], P[pivot, k] = P[pivot, k], P[j, k]
            A[j, k] *= scale
            P[j, k] *= scale
        for i in range(r):
            factor = A[i, j]
            if i != j and factor != 0.0:
                for k in range(r):
                    A[i, k] -= factor * A[j, k]
                    P[i, k] -= factor * P[j, k]
    return True
