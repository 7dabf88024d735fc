"""The open cones of branch and bound, and the kernel that bounds the last one and cuts it in two.

A node takes only thousands of operations, for which NumPy would be a hundred times slower.

Rays are integer vectors, as in certificates: a cut adds small multiples of two rays. The kernel keeps them in float64,
rounded beyond 2^53. In an orthant no sum of rays cancels, so that each entry's relative error grows by a few roundings
a cut.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS
from cvxrelu.pricing.cone_cuts import cut_edge, multiples
from cvxrelu.pricing.cone_kernel import bound_cone, dot, largest, least, move_out
from cvxrelu.pricing.neuron_problem import NeuronObjective, Tree
from cvxrelu.runtime.compilation import kernel

_DEPTH = 256  # cuts above a cone
_LONGEST = 1e280  # largest entry of a ray
_EXACT = 2.0**53  # integers below are exact in float64
_TIE = 1e-9  # sums of a line's products with the rays this small have no reliable sign
_PART = 1024  # cones in a part of the log


class ConeStack:
    """A stack of open cones, with a log of those bounded and cut.

    Attributes
    ----------
    n_open : int
        Number of open cones.
    margin : float
        Bound on the rounding errors in a cone of depth 64.

    Parameters
    ----------
    objective : NeuronObjective
        The function. The initial cones are the orthants; the bits of i give the signs of the rays of the i-th.
    max_logged : int
        Numbers in the log at which it is dropped.
    """

    def __init__(self, objective: NeuronObjective, *, max_logged: int) -> None:
        (K, r), tau = objective.E.shape, objective.tau
        self._E, self._tau = np.ascontiguousarray(objective.E), tau
        self._signs = np.where(np.arange(2**r)[:, None] >> np.arange(r) & 1, 1.0, -1.0)
        self.n_open, size = 2**r, 2**r + _DEPTH + 1
        self._cones, self._linear, self._xs = np.zeros((size, r, r)), np.zeros((size, r)), np.zeros((size, r))
        self._segments = np.zeros((size, 5), dtype=np.int64)
        self._cones[: 2**r] = self._signs[:, :, None] * np.eye(r)
        self._linear[: 2**r] = objective.w0
        # Errors of sums of K and r products for the function and its parts, and of the rays in a cone of depth 0 and 1.
        rounding = EPS * objective.size
        spread = 2.0 + 2.0 * np.sqrt(float(r))  # of a product known to be of one sign on a larger cone
        self._margins = rounding * np.array([2.0 * K + spread * (r + 10.0) + 0.5 * objective.n_terms, 2.5 * spread])
        self.margin = float(self._margins @ (1.0, 64.0))
        # At any c, q_j is at most this on the j-th ray of an orthant.
        self._corner = np.abs(objective.w0) + np.abs(tau) @ np.abs(self._E) + self._margins[0]
        self._xs[: 2**r] = self._signs * self._corner
        self._segments[: 2**r] = 0, int(np.count_nonzero(tau < 0.0)), int(np.count_nonzero(tau > 0.0)), 1, 0
        self._segments[0, 3] = 0
        order = np.argsort(tau, kind="stable")
        self._pool = order[tau[order] != 0.0]
        self._pool_c = np.zeros(len(self._pool))
        self._parts: list[_Part] | None = []
        self._max_logged = max_logged  # numbers left before the log is dropped
        self._log = _empty_log(_PART, K, r)
        self._cone = np.zeros(r), np.zeros(K), np.zeros(K, dtype=np.int64), np.zeros((K, r))
        self._scratch = np.empty((K, r)), np.empty(K), np.empty((6, r, r)), np.empty((10, r)), np.empty(K + 2 * r, int)

    @staticmethod
    def compile() -> None:
        """Compile the kernel, unless it is compiled already."""
        _search.compile()

    def bound(self, limit: float, threshold: float, max_nodes: int) -> tuple[int, float, FloatArray, float]:
        """Bound up to ``max_nodes`` cones, fewer if f exceeds ``threshold`` somewhere, and cut those above ``limit``.

        Returns the number of cones bounded, the largest value of f found, its point, and the largest bound of cones too
        deep to be cut.
        """
        point, values = np.zeros(self._E.shape[1]), np.array([-np.inf, 0.0])
        counts = np.array([self.n_open, 0, 0, 0])
        while counts[0] > 0 and counts[1] < max_nodes and values[0] <= threshold:
            self._run(limit, threshold, max_nodes, counts, values, point)
        self.n_open, done = int(counts[0]), int(counts[1])
        return done, float(values[0]), point, float(values[1])

    def close(self) -> float:
        """Make every open cone a leaf, with the proof of the cone that it is a part of; return the largest bound."""
        point, values = np.zeros(self._E.shape[1]), np.array([-np.inf, 0.0])
        counts, n_orthants = np.array([self.n_open, 0, 0, 0]), int(np.sum(self._segments[: self.n_open, 4] == 0))
        n_others = self.n_open - n_orthants
        while counts[1] < n_others:
            self._run(-np.inf, np.inf, n_others, counts, values, point, closing=1)
        self.n_open = 0
        if n_orthants == 0:
            return float(values[1])
        if self._parts is not None:
            points = (self._signs * self._corner)[:n_orthants][::-1]
            self._append(_Part(np.zeros((n_orthants, 5), dtype=np.int64), points, np.empty(0, dtype=int), np.empty(0)))
        return max(float(values[1]), float(np.linalg.norm(self._corner)) * (1.0 + 1e-14))

    def _run(
        self,
        limit: float,
        threshold: float,
        max_nodes: int,
        counts: NDArray[np.int64],
        values: FloatArray,
        point: FloatArray,
        closing: int = 0,
    ) -> None:
        """Call the kernel, which returns when pool or log are too short, and take its log."""
        needed = self._segments[counts[0] - 1, :3] @ (1, 2, 2)  # its lines, and those shared by its halves
        if needed > len(self._pool):
            self._pool, self._pool_c = (np.resize(each, 2 * needed) for each in (self._pool, self._pool_c))
        stack = self._cones, self._linear, self._xs, self._segments, self._pool, self._pool_c
        limits = self._margins, limit, threshold, max_nodes, closing
        _search(self._E, self._tau, *stack, *self._cone, *limits, counts, values, point, *self._log, *self._scratch)
        nodes, n_leaf = int(counts[2]), int(counts[3])
        counts[2:] = 0
        if self._parts is not None and nodes:
            numbers, points, lines, c = self._log
            leaves = numbers[:nodes, 2] == 0
            self._append(
                _Part(numbers[:nodes].copy(), points[:nodes][leaves], lines[:n_leaf].copy(), c[:n_leaf].copy())
            )

    def _append(self, part: "_Part") -> None:
        """Add a part to the log, or drop the whole log if it is too long."""
        assert self._parts is not None
        self._parts.append(part)
        self._max_logged -= part.numbers.size + part.points.size + 2 * len(part.lines)
        if self._max_logged < 0:
            self._parts, self._log = None, _empty_log(0, *self._cone[3].shape)

    def tree(self) -> Tree | None:
        """Return the cones bounded, with the proofs of the leaves' bounds; None if the log was dropped."""
        if self._parts is None:
            return None
        numbers, points, lines, values = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        starts = np.cumsum([0, *numbers[numbers[:, 2] == 0, 4]])
        multipliers = sp.csr_array((values, lines, starts), shape=(len(points), len(self._E)))
        multipliers.sort_indices()
        return Tree(cuts=numbers[:, :4].astype(np.uint16), points=points, multipliers=multipliers)


