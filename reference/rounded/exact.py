"""Objectives, dual objectives and the largest |t'(Xu)_+| in rational arithmetic; roots and logarithms to 60 digits.

Nothing here is shared with the package: data, weights and dual points are read as the rational numbers that they are.
"""

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import cmp_to_key
from itertools import combinations
from typing import Any

import numpy as np

from reference.rationals import rational

Vector = Sequence[Fraction]
DIGITS = Context(prec=60, Emin=-(10**12), Emax=10**12)


def decimal(number: Fraction | int) -> Decimal:
    """Return a rational number to 60 digits."""
    number = Fraction(number)
    return Decimal(number.numerator) / Decimal(number.denominator)


def loss_value(name: str, delta: float | None, prediction: Any, Y: Any) -> Decimal:
    """Return F at predictions (n, c), both arrays of fractions."""
    n, total = len(Y), Decimal(0)
    for f, y in zip(prediction, Y, strict=True):
        if name in ("squared", "huber"):
            for size in (abs(a - b) for a, b in zip(f, y, strict=True)):
                inner = size if name == "squared" else min(size, Fraction(delta or 0.0))
                total += decimal(inner * (size - inner / 2))
        elif name == "logistic":
            total += sum(_soft(decimal(-a * b)) for a, b in zip(f, y, strict=True))
        else:
            label = list(y).index(1)
            total += _soft(*(decimal(a - f[label]) for k, a in enumerate(f) if k != label))
    return total / n


def _soft(*numbers: Decimal) -> Decimal:
    """Return log(1 + sum exp(numbers))."""
    *others, top = sorted((Decimal(0), *numbers))
    rest = sum(((number - top).exp() for number in others), Decimal(0))
    # Of log(1 + x) = x - x^2 / 2 + ... for a small x, the digits of 1 + x keep too little.
    return top + ((1 + rest).ln() if rest > Decimal("1e-30") else rest - rest * rest / 2)


def conjugate(name: str, delta: float | None, t: Any, Y: Any) -> Decimal | None:
    """Return F* at t (n, c), None outside its domain; both are arrays of fractions."""
    n = len(Y)
    if name in ("squared", "huber"):
        if name == "huber" and any(abs(n * entry) > Fraction(delta or 0.0) for entry in t.ravel()):
            return None
        return decimal(np.sum(t * (n * t / 2 + Y)))
    if name == "logistic":
        a = [-n * y * s for y, s in zip(Y.ravel(), t.ravel(), strict=True)]
        p = [*a, *(1 - each for each in a)]
    else:
        if any(sum(row) != 0 for row in t):
            return None
        p = list((n * t + Y).ravel())
    if any(each < 0 for each in p):
        return None
    return sum((decimal(each) * decimal(each).ln() for each in p if each > 0), Decimal(0)) / n


def norm_value(name: str, blocks: Any) -> Decimal:
    """Return the penalty at blocks (.., c, P, d) of fractions."""
    flat = blocks.reshape(-1, blocks.shape[-1])
    if name == "squared_l2":
        return decimal(np.sum(flat * flat) / 2)
    if name == "nuclear":
        return sum((singular_values(blocks[:, i])[1] for i in range(blocks.shape[1])), Decimal(0))
    if name == "l1":
        return decimal(np.sum(abs(flat)))
    rows = flat if name == "group_l1" else flat.T
    return sum((decimal(sum(x * x for x in row)).sqrt() for row in rows), Decimal(0))


def dual_cost(name: str, z: Any, lam: Fraction) -> Decimal | None:
    """Return the penalty's conjugate at blocks z (.., c, P, d), None outside its domain."""
    flat = z.reshape(-1, z.shape[-1])
    if name == "none" or lam == 0:
        return None if any(flat.ravel()) else Decimal(0)
    if name == "squared_l2":
        return decimal(np.sum(flat * flat) / (2 * lam))
    if name == "nuclear":
        inside = all(singular_values(z[:, i])[0] <= decimal(lam) for i in range(z.shape[1]))
    elif name == "l1":
        inside = all(abs(entry) <= lam for entry in flat.ravel())
    else:
        inside = all(sum(x * x for x in row) <= lam * lam for row in (flat if name == "group_l1" else flat.T))
    return Decimal(0) if inside else None


