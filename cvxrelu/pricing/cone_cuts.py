"""The edge at which branch and bound cuts a cone, and the new ray."""

import numpy as np

from cvxrelu.pricing.cone_kernel import dot, largest, least
from cvxrelu.runtime.compilation import kernel

_SHORTEST = 0.1  # smallest fraction of an edge on either side of a cut
_EVEN = 0.1  # weight of an edge's error itself, relative to its coefficients in the point that attains the bound
_COARSE = 0.1  # relative error of the ratio of two multiples, for smaller multiples
_MULTIPLE = 65535.0  # largest multiple of a ray


@kernel()
def cut_edge(V, Z, t, m, mixed, u):  # type: ignore[no-untyped-def]
    """Return the edge (a, b) to cut, and the fraction between a (0) and b (1).

    The interpolation error of a line on an edge is largest where the line crosses it. The edge cut has the largest sum
    of these errors, weighted by its coefficients in the point u that attains the bound; the cut is at the mean of the
    crossings, weighted by error. If f is linear on all edges, the longest edge is halved.
    """
    r = len(u)
    total = 0.0
    for j in range(r):
        total += u[j]
    most, first, second, fraction = 0.0, 0, 1, 0.5
    for a in range(r):
        for b in range(a + 1, r):
            total_error, crossing = 0.0, 0.0
            for k in range(m, mixed):
                if Z[k, a] * Z[k, b] < 0.0:
                    zero = Z[k, a] / (Z[k, a] - Z[k, b])
                    error = t[k] * abs(Z[k, b]) * zero
                    total_error += error
                    crossing += error * zero
            score = total_error * (least(u[a], u[b]) + _EVEN * total if total > 0.0 else 1.0)
            if score > most:
                most, first, second, fraction = score, a, b, crossing / total_error
    if most > 0.0:
        return first, second, least(largest(fraction, _SHORTEST), 1.0 - _SHORTEST)
    longest = 0.0
    for a in range(r):
        for b in range(a + 1, r):
            length = 0.0
            for i in range(r):
                difference = V[a, i] - V[b, i]
                length += difference * difference
            if length > longest:
                longest, first, second = length, a, b
    return first, second, 0.5


@kernel()
def multiples(W, a, b, fraction):  # type: ignore[no-untyped-def]
    """Return small integers whose multiples of the rays a and b sum to a ray near ``fraction`` of the edge."""
    first, second = (1.0 - fraction) / np.sqrt(dot(W[a], W[a])), fraction / np.sqrt(dot(W[b], W[b]))
    ratio = largest(first, second) / least(first, second)
    few = 1.0
    many = float(int(ratio + 0.5))
    while abs(many - few * ratio) > _COARSE * few * ratio and (few + 1.0) * ratio < _MULTIPLE:
        few += 1.0
        many = float(int(few * ratio + 0.5))
    many = least(many, _MULTIPLE)
    if first < second:
        return int(few), int(many)
    return int(many), int(few)