class _Part(NamedTuple):
    """A part of the log.

    Attributes
    ----------
    numbers : ndarray of shape (N, 5)
        (a, b, alpha, beta, 0) for a cone that is cut, (0, 0, 0, 0, k) for a leaf.
    points : ndarray of shape (L, r)
        x of the leaves; the kernel writes a row for each cone.
    lines, values : ndarrays
        For the leaves in turn, k lines and their c.
    """

    numbers: NDArray[np.int64]
    points: FloatArray
    lines: NDArray[np.int64]
    values: FloatArray


def _empty_log(nodes: int, K: int, r: int) -> _Part:
    """Return arrays for a part of the log, of length zero without a log."""
    n_leaf = K * nodes // 16 + K if nodes else 0
    return _Part(
        np.empty((nodes, 5), dtype=np.int64),
        np.empty((nodes, r)),
        np.empty(n_leaf, dtype=np.int64),
        np.empty(n_leaf),
    )


@kernel(
    "(float64[:, ::1], float64[::1], float64[:, :, ::1], float64[:, ::1], float64[:, ::1],"
    "int64[:, ::1], int64[::1], float64[::1], float64[::1], float64[::1], int64[::1], float64[:, ::1],"
    "float64[::1], float64, float64, int64, int64, int64[::1], float64[::1], float64[::1],"
    "int64[:, ::1], float64[:, ::1], int64[::1], float64[::1],"
    "float64[:, ::1], float64[::1], float64[:, :, ::1], float64[:, ::1], int64[::1])"
)
def _search(  # type: ignore[no-untyped-def]
    E,
    tau,
    cones,
    linear,
    xs,
    segments,
    pool,
    pool_c,
    x,
    c,
    lines,
    Z,
    margins,
    limit,
    threshold,
    max_nodes,
    closing,
    counts,
    values,
    best_u,
    numbers,
    points,
    leaf_lines,
    leaf_c,
    e,
    t,
    matrices,
    vectors,
    indices,
):
    """Bound up to ``max_nodes`` cones of the stack, or until pool or log are too short for the next one.

    The lines of a cone are those in its segment (first, number with tau < 0, number with tau > 0, shared, depth) of the
    pool. The halves of a cone share their lines, and the half bounded first must not change them.

    ``margins``: bounds of rounding errors, and their growth with depth. With ``closing``, every cone becomes a leaf.
    ``counts`` and ``values`` are read and overwritten. ``counts``: numbers of open cones, bounded cones, logged cones
    and logged multipliers. ``values``: the largest value of f found, at ``best_u``, and the largest bound of cones
    closed or too deep to be cut. The log is as in `_Part`, of length zero if there is none. The arguments after it are
    work arrays.
    """
    best, unresolved = values[0], values[1]
    n_open, n_nodes, n_logged, n_leaf = counts[0], counts[1], counts[2], counts[3]
    V, W, base, q, u, middle = matrices[4], matrices[5], vectors[6], vectors[7], vectors[8], vectors[9]
    while n_open > 0 and n_nodes < max_nodes and best <= threshold:
        segment = segments[n_open - 1]
        first, n_concave, n_convex, shared, depth = segment[0], segment[1], segment[2], segment[3], segment[4]
        if first + 2 * (n_concave + n_convex) > len(pool):
            break
        if len(numbers) > 0 and (n_logged == len(numbers) or n_leaf + n_concave + n_convex > len(leaf_lines)):
            break
        n_open, n_nodes = n_open - 1, n_nodes + 1
        _copy_matrix(cones[n_open], W)
        longest = _normalize(W, V)
        _copy(linear[n_open], base)
        _copy(xs[n_open], x)
        margin = margins[0] + margins[1] * depth
        middle_line, last = first + n_concave, first + n_concave + n_convex
        m = _classify(E, tau, V, pool, pool_c, first, middle_line, 0, base, lines, Z, e, t, c)
        mixed = _classify(E, tau, V, pool, pool_c, middle_line, last, m, base, lines, Z, e, t, c)
        best = _at_rays(V, base, Z, t, m, mixed, q, best, best_u)
        bound = np.inf
        if closing == 0:
            bound = bound_cone(V, q, Z, e, t, m, margin, limit, x, c, u, matrices, vectors, indices)
        if bound > limit and closing == 0:
            value = _value(V, base, e, t, mixed, u, middle)
            if value > best:
                best = value
                _copy(middle, best_u)
        if bound <= limit or closing == 1 or depth >= _DEPTH or longest > _LONGEST:
            if len(numbers) > 0:
                room = limit - largest(bound - np.sqrt(dot(x, x)), 0.0)
                start, n_leaf = (
                    n_leaf,
                    _log_multipliers(W, Z, e, t, x, c, lines, m, room, leaf_lines, leaf_c, n_leaf, u),
                )
            proven = move_out(V, q, Z, t, m, margin, x, c, u)
            if bound > limit:
                unresolved = largest(unresolved, proven)
            if len(numbers) > 0:
                _write(numbers[n_logged], 0, 0, 0, 0, n_leaf - start)
                _copy(x, points[n_logged])
                n_logged += 1
            continue
        a, b, fraction = cut_edge(V, Z, t, m, mixed, u)
        alpha, beta = multiples(W, a, b, fraction)
        if len(numbers) > 0:
            _write(numbers[n_logged], a, b, alpha, beta, 0)
            n_logged += 1
        start = last if shared else first
        for k in range(mixed):
            pool[start + k], pool_c[start + k] = lines[k], c[k]
        for half in range(2):
            _halve(W, alpha, beta, a, b, a if half == 0 else b, cones[n_open])
            _copy(base, linear[n_open])
            _copy(x, xs[n_open])
            _write(segments[n_open], start, m, mixed - m, half, depth + 1)
            n_open += 1
    counts[0], counts[1], counts[2], counts[3] = n_open, n_nodes, n_logged, n_leaf
    values[0], values[1] = best, unresolved


