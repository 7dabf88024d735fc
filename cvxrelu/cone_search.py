"""Branch and bound over cones: a proven upper bound of f(u) = w0'u + sum_k tau_k (e_k'u)_+ over ||u|| <= 1.

A node is a simplicial cone with unit rays v_j. On it a line e_k whose products with the rays have one sign is linear.
Of the others, those with tau > 0 are at most their linear interpolation between the rays, and what is left is concave:
its maximum on the cone and the unit ball is bounded by `cone_bound`. Cones whose bound is above the threshold are cut
in two across an edge. A cone's x and c prove its bound for both halves, which start from them.

The kernel is compiled by numba, at the first call (the result is cached): nodes are thousands of operations each,
on which NumPy's overhead would be a hundredfold.
"""

import time as clock
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from cvxrelu._validation import FloatArray
from cvxrelu.cone_bound import bound_cone
from cvxrelu.neuron_form import Form

_SHORTEST = 0.1  # part of an edge that a cut leaves on either side
_EVEN = 0.1  # weight of what an edge is off by itself, beside its part in the point where the bound is attained
_ABOVE = 1.0001
_DEPTH = 1000  # of cuts, before what is left is not cut any more
_CHUNK = 5_000  # nodes between looks at the clock
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Search:
    """What a search has shown.

    Attributes
    ----------
    upper : float
        No u in the unit ball has a larger f(u).
    met : ndarray of shape (k, r)
        Unit vectors at which f was above the threshold of the time, each better than the one before.
    n_nodes : int
        Cones that were bounded.
    finished : bool
        Whether no cone is left open; else a limit was met, and ``upper`` is that of the cones left.
    """

    upper: float
    met: FloatArray
    n_nodes: int
    finished: bool


def search(
    form: Form,
    threshold: float,
    ascend: Callable[[FloatArray], FloatArray],
    *,
    max_nodes: int = 10**9,
    deadline: float = np.inf,
) -> Search:
    """Show that f is at most ``threshold`` on the unit ball, or where it is not, a little above its maximum.

    Parameters
    ----------
    form : Form
        The function, of rank r >= 1; its ``slack`` is added to the upper bound.
    threshold : float
        What is to be shown, > 0. Where f is larger, it is raised to `_ABOVE` times the value there.
    ascend : callable
        Returns a unit vector (r,) with a value that is no smaller than that of the one given.
    max_nodes : int
        Limit of the cones that are bounded; those left open count in ``upper`` with the bounds that they have.
    deadline : float
        The same, as a time of `time.perf_counter`.
    """
    K, r = form.E.shape
    E = np.ascontiguousarray(form.E)
    axes = np.linalg.eigh((E.T * np.abs(form.tau)) @ E)[1]
    lipschitz = float(np.linalg.norm(form.w0) + np.abs(form.tau).sum())
    # Sums of K + r terms. Rays are rounded at each cut: in an orthant, coefficients of a point are at most its norm, so
    # that each cut on the way to a cone moves what it covers by a few eps at most.
    slack = form.slack + (K + 100 * r) * _EPS * lipschitz
    signs = np.where(np.arange(2**r)[:, None] >> np.arange(r) & 1, 1.0, -1.0)
    n_open, size = 2**r, 2**r + _DEPTH
    cones, linear, xs = np.zeros((size, r, r)), np.zeros((size, r)), np.zeros((size, r))
    bounds, segments = np.zeros(size), np.zeros((size, 4), dtype=np.int64)
    cones[:n_open] = signs[:, :, None] * axes.T
    linear[:n_open] = form.w0
    xs[:n_open] = lipschitz * cones[:n_open].sum(axis=1)
    bounds[:n_open] = lipschitz
    segments[:n_open] = 0, int(np.count_nonzero(form.tau < 0.0)), int(np.count_nonzero(form.tau > 0.0)), 1
    segments[0, 3] = 0
    order = np.argsort(form.tau, kind="stable")
    pool, pool_c = order[form.tau[order] != 0.0], np.zeros(K)
    n_nodes, unresolved, met = 0, 0.0, []
    while n_open and n_nodes < max_nodes and clock.perf_counter() < deadline:
        chunk = min(_CHUNK, max_nodes - n_nodes)
        n_open, done, value, where, left, pool, pool_c = _search(
            E, form.tau, cones, linear, xs, bounds, segments, pool, pool_c, n_open, threshold - slack, threshold, chunk
        )
        n_nodes += done
        unresolved = max(unresolved, left)
        if value > threshold:
            u = ascend(where)
            met.append(u)
            threshold = _ABOVE * max(form.value(u), value)
    return Search(
        upper=max(threshold, unresolved + slack, float(bounds[:n_open].max(initial=0.0)) + slack),
        met=np.array(met).reshape(-1, r),
        n_nodes=n_nodes,
        finished=n_open == 0 and unresolved == 0.0,
    )


