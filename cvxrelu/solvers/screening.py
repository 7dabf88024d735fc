"""Working sets of patterns: solve on a few, price all by a dual point, and add those with the largest constraints.

Patterns that the gap-safe rule (Ndiaye, Fercoq, Gramfort & Salmon 2017) proves to be zero at every optimum are dropped.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvalsh

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import TINY
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.solvers.interface import Iterate, Limits, Record
from cvxrelu.solvers.monitor import stalled

# Takes the problem restricted to some patterns, their indices and blocks to start from; yields iterates.
InnerSolver = Callable[[ConvexProblem, NDArray[np.intp], FloatArray], Iterator[Iterate]]

_MIN_SIZE = 12
_GROWTH = 1.5
_FINAL_FRACTION = 0.5
_MIN_DROPPED_FRACTION = 0.1
_ROUNDING = 1e-12
_CHUNK = 16


def can_screen(problem: ConvexProblem) -> bool:
    """Return whether screening applies: lam > 0, a norm separable over patterns, and enough patterns."""
    return isinstance(problem.penalty, PatternNorm) and problem.lam > 0.0 and len(problem.patterns) > _MIN_SIZE


def screened(
    problem: ConvexProblem,
    start: FloatArray,
    limits: Limits,
    inner: InnerSolver,
    fraction: float,
    workspace: DualWorkspace,
) -> Iterator[Iterate]:
    """Yield points of the whole problem, each the solution on a working set of patterns.

    The working set holds the active patterns and those with the largest dual constraint values: at least 12, and at
    least 1.5 times the number of active ones. The inner solver runs until its own gap is ``fraction`` of the last gap
    over all patterns. The caller certifies each point over all patterns and decides when to stop; it shares the
    workspace of the whole problem.
    """
    eps = float(np.finfo(problem.X.dtype).eps)
    alive = np.arange(len(problem.patterns))
    workspace.remember(problem.operator, *problem.at_zero)
    reduced, norms = problem, pattern_norms(problem)
    step: float | None = None
    blocks, n_iter, exhausted = start, 0, False
    while True:
        weights = reduced.weights(blocks[..., alive, :])
        t = reduced.gradient_point(weights)
        dual_constraint_values, multipliers = reduced.dual_constraint_values(t, workspace)
        if n_iter:
            all_multipliers = multipliers if reduced is problem else None
            yield Iterate(weights=problem.weights(blocks), n_iter=n_iter, step=step, multipliers=all_multipliers)
        if exhausted:
            return
        working = choose_patterns(blocks[..., alive, :], dual_constraint_values, _MIN_SIZE, _GROWTH)
        index = alive[working]
        restricted = reduced.restrict(working)
        point = reduced.dual_point(t, multipliers, workspace=workspace)
        gap = reduced.objective(reduced.repair(weights)) - point.value
        gap_tol = fraction * gap
        zero = gap_safe(reduced, _multiple(point.t, t) * dual_constraint_values, point.value, gap, norms)
        zero[working] = False
        if zero.sum() > _MIN_DROPPED_FRACTION * len(zero):
            alive, norms, reduced = alive[~zero], norms[~zero], reduced.restrict(np.flatnonzero(~zero))
            workspace = DualWorkspace()  # for the reduced problem; the caller keeps that of the whole one
        history: list[Record] = []
        expired = limits.rounds()
        candidate = None
        for candidate in inner(restricted, index, np.ascontiguousarray(blocks[..., index, :])):
            inside = restricted.blocks(candidate.weights)
            upper = restricted.objective(candidate.weights)
            gap = _gap(restricted, inside, candidate.multipliers)
            if history:
                gap = min(gap, history[-1].gap)
            history.append(Record(n_iter=candidate.n_iter, time=limits.elapsed, objective=upper, lower=upper - gap))
            if gap <= max(gap_tol, _FINAL_FRACTION * limits.tol * abs(upper)) or stalled(history, eps):
                break
            if expired() or n_iter + candidate.n_iter >= limits.max_iter:
                break
        else:
            exhausted = True  # the inner solver ran out of iterates
        if candidate is None:
            return
        n_iter, step = n_iter + candidate.n_iter, candidate.step
        blocks = np.zeros_like(blocks)
        blocks[..., index, :] = inside


def choose_patterns(
    blocks: FloatArray, dual_constraint_values: FloatArray, smallest: int, growth: float
) -> NDArray[np.intp]:
    """Return a working set: the active patterns and those with the largest dual constraint values.

    Its size is ``growth`` times the number of active patterns, and at least ``smallest``.
    """
    used = np.any(blocks, axis=-1)
    active = np.any(used, axis=tuple(range(used.ndim - 1)))
    size = max(smallest, int(growth * active.sum()))
    first = np.argsort(-np.where(active, np.inf, dual_constraint_values), kind="stable")[:size]
    return np.sort(first)


def gap_safe(
    problem: ConvexProblem, dual_constraint_values: FloatArray, lower: float, gap: float, norms: FloatArray
) -> NDArray[np.bool_]:
    """Return a mask (P,) of the patterns that a dual feasible point and its gap prove zero at every optimum.

    F* is 1/L-strongly convex for an L-smooth F, so the optimal t lies within sqrt(2 L gap) of the point, and each dual
    constraint value changes by at most ||D_i X||_2 times that; with cones too, as projections are non-expansive.

    Parameters
    ----------
    problem : ConvexProblem
        Problem with a penalty separable over patterns.
    dual_constraint_values : ndarray of shape (P,)
        Largest dual constraint value of each pattern at the dual feasible point, or an upper bound.
    lower : float
        Dual objective at that point.
    gap : float
        Objective of a feasible point minus ``lower``.
    norms : ndarray of shape (P,)
        Upper bounds of ||D_i X||_2: `pattern_norms`.
    """
    rounding = _ROUNDING * (abs(lower) + abs(gap))
    radius = np.sqrt(2.0 * problem.loss.smoothness(problem.n) * (max(gap, 0.0) + rounding))
    screened_out: NDArray[np.bool_] = dual_constraint_values + radius * norms < problem.lam
    return screened_out


def pattern_norms(problem: ConvexProblem) -> FloatArray:
    """Return upper bounds (P,) of ||D_i X||_2: the minimum of ||X||_2 and the Frobenius norm of D_i X."""
    X = problem.operator.X
    rows, D = np.einsum("ij,ij->i", X, X), problem.patterns.D
    chunks = range(0, D.shape[1], _CHUNK)  # chunks of masks as floats fit in the cache
    squared = np.concatenate([D[:, start : start + _CHUNK].T.astype(np.float64) @ rows for start in chunks])
    gram = X.T @ X if len(X) > X.shape[1] else X @ X.T
    largest = (1.0 + _ROUNDING) * eigvalsh(gram, subset_by_index=(len(gram) - 1, len(gram) - 1))[0]
    norms: FloatArray = np.sqrt(np.minimum(largest, squared))
    return norms


def _multiple(point: FloatArray, t: FloatArray) -> float:
    """Return the factor by which t is scaled to the dual feasible point."""
    return float(np.linalg.norm(point)) / max(float(np.linalg.norm(t)), TINY)


def _gap(problem: ConvexProblem, blocks: FloatArray, multipliers: object) -> float:
    """Return the objective minus the dual bound at the blocks, which may violate their cones."""
    weights = problem.weights(blocks)
    point = problem.dual_point(problem.gradient_point(weights), multipliers)
    return problem.objective(weights) - point.value