@kernel()
def _at_rays(V, base, Z, t, m, mixed, q, best, best_u):  # type: ignore[no-untyped-def]
    """Write q, f at the rays without the concave lines, and return the larger of ``best`` and f, at ``best_u``."""
    for j in range(len(q)):
        q[j] = dot(base, V[j])
        for k in range(m, mixed):
            q[j] += t[k] * largest(Z[k, j], 0.0)
        value = q[j]
        for k in range(m):
            value += t[k] * largest(Z[k, j], 0.0)
        if value > best:
            best = value
            _copy(V[j], best_u)
    return best


@kernel()
def _halve(W, alpha, beta, a, b, gone, half):  # type: ignore[no-untyped-def]
    """Write the cone with the sum of multiples of the rays a and b in place of one of them."""
    _copy_matrix(W, half)
    for i in range(len(W)):
        half[gone, i] = alpha * W[a, i] + beta * W[b, i]


@kernel()
def _write(numbers, a, b, c, d, e):  # type: ignore[no-untyped-def]
    numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] = a, b, c, d, e


@kernel()
def _normalize(W, V):  # type: ignore[no-untyped-def]
    """Write the unit rows of W into V, and return the largest absolute entry of W."""
    longest = 0.0
    for j in range(len(W)):
        top = 0.0
        for i in range(len(W)):
            top = largest(top, abs(W[j, i]))
        size = 0.0
        for i in range(len(W)):
            V[j, i] = W[j, i] / top
            size += V[j, i] * V[j, i]
        size = np.sqrt(size)
        for i in range(len(W)):
            V[j, i] /= size
        longest = largest(longest, top)
    return longest


