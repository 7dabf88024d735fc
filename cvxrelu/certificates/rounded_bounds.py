"""Bounds on the optimal value of a convex program that hold in spite of rounding, for the data as stored in float64.

Weights are first moved into their cones in exact arithmetic, then their objective is bounded from above; a dual point
is shrunk until it is feasible in exact arithmetic, then its dual objective is bounded from below.
"""

import math

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.cones.interior import steps_along
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.losses import base as losses
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import LOSSES
from cvxrelu.numerics.rounding import EPS, above, dot_radius, norms_above, sum_above
from cvxrelu.penalties import base as penalties
from cvxrelu.penalties.base import NormPenalty
from cvxrelu.penalties.registry import PENALTIES
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.normalization import Normalized
from cvxrelu.problems.relu import ConvexReLU

_MAX_ATTEMPTS = 5
_BLOCK_BYTES = 2**25


def is_known(problem: ConvexProblem) -> bool:
    """Return whether loss and penalty bound their rounding errors, and a dual point other than zero can be proven."""
    known = losses.offers_rounded(type(problem.loss)) and penalties.offers_rounded(type(problem.penalty))
    return known and problem.regularised


def check_known(problem: ConvexProblem) -> None:
    """Raise ValueError if loss or penalty do not bound their rounding errors."""
    loss, penalty = problem.loss, problem.penalty
    if not losses.offers_rounded(type(loss)):
        names = ", ".join(name for name, kind in LOSSES.items() if losses.offers_rounded(kind))
        raise ValueError(f"rigor 'rounded' needs a loss that bounds its rounding errors ({names}); got {loss!r}")
    if not penalties.offers_rounded(type(penalty)):
        names = ", ".join(name for name, kind in PENALTIES.items() if penalties.offers_rounded(kind))
        raise ValueError(f"rigor 'rounded' needs a penalty that bounds its rounding errors ({names}); got {penalty!r}")