def singular_values(matrix: Any) -> tuple[Decimal, Decimal]:
    """Return the largest singular value and the sum of singular values of a matrix with one or two rows."""
    if len(matrix) == 1:
        size = decimal(sum(x * x for x in matrix[0])).sqrt()
        return size, size
    a, b, c = (sum(x * y for x, y in zip(matrix[i], matrix[j], strict=True)) for i, j in ((0, 0), (0, 1), (1, 1)))
    root = decimal((a - c) ** 2 + 4 * b * b).sqrt()
    return ((decimal(a + c) + root) / 2).sqrt(), (decimal(a + c) + 2 * decimal(a * c - b * b).sqrt()).sqrt()


def relu_sum(X: Any, t: Any, u: Any) -> Fraction:
    """Return t'(Xu)_+."""
    total: Fraction = sum(
        (s * max(sum(x * z for x, z in zip(row, u, strict=True)), 0) for s, row in zip(t, X, strict=True)), Fraction(0)
    )
    return total


def largest_squared(X: Any, t: Any) -> Fraction:
    """Return the square of max over ||u|| <= 1 of |t'(Xu)_+|, for fractions X (n, 2) and t (n,).

    Between two directions across rows or along axes, t'(Xu)_+ = g'u, and |g'u| / ||u|| is largest along g or -g if
    that lies between them, else at one of them.
    """
    directions = [(Fraction(a), Fraction(b)) for a, b in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    directions += [(s * -row[1], s * row[0]) for row in X if any(row) for s in (1, -1)]
    directions.sort(key=cmp_to_key(_compare))
    best = Fraction(0)
    for a, b in zip(directions, directions[1:] + directions[:1], strict=True):
        middle = (a[0] + b[0], a[1] + b[1])  # of an arc below 180 degrees: inside it
        g = [
            sum(
                (s * row[k] for s, row in zip(t, X, strict=True) if row[0] * middle[0] + row[1] * middle[1] > 0),
                Fraction(0),
            )
            for k in (0, 1)
        ]
        best = max(best, (g[0] * a[0] + g[1] * a[1]) ** 2 / (a[0] ** 2 + a[1] ** 2))
        for h in (g, [-g[0], -g[1]]):
            if _cross(a, h) >= 0 and _cross(h, b) >= 0 and h[0] * middle[0] + h[1] * middle[1] > 0:
                best = max(best, h[0] ** 2 + h[1] ** 2)
    return best


def _cross(a: Vector, b: Vector) -> Fraction:
    return a[0] * b[1] - a[1] * b[0]


def _compare(a: Vector, b: Vector) -> int:
    """Compare the angles of two vectors in [0, 360) degrees."""
    lower = [v[1] < 0 or (v[1] == 0 and v[0] < 0) for v in (a, b)]
    if lower[0] != lower[1]:
        return 1 if lower[0] else -1
    turn = _cross(a, b)
    return -1 if turn > 0 else int(turn < 0)


def large_squared(X: Any, t: Any, masks: Any, n_exact: int = 4) -> Fraction:
    """Return a lower bound of the square of the maximum for any X (n, d), its square itself if no candidate is missed.

    Candidates are, for each mask of active rows (n, k) and each set of at most d - 1 rows, the projections of +-g onto
    the space across these rows. They are compared in float64, and the best evaluated exactly.
    """
    floats, weights = X.astype(np.float64), t.astype(np.float64)
    points = []
    for size in range(min(X.shape[1], 3)):
        for rows in combinations(range(len(X)), size):
            pulls = (weights[:, None] * floats).T @ masks
            if size:
                span = np.linalg.svd(floats[list(rows)], full_matrices=False)[2]
                pulls = pulls - span.T @ (span @ pulls)
            points.append(np.concatenate([pulls, -pulls], axis=1))
    U = np.concatenate(points, axis=1)
    sizes = np.linalg.norm(U, axis=0)
    kept = sizes > 1e-9 * sizes.max(initial=0.0)
    U, sizes = U[:, kept], sizes[kept]
    heights = np.abs(weights @ np.maximum(floats @ U, 0.0)) / sizes
    best = Fraction(0)
    for j in np.argsort(-heights)[:n_exact]:
        u = rational(U[:, j])
        best = max(best, relu_sum(X, t, u) ** 2 / sum(x * x for x in u))
    return best
