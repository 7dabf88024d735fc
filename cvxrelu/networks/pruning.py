"""Pruning: the same predictions and no larger a penalty, with as few blocks as their predictions have dimensions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.numerics.rounding import EPS
from cvxrelu.penalties.registry import PENALTIES
from cvxrelu.problems.base import ConvexProblem, as_weights, check_problem
from cvxrelu.problems.relu import ConvexReLU

_DEPENDENT = 1e-12  # repairs and projections leave parallel blocks of a thin cone parallel to 1e-14
_NOISE = 1e-14  # smaller entries of a unit null vector are rounding, and no direction to step along
_FLAT = 1e-12  # below this slope of a unit vector, over the norm of the prices, the penalty is the same along it
_ROUNDING = 1e-11  # allowed to the penalty, and to the prediction over the sum of the sizes of its parts


def prune(problem: ConvexProblem, solution_or_weights: Any) -> Weights:
    """Return weights with the same predictions, no larger a penalty, and linearly independent block predictions.

    A block u_b of output k in pattern i adds D_i X u_b to the predictions (of W: its negative). While these vectors
    are linearly dependent, sum_b beta_b D_i X u_b = 0, the blocks can be scaled to (1 - t beta_b) u_b: the prediction
    stays; with the sign of beta for which sum_b beta_b Omega(u_b) >= 0 the penalty does not grow; and the least t > 0
    that makes a factor zero removes a block. The factors are >= 0, so blocks stay in their cones. At most n blocks
    are left for each output (of all of them under "nuclear": n c, and n c neurons), however many there were, and an
    optimal point stays optimal. Blocks that predict zero are dropped. Weights with nothing to prune are returned
    unchanged.

    ``cr.to_network(problem, cr.prune(problem, solution))`` is the smallest network that is found in this way: no
    neuron of it can be removed by scaling the others. Another optimal point may have fewer neurons still.

    Linear dependence is meant to rounding: of the block predictions, scaled to unit norm, pivoted QR finds the rank,
    with pivots below 1e-12 times the first counted as zero. Predictions move by less than 1e-11 of the sum of the
    sizes of the block predictions, most often by 1e-15; a step that would move them further is not taken.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem, with penalty "group_l1", "l1", "nuclear" or "none".
    solution_or_weights : Solution, or weights
        Weights U (c, P, d), or the pair (V, W), each (c, P, d); or a solution that holds them. Weights that miss
        their cones are repaired first, as in `cvxrelu.certify`.

    Returns
    -------
    ndarray (c, P, d), or pair of ndarrays (c, P, d)
        The pruned weights, of the same shape. A solution's own gap holds for them too; `cvxrelu.certify` proves it.

    Raises
    ------
    TypeError, ValueError
        If the problem or the weights are not understood, or the penalty is another one: it does not add up over
        blocks that are scaled one by one.

    References
    ----------
    Mishkin & Pilanci, "Optimal Sets and Solution Paths of ReLU Networks", ICML 2023, arXiv 2306.00119, whose pruning
    algorithm this is, for points that are not optimal too.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((6, 3)).repeat(2, axis=0), rng.standard_normal(12)  # each row twice
    >>> problem = cr.ConvexGatedReLU(X, y, cr.enumerate_patterns(X).unique(), lam=0.0)
    >>> solution = cr.solve(problem)
    >>> pruned = cr.prune(problem, solution)
    >>> np.allclose(problem.predict(pruned), problem.predict(solution.weights))
    True
    >>> cr.to_network(problem, solution.weights).n_neurons, cr.to_network(problem, pruned).n_neurons
    (32, 6)
    """
    check_problem(problem)
    if not problem.penalty.scales_by_block:
        accepted = ", ".join(repr(name) for name, kind in PENALTIES.items() if kind.scales_by_block)
        raise ValueError(
            f"penalty must be one of {accepted} to prune, a sum over blocks that grows in "
            f"proportion to each; got {problem.penalty.name!r}"
        )
    weights = as_weights(solution_or_weights)
    blocks = problem.blocks(problem.repair(weights)).copy()
    if problem.penalty.couples_outputs:
        _prune_matrices(problem, blocks)
    else:
        _prune_vectors(problem, blocks)
    return problem.weights(blocks)


def _prune_vectors(problem: ConvexProblem, blocks: FloatArray) -> None:
    """Prune the blocks ([2,] c, P, d) of each output, in place."""
    parts = blocks.reshape(-1, *blocks.shape[-3:])
    sign = np.array([1.0, -1.0]) if isinstance(problem, ConvexReLU) else np.ones(1)
    for k in range(problem.n_outputs):
        side, pattern = np.any(parts[:, k], axis=-1).nonzero()
        vectors = parts[side, k, pattern]
        costs = problem.penalty.block_costs(vectors)
        factors = _factors(sign[side, None] * _predictions(problem, vectors[None], pattern), costs)
        parts[side, k, pattern] = factors[:, None] * vectors


def _prune_matrices(problem: ConvexProblem, U: FloatArray) -> None:
    """Prune the matrices U[:, i, :] in place, then the rank-one terms of those that are left.

    By the triangle inequality the nuclear norm of scaled terms is at most the sum of their singular values.
    """
    used = np.any(U, axis=(0, 2)).nonzero()[0]
    costs = np.linalg.svd(U[:, used].transpose(1, 0, 2), compute_uv=False).sum(axis=1)
    U[:, used] *= _factors(_predictions(problem, U[:, used], used), costs)[:, None]

    used = np.any(U, axis=(0, 2)).nonzero()[0]
    left, sizes, right = np.linalg.svd(U[:, used].transpose(1, 0, 2), full_matrices=False)
    block, term = (sizes > max(U.shape[0], U.shape[2]) * EPS * sizes[:, :1]).nonzero()
    costs = sizes[block, term]
    terms = (costs[:, None] * left[block, :, term]).T[:, :, None] * right[block, term]
    factors = _factors(_predictions(problem, terms, used[block]), costs)
    changed = np.unique(block[factors != 1.0])
    scaled = np.zeros_like(sizes)
    scaled[block, term] = factors * costs
    U[:, used[changed]] = ((left[changed] * scaled[changed, None, :]) @ right[changed]).transpose(1, 0, 2)


def _predictions(problem: ConvexProblem, vectors: FloatArray, pattern: NDArray[np.intp]) -> FloatArray:
    """Return D_i X u (m, q n) for u (q, m, d) in the patterns (m,); those within rounding of zero are zero."""
    X, mask = problem.operator.X, problem.patterns.D[:, pattern].T
    products: FloatArray = (vectors @ X.T) * mask
    rounding = (problem.d + 2) * EPS * ((np.abs(vectors) @ np.abs(X).T) * mask)
    negligible = np.all(np.abs(products) <= rounding, axis=(0, 2))
    products[:, negligible] = 0.0
    q, m, n = products.shape
    return products.transpose(1, 0, 2).reshape(m, q * n)


def _factors(predictions: FloatArray, costs: FloatArray) -> FloatArray:
    """Return factors (m,) >= 0 of blocks with these predictions (m, N) and penalties (m,).

    With f_b a prediction of unit norm and a_b its size, the point a >= 0 moves within {a : sum_b a_b f_b = f, a >= 0}
    to a vertex, and sum_b a_b costs_b does not grow.
    """
    before = np.hypot.reduce(predictions, axis=1)
    kept = np.flatnonzero(before > 0.0)
    units, prices = predictions[kept] / before[kept, None], costs[kept] / before[kept]
    sizes = before[kept]
    active = np.arange(len(kept))
    while len(active):
        some = active[: 2 * units.shape[1]]  # more would have the same rank and make all products longer
        moved = _to_vertex(_null_vectors(units[some]), sizes[some], prices[some])
        if np.all(moved > 0.0) or not _is_as_good(units[some], prices[some], sizes[some], moved):
            break
        sizes[some] = moved
        active = active[sizes[active] > 0.0]
    factors: FloatArray = np.zeros_like(before)
    factors[kept] = sizes / before[kept]
    return factors


def _null_vectors(units: FloatArray) -> FloatArray:
    """Return an orthonormal basis (m - rank, m) of the z with sum_b z_b units_b = 0, for units (m, N)."""
    Q, R, _ = qr(units, pivoting=True, check_finite=False)
    pivots = np.abs(np.diag(R))
    rank = int(np.sum(pivots > _DEPENDENT * pivots[0]))
    basis: FloatArray = np.ascontiguousarray(Q[:, rank:].T)
    return basis


def _to_vertex(null: FloatArray, sizes: FloatArray, prices: FloatArray) -> FloatArray:
    """Return sizes (m,) with an entry more at zero for each null vector (k, m) of orthonormal rows.

    Each step is along the projection of the prices, on which the penalty falls the fastest; where that is zero, as at
    an optimal point, along any of the rows. After each step a reflection of the rows makes the others zero where the
    step ended: no pivot is divided by, and they stay orthonormal.
    """
    sizes = sizes.copy()
    while len(null):
        slopes = null @ prices
        steepness = np.linalg.norm(slopes)
        if steepness > _FLAT * np.linalg.norm(prices):
            z = slopes @ null / steepness
        else:
            z = null[0] if slopes[0] >= 0.0 else -null[0]
        falling = np.flatnonzero(z > _NOISE)
        if not len(falling):
            break
        ratios = sizes[falling] / z[falling]
        end = falling[ratios.argmin()]
        sizes = np.maximum(sizes - ratios.min() * z, 0.0)
        sizes[end] = 0.0
        normal = null[:, end].copy()
        normal[0] += np.copysign(np.linalg.norm(normal), normal[0])
        null -= np.outer((2.0 / (normal @ normal)) * normal, normal @ null)
        null = null[1:]
        null[:, end] = 0.0
    return sizes


def _is_as_good(units: FloatArray, prices: FloatArray, before: FloatArray, after: FloatArray) -> bool:
    """Return whether prediction and penalty of the sizes after are those before, or a smaller penalty, to rounding."""
    drift = np.linalg.norm((after - before) @ units)
    cheaper = prices @ after <= (1.0 + _ROUNDING) * (prices @ before)
    return bool(cheaper and drift <= _ROUNDING * before.sum())
