"""Upper bounds on max over ||u|| <= 1 of |t'(Xu)_+| that hold in spite of rounding, for the data as stored in float64.

With the basis B (d, r) of the lines, z = B'u, and x_i = g_i s_i B e_k + rest_i for the line k of row i and s_i = +-1,

    |t'(Xu)_+| <= |f(z)| + sum_i |t_i| ||rest_i||,   f(z) = sum_i t_i g_i (s_i e_k'z)_+,   ||z||^2 <= ||B'B||,

whatever B, e_k and g_i are, and f(c z) = c f(z) for c >= 0. So it suffices to bound |f| on the unit ball. f = w0'z +
sum_k tau_k (e_k'z)_+ with computed tau and w0 is within `dot_radius` of it; u = 2^-53.

**Rank at most 2** (`_circle_above`). The directions across all rows, and the four of the axes, are sorted by octant and
quotient of coordinates. Division rounds monotonically, so their order is exact but for ties, closer than 2.1 u. Between
consecutive directions a and b, at most 90 degrees apart, f(z) = g'z for a sum g of some t_i p_i, but for rows p_i tied
with a or b: these change f by at most 2.1 u |t_i| ||p_i|| (||a part|| + ||b part||), in total 8 u sum_i |t_i| ||p_i||.
|g'z| is at most ||g|| if g or -g may lie between a and b, else the larger value at these. g is a cumulative sum, and
each addition has an error of at most u times its result.

**Relaxation** (`_relaxed_above`). For multipliers rho, delta >= 0 and gamma, m_k >= max(|gamma_k| + delta_k ||e_k||,
-tau_k, 0) and p = tau + m, the inequalities of `relaxation` hold for ||z|| <= 1 and any ||e_k||. They leave b'z + z'Qz
+ sum_k p_k^2 / (8 rho_k). For any V, values and mu > values, with y = V'z,

    b'z + z'Qz <= sum_i b_i^2 / (4 (mu - values_i)) + mu ||V'V|| + ||b - V (b_i)|| + ||Q - V diag(values) V'||_F,

as b_i y_i <= b_i^2 / (4 (mu - values_i)) + (mu - values_i) y_i^2; every term is rounded up.

**Branch and bound** (`_search_error`). With L = ||w0|| + sum_k |tau_k| ||e_k||, a search that closed all cones with
computed bounds of at most U has proven f <= U + error on the unit ball:

1. Cover. All rays of a cone lie in an orthant, so no product of two is negative, and the coefficients of a point of
   the cone in unit rays are at most its norm. A new ray is a combination of two with positive coefficients, each entry
   up to 2 u (a product and a sum). So each cut moves the points that it covers by at most 2 u, and the scaling of the
   rays to norm 1 at the end by (r / 2 + 4) u; f moves by L times that. With D cuts above a cone, it is within 6 D u L
   and what is left of the terms below, and the points have norms of at most 1 + 6 D u.
2. Signs. A computed product of e_k and a ray is off by at most 1.01 r u. A line with tau_k > 0 that is taken as linear
   on a cone changes f by at most tau_k 1.01 r u times the sum of the coefficients, at most 1.02 sqrt(r); once for each
   line: 1.03 r^1.5 u L. With tau_k < 0, linearity only raises f.
3. The linear part is a sum of K + 1 vectors: 1.02 (K + 1) u L.
4. With c in [0, 1], f(z) <= sum_j a_j (q_j + sum_k c_k t_k e_k'v_j) <= x'z + (sum_j a_j) max_j shortfall_j. A shortfall
   is a sum of K + r + 3 products with errors: off by at most 1.03 u ((5 r + 3 K + 7) L + (r + K + 3) ||x||).
5. The bound is ||x|| + shortfall * reach; reach has a relative error of (1.05 r^2 + r + 4) u, norm and sum (r/2 + 4) u,
   and ||x|| <= 1.01 U.

With S = 1.01 (L + U), the sum is below (8 sqrt(r) (K + 2 r + 2) + 2 r^2 + 12 D + 10) u S. This needs r <= 12, K < 2^30
and D < 2^30. The computed L has a relative error of (K + r + 4) u. Underflow: 8 r (r + 2) (K + 1) (1 + S) 2^-1074.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import TINY, above, dot_radius, norms_above
from cvxrelu.pricing.neuron_problem import Multipliers, NeuronBound, NeuronObjective, RowLines
from cvxrelu.pricing.relaxation import best_shift

_U, _ETA = 2.0**-53, 2.0**-1074
_LEAST = 2.0**-500  # squares of smaller numbers may underflow
_MOST = 2**30  # lines, and cuts above a cone
_MOST_DIMENSIONS = 12
_AXES = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])


def maximum_above(X: FloatArray, lines: RowLines, t: FloatArray, bound: NeuronBound) -> float:
    """Return an upper bound, in exact arithmetic, on max over ||u|| <= 1 of |t'(Xu)_+|; infinite if none is proven.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data, of ordinary size (`ConvexProblem.require_ordinary_size`).
    lines : RowLines
        The lines of its rows; those of the bound, if it has any, come first.
    t : ndarray of shape (n,)
        The dual variable that ``bound`` is for.
    bound : NeuronBound
        A bound computed in float64. A result of branch and bound holds up to rounding errors, which are added; of a
        relaxation the multipliers are used; for rank at most 2 the bound is computed anew.
    """
    if lines.rank == 0 or not t.any():
        return 0.0
    lines = lines if bound.lines is None else bound.lines
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        basis = lines.basis
        if bound.method == "exact":
            plane = X @ basis
            value = _circle_above(plane, t)
            rests = _distances(X, plane @ basis.T, np.abs(plane) @ np.abs(basis).T, lines.rank)
        else:
            value = _lines_above(lines, t, bound)
            vectors = lines.E @ basis.T
            radii = norms_above(dot_radius(np.abs(lines.E) @ np.abs(basis).T, lines.rank))
            rows: Any = lines.plus.T - lines.minus.T  # one number in each row: a product is rounded once
            near, sizes, missed = rows @ vectors, abs(rows) @ np.abs(vectors), abs(rows) @ radii
            rests = above(_distances(X, near, sizes, 1) + missed, 2)
        gram = np.abs(basis.T @ basis) + dot_radius(np.abs(basis).T @ np.abs(basis), len(basis))
        stretch = float(above(np.sqrt(above(gram.sum(axis=1).max(), lines.rank + 1)), 1))
        slack = float(above(np.asarray(np.abs(t) @ rests), len(t)))
        total = float(above(np.asarray(stretch * value + slack), 3))
    return total if math.isfinite(total) else math.inf


def _distances(X: FloatArray, others: FloatArray, sizes: FloatArray, length: int) -> FloatArray:
    """Return upper bounds of the distances of the rows of X from rows computed as sums of products of given sizes."""
    radius = dot_radius(np.abs(X) + sizes, length + 1)
    return norms_above(above(np.abs(X - others) + radius, 1))


def transferred_above(
    maximum: float, X: FloatArray, t: FloatArray, merged_X: FloatArray, merged_t: FloatArray, index: NDArray[np.intp]
) -> float:
    """Return an upper bound on max over ||u|| <= 1 of |t'(Xu)_+| from one for merged rows.

    Row i of X is about a multiple r_i > 0 of row index_i of the merged data, and the t_i r_i of a merged row sum to its
    t. With (r x'u)_+ = r (x'u)_+ for r > 0, the maximum moves by at most the differences times the norms of the rows,
    and by |t_i| times the distances from the multiples.

    Parameters
    ----------
    maximum : float
        An upper bound, in exact arithmetic, for the merged rows.
    X, t : ndarray of shape (n, d), ndarray of shape (n,)
        The rows and their dual variable.
    merged_X, merged_t : ndarray of shape (m, d), ndarray of shape (m,)
        The merged rows and their dual variable.
    index : ndarray of shape (n,)
        Index of the merged row of each row.
    """
    n, near = len(X), merged_X[index]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        inner, sizes = np.sum(X * near, axis=1), np.sum(near * near, axis=1)
        ratios = np.where((inner > 0.0) & (sizes > 0.0), inner / np.where(sizes > 0.0, sizes, 1.0), 0.0)
        multiples = ratios[:, None] * near
        rests = _distances(X, multiples, np.abs(multiples), 1)
        sums = np.bincount(index, t * ratios, len(merged_t)) - merged_t
        totals = np.bincount(index, np.abs(t) * ratios, len(merged_t)).astype(np.float64)  # integers for no rows
        radius = dot_radius(totals + np.abs(merged_t), n + 2)
        moved = np.asarray(above(np.abs(sums) + radius, 1) @ norms_above(merged_X))
        slack = above(np.asarray(np.abs(t) @ rests), n)
        return float(above(maximum + above(moved, len(merged_t)) + slack, 3))


def _circle_above(plane: FloatArray, t: FloatArray) -> float:
    """Return an upper bound on max over ||z|| <= 1 of |t'(Pz)_+| for P (n, 1) or (n, 2)."""
    points = np.column_stack([plane, np.zeros((len(plane), 2 - plane.shape[1]))])
    used = points.any(axis=1) & (t != 0.0)
    points, n = points[used], int(used.sum())
    pulls = t[used, None] * points
    units = np.ldexp(points, -np.frexp(np.abs(points).max(axis=1, initial=0.0))[1][:, None])
    across = np.column_stack([-units[:, 1], units[:, 0]])
    rays = np.concatenate([_AXES, -across, across])
    order = _around(rays)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    switched_on = position[4 : 4 + n] > position[4 + n :]  # before the first ray
    start = np.array([math.fsum(column) for column in pulls[switched_on].T])
    jumps = np.concatenate([np.zeros((4, 2)), pulls, -pulls])[order]
    g = np.cumsum(np.concatenate([start[None], jumps]), axis=0)[1:]

    a = rays[order]
    sizes, lengths = norms_above(g), norms_above(a)
    b = np.roll(a, -1, axis=0)
    sides, slacks, ends = [], [], []
    for end, length in ((a, lengths), (b, np.roll(lengths, -1))):
        crossed = end[:, ::-1] * g
        sides.append(crossed[:, 1] - crossed[:, 0])
        slacks.append(dot_radius(np.abs(crossed).sum(axis=1), 2) + 8.0 * _U * length * sizes)
        products = np.abs(end * g).sum(axis=1)
        height = above(np.abs((end * g).sum(axis=1)) + dot_radius(products, 2), 1)
        ends.append(above(height / (length * (1.0 - 32.0 * _U)), 2))
    # g is in the cone of a and b if cross(a, g) >= 0 >= cross(b, g), and -g if both signs are opposite.
    inside = (sides[0] >= -slacks[0]) & (sides[1] <= slacks[1])
    opposite = (sides[0] <= slacks[0]) & (sides[1] >= -slacks[1])
    highest = np.where(inside | opposite, sizes, np.maximum(*ends)).max()
    moved = np.abs(g).sum(axis=0) + np.abs(start) + 2.0 * np.abs(pulls).sum(axis=0)
    rounding = norms_above(2.0 * _U * moved) + 16.0 * _U * np.sum(norms_above(pulls)) + 4.0 * (n + 1) * _ETA
    return float(above(highest + rounding, 2))


