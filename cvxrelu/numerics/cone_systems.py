"""Products and Newton systems of blocks A_b = +-D_i X, b = (sign, output, pattern), for kernels."""

import numpy as np

from cvxrelu.runtime.blas import (
    column_gram,
    inner,
    products_with_rows,
    row_gram,
    solve_positive,
    times,
    transposed_times,
)
from cvxrelu.runtime.compilation import kernel

_SHIFTS, _SHIFT = 60, 1e-14  # of a system that rounding makes indefinite: at most; at least, relative to its trace


@kernel()
def predict(X, mask, u, places, n_active, product, prediction):  # type: ignore[no-untyped-def]
    """Write the sum of A_b u_b over the active blocks; ``product`` is a work array."""
    c, n = prediction.shape
    P = len(mask)
    for i in range(c):
        for j in range(n):
            prediction[i, j] = 0.0
    for i in range(n_active):
        b = places[0, i]
        k = (b // P) % c
        times(X, u[b], product)
        sign = 1.0 if b < c * P else -1.0
        own, target = mask[places[1, i]], prediction[k]
        for j in range(n):
            target[j] += sign * own[j] * product[j]


@kernel()
def adjoint(columns, mask, t, weighted, entries, products):  # type: ignore[no-untyped-def]
    """Write A_b't for all blocks."""
    (d, n), P, c = columns.shape, len(mask), len(t)
    for k in range(c):
        for a in range(d):
            for j in range(n):
                weighted[a, j] = columns[a, j] * t[k, j]
        products_with_rows(mask, weighted, entries)
        for i in range(P):
            for a in range(d):
                value = entries[i * d + a]
                products[k * P + i, a] = value
                products[(c + k) * P + i, a] = -value


@kernel()
def direction(  # type: ignore[no-untyped-def]
    X, mask, basis, tight, places, n_active, sigma, p, sizes, response, gradient, step,
    roots, owner, B, B_entries, gram, small
):  # fmt: skip
    """Write the Newton step: -(Q^-1 + sum_b A_b Y_b'Y_b A_b')^-1 gradient, output by output."""
    (c, n), P = step.shape, len(mask)
    scale, right, product = small[0], small[1], small[2]
    for k in range(c):
        m = 0
        for i in range(n_active):
            if (places[0, i] // P) % c == k:
                known, face = m, places[2, i]
                m = _add_roots(basis[face], tight[face], p[i], sizes[2, i], sizes[0, i], sigma, roots, known)
                for r in range(known, m):
                    owner[r] = places[1, i]
        for j in range(n):
            scale[j] = np.sqrt(response[k, j])
            step[k, j] = -scale[j] * gradient[k, j]
        if m > 0:
            products_with_rows(roots[:m], X, B_entries)
            for r in range(m):
                own = mask[owner[r]]
                for j in range(n):
                    B[r, j] *= own[j] * scale[j]
            if m <= n:
                for r in range(m):
                    right[r] = inner(B[r], step[k])
                _solve(B[:m], m, gram, right[:m])
                transposed_times(B[:m], right[:m], product[:n])
                for j in range(n):
                    step[k, j] -= product[j]
            else:
                _solve(B[:m], n, gram, step[k])
        for j in range(n):
            step[k, j] *= scale[j]


@kernel()
def _add_roots(basis, tight, p, size, shrinkage, sigma, roots, m):  # type: ignore[no-untyped-def]
    """Write the rows of Y_b from row m on; return the number of rows. See `ConeNewton`."""
    d, w = len(p), np.sqrt(shrinkage)
    for a in range(d):
        if not tight[a]:
            along = inner(basis[a], p) / size * (1.0 - w) / size
            for j in range(d):
                roots[m, j] = np.sqrt(sigma) * (w * basis[a, j] + along * p[j])
            m += 1
    return m


@kernel()
def _solve(B, order, gram, right):  # type: ignore[no-untyped-def]
    """Solve (I + B B') z = right, or (I + B'B) z = right, whichever has the order, in place.

    If rounding makes the matrix indefinite, the shift is larger; z is zero if that does not help.
    """
    shift = 1.0
    for _ in range(_SHIFTS):
        if order == len(B):
            row_gram(B, gram)
        else:
            column_gram(B, gram)
        trace = 0.0
        for i in range(order):
            trace += gram[i * order + i]
            gram[i * order + i] += shift
        if solve_positive(gram, right) == 0:
            return
        shift = max(10.0 * shift, _SHIFT * trace)
    for i in range(order):
        right[i] = 0.0