@kernel()
def _mantissa(number):  # type: ignore[no-untyped-def]
    """Return a number >= 1 divided by the power of two that makes it at least 1/2 and less than 1."""
    while number >= _EXACT:
        number *= 1.0 / _EXACT
    while number >= 1.0:
        number *= 0.5
    return number


@kernel()
def _log_multipliers(W, Z, e, t, x, c, lines, m, room, leaf_lines, leaf_c, n_leaf, weights):  # type: ignore[no-untyped-def]
    """Log the multipliers of a leaf that the signs of their lines' products do not imply; return the new ``n_leaf``.

    The sign is that of the sum of products with the rays, each divided by a power of two of at least its largest entry.
    Multipliers are replaced by those implied as long as ||x|| stays below ``room``. ``weights`` is a work array.
    """
    tie, square = _TIE, dot(x, x)
    for j in range(len(x)):
        top = 0.0
        for i in range(len(x)):
            top = largest(top, abs(W[j, i]))
        mantissa = _mantissa(top)
        weights[j] = np.sqrt(dot(W[j], W[j])) / top * mantissa
        if top >= _EXACT and (mantissa < 0.5 + _TIE or mantissa > 1.0 - _TIE):
            tie = np.inf  # rounding may have changed the power
    for k in range(m):
        c[k] = largest(0.0, least(1.0, c[k]))
        side = dot(Z[k], weights)
        implied = 1.0 if side > 0.0 else 0.0
        step = (implied - c[k]) * t[k]
        longer = square + step * (2.0 * dot(e[k], x) + step)
        if step != 0.0 and room > 0.0 and longer <= room * room:
            square, c[k] = longer, implied
            for i in range(len(x)):
                x[i] += step * e[k, i]
        if c[k] != implied or -tie <= side <= tie:
            leaf_lines[n_leaf], leaf_c[n_leaf] = lines[k], c[k]
            n_leaf += 1
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
