"""The open cones of branch and bound, and the kernel that bounds the last one and cuts it in two.

A node takes only thousands of operations, for which NumPy would be a hundred times slower.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.pricing.cone_kernel import bound_cone, dot, largest, least
from cvxrelu.pricing.neuron_problem import NeuronObjective, Tree
from cvxrelu.runtime.compilation import kernel

_SHORTEST = 0.1  # smallest fraction of an edge on either side of a cut
_EVEN = 0.1  # weight of an edge's error itself, relative to its coefficients in the point that attains the bound
_DEPTH = 1000  # largest number of open cones beyond the initial ones
_TIE = 1e-9  # sums of a line's products with the rays this small have no reliable sign
_PART = 1024  # cones in a part of the log


class ConeStack:
    """A stack of open cones, with a log of the bounded ones if ``max_logged > 0``.

    Attributes
    ----------
    axes : ndarray of shape (r, r)
        Orthonormal rows. The initial cones are their orthants; the bits of i give the signs of the rays of the i-th.
    n_open : int
        Number of open cones.
    bounds : ndarray of shape (>= n_open,)
        Known bounds of the open cones; with a log, infinite for the initial ones, so that x and c alone prove the bound
        of a leaf.
    """

    def __init__(self, objective: NeuronObjective, *, max_logged: int) -> None:
        (K, r), tau = objective.E.shape, objective.tau
        self._E, self._tau = np.ascontiguousarray(objective.E), tau
        self.axes: FloatArray = np.ascontiguousarray(np.linalg.eigh((self._E.T * np.abs(tau)) @ self._E)[1].T)
        lipschitz = objective.lipschitz
        signs = np.where(np.arange(2**r)[:, None] >> np.arange(r) & 1, 1.0, -1.0)
        self.n_open, size = 2**r, 2**r + _DEPTH
        self._cones, self._linear, self._xs = np.zeros((size, r, r)), np.zeros((size, r)), np.zeros((size, r))
        self._segments = np.zeros((size, 4), dtype=np.int64)
        self._cones[: 2**r] = signs[:, :, None] * self.axes
        self._linear[: 2**r] = objective.w0
        self._xs[: 2**r] = lipschitz * self._cones[: 2**r].sum(axis=1)
        self._segments[: 2**r] = 0, int(np.count_nonzero(tau < 0.0)), int(np.count_nonzero(tau > 0.0)), 1
        self._segments[0, 3] = 0
        logged = max_logged > 0
        self.bounds = np.full(size, np.inf if logged else lipschitz)
        order = np.argsort(tau, kind="stable")
        self._pool = order[tau[order] != 0.0]
        self._pool_c = np.zeros(len(self._pool))
        self._parts: list[_Part] | None = [] if logged else None
        self._max_logged = max_logged  # numbers left before the log is dropped
        self._log = _empty_log(logged, K, r)
        self._cone = np.zeros(r), np.zeros(K), np.zeros(K, dtype=np.int64), np.zeros((K, r))
        self._scratch = np.empty((K, r)), np.empty(K), np.empty((5, r, r)), np.empty((10, r)), np.empty(K + 2 * r, int)

    @staticmethod
    def compile() -> None:
        """Compile the kernel, unless it is compiled already."""
        _search.compile()

    def bound(self, limit: float, threshold: float, max_nodes: int) -> tuple[int, float, FloatArray, float]:
        """Bound up to ``max_nodes`` cones, fewer if f exceeds ``threshold`` somewhere, and cut those above ``limit``.

        Returns the number of cones bounded, the largest value of f found, its point, and the largest bound of cones too
        deep to be cut.
        """
        point, values = np.zeros(len(self.axes)), np.array([-np.inf, 0.0])
        counts = np.array([self.n_open, 0, 0, 0])
        while _more(counts, values, threshold, max_nodes):
            needed = self._segments[counts[0] - 1, :3] @ (1, 2, 2)  # its lines, and those shared by its halves
            if needed > len(self._pool):
                self._pool, self._pool_c = (np.resize(each, 2 * needed) for each in (self._pool, self._pool_c))
            _search(
                self._E,
                self._tau,
                self._cones,
                self._linear,
                self._xs,
                self.bounds,
                self._segments,
                self._pool,
                self._pool_c,
                *self._cone,
                limit,
                threshold,
                max_nodes,
                counts,
                values,
                point,
                *self._log,
                *self._scratch,
            )
            self._take_log(counts)
        self.n_open, done = int(counts[0]), int(counts[1])
        return done, float(values[0]), point, float(values[1])

    def _take_log(self, counts: NDArray[np.int64]) -> None:
        """Move the kernel's log to the parts, or drop the whole log if it is too long."""
        nodes, n_leaf = int(counts[2]), int(counts[3])
        counts[2:] = 0
        if self._parts is None or nodes == 0:
            return
        log = self._log
        multipliers = log.lines[:n_leaf].copy(), log.values[:n_leaf].copy()
        self._parts.append(_Part(log.numbers[:nodes].copy(), log.reals[:nodes].copy(), *multipliers))
        self._max_logged -= nodes * log.reals.shape[1] + n_leaf
        if self._max_logged < 0:
            self._parts, self._log = None, _empty_log(False, *self._cone[3].shape)

    def tree(self) -> Tree | None:
        """Return the bounded cones with the proofs of the leaves' bounds.

        None without a log, or if it exceeded ``max_logged`` numbers.
        """
        if self._parts is None or not self._parts:
            return None
        numbers, reals, lines, values = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        cut = numbers[:, 2] < 0
        starts = np.cumsum([0, *numbers[~cut, 2]])
        multipliers = sp.csr_array((values, lines, starts), shape=(len(starts) - 1, len(self._E)))
        multipliers.sort_indices()
        return Tree(
            axes=self.axes,
            cuts=numbers[:, :2].astype(np.uint8),
            fractions=reals[cut, 0],
            points=reals[~cut],
            multipliers=multipliers,
        )


