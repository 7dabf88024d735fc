"""An oracle in rational arithmetic for proofs of |t'(Xu)_+| <= lam over the unit ball, written from the lemmas."""

from fractions import Fraction
from math import isqrt, lcm

import numpy as np

_ROOT_BITS = 200


def rationals(values):
    return [[Fraction(float(x)) for x in row] for row in np.atleast_2d(values)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True) if x and y)


def root_above(x):
    """Return a number of at least sqrt(x), with a relative error of about 2^-100."""
    if x == 0:
        return Fraction(0)
    shift = max(0, _ROOT_BITS - (x.numerator.bit_length() - x.denominator.bit_length()))
    shift += shift % 2
    return Fraction(isqrt((x.numerator << shift) // x.denominator) + 1, 1 << (shift // 2))


def is_proven(X, lam, proof):
    """Return whether |t'(Xu)_+| <= lam for all ||u|| <= 1 follows from the proof, in exact arithmetic."""
    arrays, lam = proof.arrays, Fraction(float(lam))
    t = [Fraction(float(x)) for x in proof.t]
    A, E, rows = rationals(arrays["basis"]), rationals(arrays["lines"]), rationals(X)
    sizes = [Fraction(float(g)) for g in arrays["row_sizes"]]
    images = [[dot(column, e) for column in zip(*A, strict=True)] for e in E]
    sums = [[Fraction(0), Fraction(0)] for _ in E]
    slack = Fraction(0)
    for x, weight, line, g in zip(rows, t, arrays["row_lines"].tolist(), sizes, strict=True):
        sign, k = (line > 0) - (line < 0), abs(line) - 1
        rest = [a - g * sign * b for a, b in zip(x, images[k], strict=True)] if line else x
        if weight:
            slack += abs(weight) * root_above(dot(rest, rest))
        if line:
            sums[k][sign < 0] += weight * g
    stretch = max(sum(abs(dot(a, b)) for b in A) for a in A)
    if not (lam > slack and all(g >= 0 for g in sizes)):
        return False
    tau, minus = [p + m for p, m in sums], [m for _, m in sums]
    w0 = [-dot(minus, column) for column in zip(*E, strict=True)]
    limit = (lam - slack) ** 2 / stretch
    check = {"cones": _cones, "maximum": _maximum, "relaxation": _relaxation}[proof.kind]
    signed = [(E, [sign * x for x in tau], [sign * x for x in w0]) for sign in (1, -1)]
    return check(signed, limit, arrays)


def _cones(signed, limit, arrays):
    entries = {}
    for (leaf, line), c in zip(arrays["places"].tolist(), arrays["multipliers"].tolist(), strict=True):
        assert (leaf, line) not in entries
        assert 0.0 <= c <= 1.0
        entries[leaf, line] = Fraction(c)
    cuts, leaf = iter(arrays["cuts"].tolist()), 0
    for E, tau, w0 in signed:
        r = len(w0)
        scale = lcm(*(x.denominator for e in E for x in e))
        lines = [[int(scale * x) for x in e] for e in E]
        stack = [([_axis(r, j, 1 if i >> j & 1 else -1) for j in range(r)], 0) for i in range(2**r)]
        while stack:
            V, depth = stack.pop()
            a, b, alpha, beta = next(cuts)
            if alpha == beta == 0:
                x = [Fraction(float(y)) for y in arrays["points"][leaf]]
                if dot(x, x) > limit or not _below(V, lines, scale, tau, w0, x, leaf, entries):
                    return False
                leaf += 1
                continue
            assert a != b
            assert min(alpha, beta) >= 1
            assert depth < 256
            w = [alpha * p + beta * q for p, q in zip(V[a], V[b], strict=True)]
            stack += [([w if j == gone else v for j, v in enumerate(V)], depth + 1) for gone in (a, b)]
    return next(cuts, None) is None and leaf == len(arrays["points"])


def _axis(r, j, sign):
    return [sign if i == j else 0 for i in range(r)]


def _below(V, lines, scale, tau, w0, x, leaf, entries):
    """Return whether f(z) <= x'z on the cone, by q_j <= v_j'x for all rays."""
    bits = [max(abs(y) for y in v).bit_length() for v in V]
    q = [dot(w0, v) - dot(v, x) for v in V]
    for k, (e, weight) in enumerate(zip(lines, tau, strict=True)):
        z = [dot(e, v) for v in V]
        mixed = weight < 0 and min(z) < 0 < max(z)
        implied = int(mixed and sum(y << (max(bits) - n) for y, n in zip(z, bits, strict=True)) > 0)
        for j, y in enumerate(z):
            part = entries.get((leaf, k), implied) * y if mixed else max(y, 0)
            q[j] += weight * part / scale
    return max(q) <= 0


def _maximum(signed, limit, arrays):
    E = [([*e, Fraction(0)])[:2] for e in signed[0][0]]
    turns = {(1, 0): 0, (0, 1): 0, (-1, 0): 0, (0, -1): 0}
    for x, y in E:
        size = max(abs(x), abs(y)) or 1
        turns |= {(-y / size, x / size): 0, (y / size, -x / size): 0} if x or y else {}
    order = sorted(turns, key=lambda v: (_quadrant(v), _slope(v)))
    for _, tau, w0 in signed:
        w0 = [*w0, Fraction(0)][:2]

        def value(z, tau=tau, w0=w0):
            return dot(w0, z) + sum(weight * max(dot(e, z), 0) for e, weight in zip(E, tau, strict=True))

        for a, b in zip(order, order[1:] + order[:1], strict=True):
            f_a, f_b = value(a), value(b)
            if f_a > 0 and f_a**2 > limit * dot(a, a):
                return False
            width = a[0] * b[1] - a[1] * b[0]
            h = [(f_a * b[1] - f_b * a[1]) / width, (f_b * a[0] - f_a * b[0]) / width] if width else [0, 0]
            inside = a[0] * h[1] - a[1] * h[0] >= 0 and h[0] * b[1] - h[1] * b[0] >= 0
            if inside and dot(h, h) > limit:
                return False
    return True


def _quadrant(v):
    x, y = v
    return 0 if x > 0 and y >= 0 else 1 if x <= 0 and y > 0 else 2 if x < 0 and y <= 0 else 3


def _slope(v):
    for _ in range(_quadrant(v)):
        v = v[1], -v[0]
    return v[1] / Fraction(v[0])


def _relaxation(signed, limit, arrays):
    for (E, tau, w0), multipliers, (nu, mu) in zip(
        signed, arrays["multipliers"], rationals(arrays["corners"]), strict=True
    ):
        rho, gamma, delta, kappa = rationals(multipliers)
        if min(*rho, *delta, *kappa, mu) < 0:
            return False
        p = []
        for e, weight, g, d in zip(E, tau, gamma, delta, strict=True):
            p.append(weight + max(abs(g) + d * root_above(dot(e, e)), -weight, 0))
        if any(x**2 > 8 * a * b for x, a, b in zip(p, rho, kappa, strict=True)):
            return False
        half = [(a + b) / 2 for a, b in zip(tau, gamma, strict=True)]
        columns = list(zip(*E, strict=True))
        b = [x + dot(half, column) for x, column in zip(w0, columns, strict=True)]
        bend = [(x - y) / 2 for x, y in zip(rho, delta, strict=True)]
        S = [[nu, *(-x / 2 for x in b)]]
        for i, column in enumerate(columns):
            weighted = [x * y for x, y in zip(bend, column, strict=True)]
            S.append([-b[i] / 2, *((mu if i == j else 0) - dot(weighted, other) for j, other in enumerate(columns))])
        bound = nu + mu + sum(kappa)
        if not (_semidefinite(S) and bound >= 0 and bound**2 <= limit):
            return False
    return True


def _semidefinite(S):
    while S:
        pivot, row = S[0][0], S[0][1:]
        if pivot < 0 or (pivot == 0 and any(row)):
            return False
        steps = [[a * b / pivot if pivot else 0 for b in row] for a in row]
        S = [[a - b for a, b in zip(S[i + 1][1:], step, strict=True)] for i, step in enumerate(steps)]
    return True