def into_cones(problem: ConvexProblem, weights: Weights) -> Weights:
    """Return weights that are in their cones in exact arithmetic; gated weights are returned unchanged.

    A block is moved along the witness of its cone if its products with the rows of X do not exceed the bounds on their
    rounding errors, and replaced by zero if that does not prove feasibility.
    """
    if not isinstance(problem, ConvexReLU):
        return weights
    blocks = problem.blocks(weights).copy()
    flat = blocks.reshape(-1, problem.d)
    used = np.flatnonzero(np.any(flat, axis=1))
    step = max(1, _BLOCK_BYTES // (8 * problem.n))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(used), step):
            part = used[start : start + step]
            flat[part] = _into_cones(problem.cones, flat[part], part)
    return problem.weights(blocks)


def _into_cones(cones: PatternCones, W: FloatArray, blocks: NDArray[np.intp]) -> FloatArray:
    products, radius = signed_products(cones, W, blocks)
    unproven = np.flatnonzero(~np.all(products >= radius, axis=0))
    if len(unproven) == 0:
        return W
    G = cones.witnesses[0][:, blocks[unproven] % len(cones.patterns)].T  # zero if there is none
    gains, gain_radius = signed_products(cones, G, blocks[unproven])
    missing = 4.0 * radius[:, unproven] - products[:, unproven]
    moved = W[unproven] + steps_along(missing, gains - 4.0 * gain_radius)[:, None] * G
    products, radius = signed_products(cones, moved, blocks[unproven])
    proven = np.all(products >= radius, axis=0)
    result = W.copy()
    result[unproven] = np.where(proven[:, None], moved, 0.0)
    return result


def signed_products(cones: PatternCones, W: FloatArray, blocks: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Return (2 D_ji - 1) x_j'w for each row w of W (m, d), shape (n, m), and bounds on the rounding errors."""
    signs = np.where(cones.D[:, blocks % len(cones.patterns)], 1.0, -1.0)
    sizes = np.abs(cones.X) @ np.abs(W.T)
    radius = dot_radius(sizes, W.shape[1])
    vanishing = sizes == 0.0
    if vanishing.any():  # disjoint supports, or underflow: only the former are exact
        common = (cones.X != 0.0).astype(np.float64) @ (W.T != 0.0).astype(np.float64)
        radius[vanishing & (common == 0.0)] = 0.0
    return signs * (cones.X @ W.T), radius


def objective_above(problem: ConvexProblem, weights: Weights) -> float:
    """Return an upper bound on the objective of weights in their cones; infinite on overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        blocks = problem.blocks(weights)
        if not blocks.any():  # without roundings
            return problem.loss.value_above(np.zeros_like(problem.Y), np.zeros_like(problem.Y), problem.Y)
        by_output = blocks.reshape(-1, problem.n_outputs, len(problem.patterns), problem.d)
        n_used = int(np.any(by_output, axis=3).sum(axis=(0, 2)).max())
        # Bounds the sums over the active patterns of each row, without a product of their size.
        sizes = np.abs(problem.operator.X) @ np.abs(by_output).sum(axis=(0, 2)).T
        radius = dot_radius(sizes, n_used + problem.d + 1, (n_used + 1) * problem.d)
        prediction = problem.predict(weights)
        if not np.isfinite(prediction + radius).all():
            return math.inf
        value = problem.loss.value_above(prediction, radius, problem.Y)
        if problem.lam > 0.0:
            value += math.nextafter(problem.lam * problem.penalty.value_above(blocks), math.inf)
    return math.nextafter(value, math.inf) if value < math.inf else math.inf


def feasible_dual(problem: ConvexProblem, point: DualPoint) -> DualPoint:
    """Return a dual point near the given one that is feasible in exact arithmetic, with a lower bound on its value.

    Returns the zero point, with value 0, if no better one is proven; always so if lam = 0 or the penalty is "none", as
    no other point in float64 can be proven to satisfy A't = 0 exactly.
    """
    candidate = None
    if problem.regularised:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            candidate = _feasible_dual(problem, point.t, point.multipliers)
    if candidate is not None and candidate.value > 0.0:
        return candidate
    zero = problem.dual_point(np.zeros_like(problem.Y))
    return DualPoint(zero.t, zero.multipliers, 0.0)


def _feasible_dual(problem: ConvexProblem, t: FloatArray, multipliers: sp.csr_array | None) -> DualPoint | None:
    penalty, lam, scale = problem.penalty, problem.lam, 1.0
    if isinstance(penalty, NormPenalty):
        radius = argument_radius(problem, t, multipliers)
        excess = penalty.dual_norm_above(np.zeros_like(radius), radius) / lam
        scale = 1.0 / (1.0 + 2.0 * excess + 2.0**-48)
    for _ in range(_MAX_ATTEMPTS):
        shrunk = problem.loss.into_domain(scale * t, problem.Y)
        gamma = None if multipliers is None else multipliers * scale
        argument, _ = problem.conjugate_argument(shrunk, gamma)
        radius = argument_radius(problem, shrunk, gamma)
        value = -problem.loss.conjugate_above(shrunk, problem.Y)
        if not isinstance(penalty, NormPenalty):
            value = math.nextafter(value - penalty.conjugate_above(argument, radius, lam), -math.inf)
            return DualPoint(shrunk, gamma, value)
        size = penalty.dual_norm_above(argument, radius)
        if size <= lam:
            return DualPoint(shrunk, gamma, value)
        scale *= lam / size * (1.0 - 2.0**-48)
    return None


def argument_radius(problem: ConvexProblem, t: FloatArray, multipliers: sp.csr_array | None) -> FloatArray:
    """Return bounds on the rounding errors of the argument of the penalty's conjugate at t, in its shape."""
    X = np.abs(problem.operator.X)
    shape = problem.blocks(problem.zero_weights()).shape
    # Sums over all rows bound those over the active rows of a pattern.
    sizes = np.broadcast_to((np.abs(t).T @ X)[:, None, :], shape)
    length = problem.n
    if multipliers is not None:
        sizes = sizes + (multipliers @ X).reshape(shape)
        length = max(length, int(np.diff(multipliers.indptr).max()))
    return dot_radius(sizes, length + 2, 2 * length)


def loss_above(X: FloatArray, Y: FloatArray, W1: FloatArray, w2: FloatArray, loss: Loss) -> float:
    """Return an upper bound of the loss of a ReLU network W1 (m, d), w2 (m, c) on X (n, d); infinite on overflow."""
    prediction, radius = np.zeros(Y.shape), np.zeros(Y.shape)
    step = max(1, _BLOCK_BYTES // (8 * max(len(W1), 1)))
    outputs, (m, d) = np.abs(w2), W1.shape
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(X) if m else 0, step):
            rows = X[start : start + step]
            hidden = np.maximum(rows @ W1.T, 0.0)
            missed = dot_radius(np.abs(rows) @ np.abs(W1).T, d)
            prediction[start : start + step] = hidden @ w2
            rounding = dot_radius(above(hidden + missed, 1) @ outputs, m + 1)
            radius[start : start + step] = above(rounding + above(missed @ outputs, m), 1)
        if not np.isfinite(prediction + radius).all():
            return math.inf
        return loss.value_above(prediction, radius, Y)


def weight_decay_above(W1: FloatArray, w2: FloatArray, lam: float) -> float:
    """Return an upper bound of lam/2 (||W1||_F^2 + ||w2||_F^2)."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.concatenate([W1.ravel(), w2.ravel()]) ** 2
        return math.nextafter(0.5 * lam * float(above(np.asarray(sum_above(above(squares, 1))), 1)), math.inf)


def feasible_for_all(problem: ConvexProblem, t: FloatArray, maximum: float) -> DualPoint:
    """Return a multiple of t (n,) that is dual feasible for networks of any width in exact arithmetic, or zero.

    Parameters
    ----------
    problem : ConvexReLU
        A problem with one output and lam > 0.
    t : ndarray of shape (n,)
        A dual variable in the domain of F*, to rounding.
    maximum : float
        An upper bound, in exact arithmetic, on max over ||u|| <= 1 of |t'(Xu)_+|.
    """
    lam, Y, loss = problem.lam, problem.Y, problem.loss
    column = t[:, None]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        sizes = norms_above(problem.operator.X)
        scale = loss.best_scale(column, Y, lam / maximum if maximum > 0.0 else math.inf)
        for _ in range(_MAX_ATTEMPTS):
            scaled = scale * column
            point = loss.into_domain(scaled, Y)
            moved = above(np.abs(point - scaled) + EPS * np.abs(scaled), 2)[:, 0]
            size = float(above(np.asarray(scale * maximum + above(np.asarray(moved @ sizes), len(t) + 1)), 2))
            if size <= lam:
                value = -loss.conjugate_above(point, Y)
                if value > 0.0:
                    return DualPoint(point, None, value)
                break
            scale *= lam / size * (1.0 - 2.0**-48)
    return DualPoint(np.zeros_like(Y), None, 0.0)


def is_exact(normal: Normalized[ConvexProblem], problem: ConvexProblem, weights: Weights) -> bool:
    """Return whether data and weights are normalised without rounding."""
    there = normal.problem
    same = np.array_equal(np.ldexp(there.X, normal.x_exponent), problem.X)
    same = same and np.array_equal(np.ldexp(there.Y, normal.y_exponent), problem.Y)
    blocks = problem.blocks(weights)
    moved = there.blocks(normal.start(weights))
    back = np.ldexp(moved, normal.y_exponent - normal.x_exponent)
    return bool(same and np.array_equal(back, blocks))


def value_below(normal: Normalized[ConvexProblem], value: float) -> float:
    """Return the value in original units, or the next smaller number if the conversion rounds."""
    moved = normal.value(value)
    return moved if np.ldexp(moved, -2 * normal.y_exponent) <= value else float(np.nextafter(moved, -np.inf))