def _around(rays: FloatArray) -> NDArray[np.intp]:
    """Return the order of vectors around the circle, exact but for quotients that round to the same number."""
    x, y = rays[:, 0], rays[:, 1]
    quadrant = np.select([(x > 0.0) & (y >= 0.0), (x <= 0.0) & (y > 0.0), (x < 0.0) & (y <= 0.0)], [0, 1, 2], 3)
    odd = quadrant % 2 == 1
    along, off = np.where(odd, np.abs(y), np.abs(x)), np.where(odd, np.abs(x), np.abs(y))
    beyond = off > along
    quotient = np.where(beyond, -along, off) / np.where(beyond, off, along)
    return np.lexsort((quotient, 2 * quadrant + beyond))


def _lines_above(lines: RowLines, t: FloatArray, bound: NeuronBound) -> float:
    """Return an upper bound on |f| over the unit ball, from branch and bound or the multipliers of a relaxation."""
    objective = lines.objective(t)
    (K, r), n = lines.E.shape, len(t)
    total = (lines.plus + lines.minus) @ np.abs(t)
    rounding = dot_radius(np.asarray(np.sum(total)), 2 * (n + K) + 8, 4 * (n + K * r) + 8)
    if bound.multipliers is None:
        value = bound.upper + _search_error(objective, bound)
    else:
        plus, minus = bound.multipliers
        value = max(_relaxed_above(objective, plus), _relaxed_above(lines.objective(-t), minus))
    return float(above(value + rounding, 2))