@njit(cache=True)
def _search(E, tau, cones, linear, xs, bounds, segments, pool, pool_c, n_open, limit, threshold, max_nodes):  # type: ignore[no-untyped-def]
    """Bound up to ``max_nodes`` cones of the stack of ``n_open``.

    The lines of a cone are those in its segment of the pool (first, number with tau < 0, number with tau > 0); the
    halves of a cone share one, and the half that is bounded first must leave it as it is.
    """
    K, r = E.shape
    best, best_u, unresolved, n_nodes = -np.inf, np.zeros(r), 0.0, 0
    Z, e, t, c = np.empty((K, r)), np.empty((K, r)), np.empty(K), np.empty(K)
    lines = np.empty(K, dtype=np.int64)
    V, P = np.empty((r, r)), np.empty((r, r))
    base, q, x, u, middle = np.empty(r), np.empty(r), np.empty(r), np.empty(r), np.empty(r)
    while n_open > 0 and n_nodes < max_nodes and best <= threshold:
        n_open -= 1
        n_nodes += 1
        V[:] = cones[n_open]
        base[:] = linear[n_open]
        x[:] = xs[n_open]
        first, n_concave, n_convex, shared = segments[n_open]
        m = mixed = 0
        for place in range(first, first + n_concave + n_convex):
            if place == first + n_concave:
                m = mixed
            k = pool[place]
            low, high = np.inf, -np.inf
            for j in range(r):
                z = 0.0
                for i in range(r):
                    z += E[k, i] * V[j, i]
                Z[mixed, j] = z
                low, high = min(low, z), max(high, z)
            if low >= 0.0:
                for i in range(r):
                    base[i] += tau[k] * E[k, i]
            elif high > 0.0:
                lines[mixed] = k
                t[mixed] = tau[k]
                c[mixed] = pool_c[place]
                for i in range(r):
                    e[mixed, i] = E[k, i]
                mixed += 1
        if n_convex == 0:
            m = mixed
        for j in range(r):
            q[j] = 0.0
            for i in range(r):
                q[j] += base[i] * V[j, i]
            for k in range(m, mixed):
                q[j] += t[k] * max(Z[k, j], 0.0)
            value = q[j]
            for k in range(m):
                value += t[k] * max(Z[k, j], 0.0)
            if value > best:
                best = value
                best_u[:] = V[j]
        u[:] = 0.0
        bound = min(bound_cone(V, q, Z, e, t, m, limit, x, c, u, P), bounds[n_open])
        if bound <= limit:
            continue
        value = _value(V, base, e, t, mixed, u, middle)
        if value > best:
            best = value
            best_u[:] = middle
        if n_open + 2 > len(cones):
            unresolved = max(unresolved, bound)
            continue
        a, b, share = _cut(V, Z, t, m, mixed, u)
        size = 0.0
        for i in range(r):
            middle[i] = (1.0 - share) * V[a, i] + share * V[b, i]
            size += middle[i] ** 2
        for i in range(r):
            middle[i] /= np.sqrt(size)
        start = first + n_concave + n_convex if shared else first
        if start + mixed > len(pool):
            larger, larger_c = np.empty(2 * (start + mixed), dtype=np.int64), np.empty(2 * (start + mixed))
            larger[: len(pool)] = pool
            larger_c[: len(pool_c)] = pool_c
            pool, pool_c = larger, larger_c
        pool[start : start + mixed] = lines[:mixed]
        pool_c[start : start + mixed] = c[:mixed]
        for half in range(2):
            cones[n_open] = V
            cones[n_open, a if half == 0 else b] = middle
            linear[n_open] = base
            xs[n_open] = x
            bounds[n_open] = bound
            segments[n_open, 0] = start
            segments[n_open, 1] = m
            segments[n_open, 2] = mixed - m
            segments[n_open, 3] = half
            n_open += 1
    return n_open, n_nodes, best, best_u, unresolved, pool, pool_c


@njit(cache=True)
def _value(V, base, e, t, mixed, u, point):  # type: ignore[no-untyped-def]
    """Return f at the point of the cone with coefficients u, scaled to norm 1, and write it; -inf if it is zero."""
    r = len(u)
    size = 0.0
    for i in range(r):
        point[i] = 0.0
        for j in range(r):
            point[i] += u[j] * V[j, i]
        size += point[i] ** 2
    if size == 0.0:
        return -np.inf
    value = 0.0
    for i in range(r):
        point[i] /= np.sqrt(size)
        value += base[i] * point[i]
    for k in range(mixed):
        product = 0.0
        for i in range(r):
            product += e[k, i] * point[i]
        value += t[k] * max(product, 0.0)
    return value


@njit(cache=True)
def _cut(V, Z, t, m, mixed, u):  # type: ignore[no-untyped-def]
    """Return the edge (a, b) to cut, and where between a (0) and b (1).

    On an edge, interpolation of a line is off the most where the line crosses it. The edge is the one with the largest
    sum of that, times the part that the edge has in the point u at which the bound is attained, and the place is the
    mean of the crossings. Where all is linear, the longest edge is cut in the middle.
    """
    r = len(u)
    total = 0.0
    for j in range(r):
        total += u[j]
    most, first, second, place = 0.0, 0, 1, 0.5
    for a in range(r):
        for b in range(a + 1, r):
            off, crossing = 0.0, 0.0
            for k in range(m, mixed):
                if Z[k, a] * Z[k, b] < 0.0:
                    share = Z[k, a] / (Z[k, a] - Z[k, b])
                    error = t[k] * abs(Z[k, b]) * share
                    off += error
                    crossing += error * share
            score = off * (min(u[a], u[b]) + _EVEN * total if total > 0.0 else 1.0)
            if score > most:
                most, first, second, place = score, a, b, crossing / off
    if most > 0.0:
        return first, second, min(max(place, _SHORTEST), 1.0 - _SHORTEST)
    longest = 0.0
    for a in range(r):
        for b in range(a + 1, r):
            length = 0.0
            for i in range(r):
                length += (V[a, i] - V[b, i]) ** 2
            if length > longest:
                longest, first, second = length, a, b
    return first, second, 0.5