class _Part(NamedTuple):
    """A part of the log as `_search` writes it.

    Attributes
    ----------
    numbers, reals : ndarrays of shape (N, 3) and (N, r)
        For a cone cut at the edge (a, b): (a, b, -1), and the fraction of the edge in the first column. For a leaf:
        (0, 0, k), and x.
    lines, values : ndarrays
        For the leaves in turn, k lines and their c.
    """

    numbers: NDArray[np.int64]
    reals: FloatArray
    lines: NDArray[np.int64]
    values: FloatArray


def _empty_log(logged: bool, K: int, r: int) -> _Part:
    """Return arrays for a part of the log, of length zero without a log."""
    nodes, n_leaf = (_PART, K * _PART // 16 + K) if logged else (0, 0)
    return _Part(
        np.empty((nodes, 3), dtype=np.int64),
        np.empty((nodes, r)),
        np.empty(n_leaf, dtype=np.int64),
        np.empty(n_leaf),
    )


def _more(counts: NDArray[np.int64], values: FloatArray, threshold: float, max_nodes: int) -> bool:
    """Return whether cones remain to be bounded; `_search` also returns if pool or log are too short."""
    return bool(counts[0] > 0 and counts[1] < max_nodes and values[0] <= threshold)


@kernel(
    "(float64[:, ::1], float64[::1], float64[:, :, ::1], float64[:, ::1], float64[:, ::1], float64[::1],"
    "int64[:, ::1], int64[::1], float64[::1], float64[::1], float64[::1], int64[::1], float64[:, ::1],"
    "float64, float64, int64, int64[::1], float64[::1], float64[::1],"
    "int64[:, ::1], float64[:, ::1], int64[::1], float64[::1],"
    "float64[:, ::1], float64[::1], float64[:, :, ::1], float64[:, ::1], int64[::1])"
)
def _search(  # type: ignore[no-untyped-def]
    E,
    tau,
    cones,
    linear,
    xs,
    bounds,
    segments,
    pool,
    pool_c,
    x,
    c,
    lines,
    Z,
    limit,
    threshold,
    max_nodes,
    counts,
    values,
    best_u,
    numbers,
    reals,
    leaf_lines,
    leaf_c,
    e,
    t,
    matrices,
    vectors,
    indices,
):
    """Bound up to ``max_nodes`` cones of the stack, or until pool or log are too short for the next one.

    The lines of a cone are those in its segment of the pool (first, number with tau < 0, number with tau > 0). The
    halves of a cone share a segment, and the half bounded first must not change it.

    ``counts`` and ``values`` are read and overwritten. ``counts``: numbers of open cones, bounded cones, logged cones
    and logged multipliers. ``values``: the largest value of f found, at ``best_u``, and the largest bound of cones too
    deep to be cut. The log is as in `_Part`, of length zero if there is none. The arguments after it are work arrays.
    """
    r, best, unresolved = len(x), values[0], values[1]
    n_open, n_nodes, n_logged, n_leaf = counts[0], counts[1], counts[2], counts[3]
    V, base, q, u, middle = matrices[4], vectors[6], vectors[7], vectors[8], vectors[9]
    while n_open > 0 and n_nodes < max_nodes and best <= threshold:
        first, n_concave, n_convex = segments[n_open - 1, 0], segments[n_open - 1, 1], segments[n_open - 1, 2]
        shared = segments[n_open - 1, 3]
        if first + 2 * (n_concave + n_convex) > len(pool):
            break
        if len(numbers) > 0 and (n_logged == len(numbers) or n_leaf + n_concave + n_convex > len(leaf_lines)):
            break
        n_open, n_nodes = n_open - 1, n_nodes + 1
        _copy_matrix(cones[n_open], V)
        _copy(linear[n_open], base)
        _copy(xs[n_open], x)
        m = _classify(E, tau, V, pool, pool_c, first, first + n_concave, 0, base, lines, Z, e, t, c)
        mixed = _classify(
            E, tau, V, pool, pool_c, first + n_concave, first + n_concave + n_convex, m, base, lines, Z, e, t, c
        )
        for j in range(r):
            q[j] = dot(base, V[j])
            for k in range(m, mixed):
                q[j] += t[k] * largest(Z[k, j], 0.0)
            value = q[j]
            for k in range(m):
                value += t[k] * largest(Z[k, j], 0.0)
            if value > best:
                best = value
                _copy(V[j], best_u)
        bound = least(bound_cone(V, q, Z, e, t, m, limit, x, c, u, matrices, vectors, indices), bounds[n_open])
        if bound <= limit:
            if len(numbers) > 0:
                n_leaf = _log_leaf(Z, c, lines, m, x, numbers[n_logged], reals[n_logged], leaf_lines, leaf_c, n_leaf)
                n_logged += 1
            continue
        value = _value(V, base, e, t, mixed, u, middle)
        if value > best:
            best = value
            _copy(middle, best_u)
        if n_open + 2 > len(cones):
            unresolved = largest(unresolved, bound)
            continue
        a, b, fraction = _cut(V, Z, t, m, mixed, u)
        if len(numbers) > 0:
            _log_cut(a, b, fraction, numbers[n_logged], reals[n_logged])
            n_logged += 1
        _unit_between(V[a], V[b], fraction, middle)
        start = first + n_concave + n_convex if shared else first
        for k in range(mixed):
            pool[start + k], pool_c[start + k] = lines[k], c[k]
        for half in range(2):
            _copy_matrix(V, cones[n_open])
            _copy(middle, cones[n_open, a if half == 0 else b])
            _copy(base, linear[n_open])
            _copy(x, xs[n_open])
            bounds[n_open] = bound
            segment = segments[n_open]
            segment[0], segment[1], segment[2], segment[3] = start, m, mixed - m, half
            n_open += 1
    counts[0], counts[1], counts[2], counts[3] = n_open, n_nodes, n_logged, n_leaf
    values[0], values[1] = best, unresolved


@kernel()
def _unit_between(first, second, fraction, middle):  # type: ignore[no-untyped-def]
    """Write the normalised convex combination of two vectors."""
    size = 0.0
    for i in range(len(middle)):
        middle[i] = (1.0 - fraction) * first[i] + fraction * second[i]
        size += middle[i] * middle[i]
    for i in range(len(middle)):
        middle[i] /= np.sqrt(size)


@kernel()
def _log_cut(a, b, fraction, number, real):  # type: ignore[no-untyped-def]
    number[0], number[1], number[2], real[0] = a, b, -1, fraction


@kernel()
def _log_leaf(Z, c, lines, m, x, number, real, leaf_lines, leaf_c, n_leaf):  # type: ignore[no-untyped-def]
    """Log x and the multipliers that the signs of their lines' products do not imply; return the new ``n_leaf``."""
    number[0], number[1], number[2] = 0, 0, -n_leaf
    for k in range(m):
        multiplier, side = largest(0.0, least(1.0, c[k])), 0.0
        for j in range(len(x)):
            side += Z[k, j]
        if multiplier != (1.0 if side > 0.0 else 0.0) or -_TIE <= side <= _TIE:
            leaf_lines[n_leaf], leaf_c[n_leaf] = lines[k], multiplier
            n_leaf += 1
    number[2] += n_leaf
    _copy(x, real)
    return n_leaf


@kernel()
def _classify(E, tau, V, pool, pool_c, first, last, mixed, base, lines, Z, e, t, c):  # type: ignore[no-untyped-def]
    """Classify a segment of the pool's lines: add those positive on the whole cone to ``base``, and list mixed ones.

    Return the number of ``mixed`` lines, of both signs, including those of this segment.
    """
    r = len(base)
    for position in range(first, last):
        k = pool[position]
        low, high = np.inf, -np.inf
        for j in range(r):
            z = 0.0
            for i in range(r):
                z += E[k, i] * V[j, i]
            Z[mixed, j] = z
            low, high = least(low, z), largest(high, z)
        if low >= 0.0:
            for i in range(r):
                base[i] += tau[k] * E[k, i]
        elif high > 0.0:
            lines[mixed] = k
            t[mixed] = tau[k]
            c[mixed] = pool_c[position]
            for i in range(r):
                e[mixed, i] = E[k, i]
            mixed += 1
    return mixed


@kernel()
def _copy(source, target):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        target[i] = source[i]


@kernel()
def _copy_matrix(source, target):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        for j in range(len(source)):
            target[i, j] = source[i, j]


@kernel()
def _value(V, base, e, t, mixed, u, point):  # type: ignore[no-untyped-def]
    """Write the point of the cone with coefficients u, scaled to norm 1, and return f there; -inf if it is zero."""
    r = len(u)
    size = 0.0
    for i in range(r):
        point[i] = 0.0
        for j in range(r):
            point[i] += u[j] * V[j, i]
        size += point[i] * point[i]
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
        value += t[k] * largest(product, 0.0)
    return value


@kernel()
def _cut(V, Z, t, m, mixed, u):  # type: ignore[no-untyped-def]
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
