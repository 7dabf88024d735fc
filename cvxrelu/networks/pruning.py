"""Prune weights to linearly independent block predictions, without a change of predictions or a larger penalty."""

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
_NOISE = 1e-14  # smaller entries of a unit null vector are rounding errors
_FLAT = 1e-12  # slopes of the penalty along a unit vector, relative to the norm of the prices, that count as zero
_ROUNDING = 1e-11  # relative tolerance of the penalty, and of the prediction relative to the sum of its parts' sizes


def prune(problem: ConvexProblem, solution_or_weights: Any) -> Weights:
    """Return weights with the same predictions, no larger penalty, and linearly independent block predictions.

    A block u_b of output k in pattern i adds D_i X u_b to the predictions (a block of W subtracts it). While these
    vectors are linearly dependent, sum_b beta_b D_i X u_b = 0, the blocks can be scaled to (1 - t beta_b) u_b without a
    change of the prediction. With the sign of beta for which sum_b beta_b Omega(u_b) >= 0 the penalty does not grow,
    and the smallest t > 0 that makes a factor zero removes a block. The factors are >= 0, so blocks stay in their
    cones. At most n blocks remain for each output (under "nuclear", n c blocks and n c neurons in total), and an
    optimal point stays optimal. Blocks that predict zero are dropped. Weights with nothing to prune are returned
    unchanged.

    No neuron of the network ``cr.to_network(problem, cr.prune(problem, solution))`` can be removed by scaling the
    others, but another optimal point may have fewer neurons.

    The rank of the block predictions, scaled to unit norm, is determined by pivoted QR, with pivots below 1e-12 times
    the first counted as zero. Predictions change by less than 1e-11 of the sum of the sizes of the block predictions,
    mostly by 1e-15; a step that would change them more is not taken.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem, with penalty "group_l1", "l1", "nuclear" or "none".
    solution_or_weights : Solution, or weights
        Weights U (c, P, d), or the pair (V, W), each (c, P, d); or a solution that holds them. Weights outside their
        cones are repaired first, as in `cvxrelu.certify`.

    Returns
    -------
    ndarray (c, P, d), or pair of ndarrays (c, P, d)
        The pruned weights, of the same shape. The solution's gap holds for them too; `cvxrelu.certify` proves it.

    Raises
    ------
    TypeError, ValueError
        If the problem or the weights are invalid, or the penalty is another one, which is not a sum of terms
        proportional to the scale of each block.

    References
    ----------
    Mishkin & Pilanci, "Optimal Sets and Solution Paths of ReLU Networks", ICML 2023, arXiv 2306.00119: the pruning
    algorithm, here also for points that are not optimal.

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
            f"penalty must be one of {accepted} to prune, a sum of terms proportional to the scale of each block; "
            f"got {problem.penalty.name!r}"
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
    """Prune the matrices U[:, i, :] in place, then the rank-one terms of the remaining ones.

    By the triangle inequality the nuclear norm of the scaled terms is at most the sum of their singular values.
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
    """Return D_i X u (m, q n) for u (q, m, d) in the patterns (m,), set to zero if within rounding of it."""
    X, mask = problem.operator.X, problem.patterns.D[:, pattern].T
    products: FloatArray = (vectors @ X.T) * mask
    rounding = (problem.d + 2) * EPS * ((np.abs(vectors) @ np.abs(X).T) * mask)
    negligible = np.all(np.abs(products) <= rounding, axis=(0, 2))
    products[:, negligible] = 0.0
    q, m, n = products.shape
    return products.transpose(1, 0, 2).reshape(m, q * n)


def _factors(predictions: FloatArray, costs: FloatArray) -> FloatArray:
    """Return factors (m,) >= 0 of blocks with these predictions (m, N) and penalties (m,).

    With f_b the prediction scaled to unit norm and a_b its size, the sizes move within {a >= 0 : sum_b a_b f_b = f} to
    a vertex, without an increase of sum_b a_b costs_b.
    """
    before = np.hypot.reduce(predictions, axis=1)
    kept = np.flatnonzero(before > 0.0)
    units, prices = predictions[kept] / before[kept, None], costs[kept] / before[kept]
    sizes = before[kept]
    active = np.arange(len(kept))
    while len(active):
        batch = active[: 2 * units.shape[1]]  # more would have the same rank but need longer products
        moved = _to_vertex(_null_vectors(units[batch]), sizes[batch], prices[batch])
        if np.all(moved > 0.0) or not _is_as_good(units[batch], prices[batch], sizes[batch], moved):
            break
        sizes[batch] = moved
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
    """Return sizes (m,) with one more zero for each of the orthonormal null vectors (k, m).

    Each step is along the projection of the prices, in which the penalty decreases fastest, or along any null vector if
    that is zero, as at an optimal point. After each step a reflection makes the remaining null vectors vanish at the
    new zero: they stay orthonormal, and there is no division by a pivot.
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
    """Return whether the prediction is unchanged and the penalty not larger, both to rounding."""
    drift = np.linalg.norm((after - before) @ units)
    cheaper = prices @ after <= (1.0 + _ROUNDING) * (prices @ before)
    return bool(cheaper and drift <= _ROUNDING * before.sum())