def _search_error(objective: NeuronObjective, bound: NeuronBound) -> float:
    """Return a bound on the rounding errors of branch and bound; infinite if its assumptions do not hold."""
    (K, r), depth = objective.E.shape, bound.n_nodes
    if not (r <= _MOST_DIMENSIONS and max(K, depth) < _MOST and bound.upper >= _LEAST):
        return math.inf
    size = 1.02 * (objective.lipschitz + bound.upper)
    factor = 8.0 * math.sqrt(r) * (K + 2 * r + 2) + 2 * r * r + 12 * depth + 10
    underflow = 16.0 * r * (r + 2) * (K + 1) * (1.0 + size) * _ETA
    return float(factor * _U * size + underflow)


def _relaxed_above(objective: NeuronObjective, multipliers: Multipliers) -> float:
    """Return an upper bound on f over the unit ball from multipliers; see the module's notes."""
    E, tau, gamma, delta = objective.E, objective.tau, multipliers.gamma, multipliers.delta
    (K, r), sizes = E.shape, np.abs(E)
    m = above(np.maximum(np.abs(gamma) + delta * norms_above(E), np.maximum(-tau, 0.0)), 3)
    p = above(np.maximum(tau + m, 0.0), 1)
    rho = np.maximum(multipliers.rho, np.maximum(0.5 * p, TINY))
    constant = above(np.asarray(np.sum(above(0.125 * p * (p / rho), 3))), K)
    b = objective.w0 + 0.5 * (tau + gamma) @ E
    b_radius = dot_radius(np.abs(objective.w0) + 0.5 * (np.abs(tau) + np.abs(gamma)) @ sizes, K + 4)
    Q = 0.5 * (E.T * (rho - delta)) @ E
    Q_radius = dot_radius(0.5 * (sizes.T * (rho + delta)) @ sizes, K + 4)
    if not (np.isfinite(Q).all() and np.isfinite(b).all()):
        return math.inf
    values, V = np.linalg.eigh(Q)
    along = b @ V
    b_missed = np.abs(b - V @ along) + dot_radius(np.abs(b) + np.abs(V) @ np.abs(along), r + 1) + b_radius
    Q_sizes = np.abs(Q) + (np.abs(V) * np.abs(values)) @ np.abs(V).T
    Q_missed = np.abs(Q - (V * values) @ V.T) + dot_radius(Q_sizes, r + 3) + Q_radius
    stretch = np.abs(V.T @ V) + dot_radius(np.abs(V).T @ np.abs(V), r)
    mu = best_shift(values, 0.25 * along**2, float(np.linalg.norm(b)), 4.0 * _U * float(np.abs(values).max()) + _LEAST)
    terms = above(0.25 * along**2 / np.nextafter(mu - values, 0.0), 3)
    missed = norms_above(above(b_missed, 2)) + norms_above(above(Q_missed, 2).ravel())
    return float(above(np.sum(terms) + mu * above(stretch.sum(axis=1).max(), r + 1) + missed + constant, r + 5))
