"""Working sets of patterns: solve on few of them, price all with one dual point, take in those that matter.

Patterns that a dual point and its gap prove to be zero at every optimum (the gap-safe rule of Ndiaye, Fercoq, Gramfort
& Salmon 2017) are priced no more.
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

# Solves the problem restricted to the patterns of an index, from blocks of that size, and yields its points.
InnerSolver = Callable[[ConvexProblem, NDArray[np.intp], FloatArray], Iterator[Iterate]]

_SMALLEST = 12
_GROWTH = 1.5
_LAST_SHARE = 0.5
_WORTH_DROPPING = 0.1
_ROUNDING = 1e-12
_CHUNK = 16


def can_screen(problem: ConvexProblem) -> bool:
    """Return whether the penalty adds up over patterns and sets whole ones to zero, and there are enough of them."""
    return isinstance(problem.penalty, PatternNorm) and problem.lam > 0.0 and len(problem.patterns) > _SMALLEST


def screened(
    problem: ConvexProblem,
    start: FloatArray,
    limits: Limits,
    inner: InnerSolver,
    share: float,
    workspace: DualWorkspace,
) -> Iterator[Iterate]:
    """Yield points of the whole problem, each the solution on a working set of patterns.

    The set holds the active patterns and those with the largest dual constraint values, at least 12 in
    all and at least half as many again as are active. On it the inner solver runs until its own gap is ``share`` of
    the last one over all patterns; the caller certifies each point over all patterns, and so decides when to stop. The
    workspace, which serves the whole problem, is the caller's too.
    """
    eps = float(np.finfo(problem.X.dtype).eps)
    alive = np.arange(len(problem.patterns))
    workspace.remember(problem.operator, *problem.at_zero)
    part, norms = problem, pattern_norms(problem)
    blocks, n_iter, step, ended = start, 0, 0.0, False
    while True:
        weights = part.weights(blocks[..., alive, :])
        t = part.gradient_point(weights)
        sides, multipliers = part.dual_constraint_values(t, workspace)
        if n_iter:
            whole = multipliers if part is problem else None
            yield Iterate(weights=problem.weights(blocks), n_iter=n_iter, step=step, multipliers=whole)
        if ended:
            return
        working = choose_patterns(blocks[..., alive, :], sides, _SMALLEST, _GROWTH)
        index = alive[working]
        restricted = part.restrict(working)
        point = part.dual_point(t, multipliers, workspace=workspace)
        gap = part.objective(part.repair(weights)) - point.value
        target = share * gap
        zero = gap_safe(part, _multiple(point.t, t) * sides, point.value, gap, norms)
        zero[working] = False
        if zero.sum() > _WORTH_DROPPING * len(zero):
            alive, norms, part = alive[~zero], norms[~zero], part.restrict(np.flatnonzero(~zero))
            workspace = DualWorkspace()  # of the part: the caller keeps that of the whole problem
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
            if gap <= max(target, _LAST_SHARE * limits.tol * abs(upper)) or stalled(history, eps):
                break
            if expired() or n_iter + candidate.n_iter >= limits.max_iter:
                break
        else:
            ended = True  # the inner solver has no more to offer
        if candidate is None:
            return
        n_iter, step = n_iter + candidate.n_iter, candidate.step
        blocks = np.zeros_like(blocks)
        blocks[..., index, :] = inside


def choose_patterns(blocks: FloatArray, sides: FloatArray, smallest: int, growth: float) -> NDArray[np.intp]:
    """Return the active patterns and those of the largest dual constraint values, ``growth`` times as many in all."""
    used = np.any(blocks, axis=-1)
    active = np.any(used, axis=tuple(range(used.ndim - 1)))
    size = max(smallest, int(growth * active.sum()))
    first = np.argsort(-np.where(active, np.inf, sides), kind="stable")[:size]
    return np.sort(first)


def gap_safe(
    problem: ConvexProblem, sides: FloatArray, lower: float, gap: float, norms: FloatArray
) -> NDArray[np.bool_]:
    """Return which patterns (P,) are zero at every optimum, proved by a dual feasible point and its gap.

    F* is 1/L-strongly convex where F is L-smooth, so the optimal t lies within sqrt(2 L gap) of the point; a dual
    constraint value moves by at most ||D_i X||_2 times that, over the cones too, as projections do not expand.

    Parameters
    ----------
    problem : ConvexProblem
        With a penalty that adds up over patterns.
    sides : ndarray of shape (P,)
        The largest dual constraint value of each pattern at the dual feasible point, or an upper bound.
    lower : float
        The dual objective there.
    gap : float
        Objective of a feasible point less ``lower``.
    norms : ndarray of shape (P,)
        Upper bounds of ||D_i X||_2: `pattern_norms`.
    """
    rounding = _ROUNDING * (abs(lower) + abs(gap))
    radius = np.sqrt(2.0 * problem.loss.smoothness(problem.n) * (max(gap, 0.0) + rounding))
    proved: NDArray[np.bool_] = sides + radius * norms < problem.lam
    return proved


def pattern_norms(problem: ConvexProblem) -> FloatArray:
    """Return upper bounds (P,) of ||D_i X||_2: the lesser of ||X||_2 and the Frobenius norm of D_i X."""
    X = problem.operator.X
    rows, D = np.einsum("ij,ij->i", X, X), problem.patterns.D
    chunks = range(0, D.shape[1], _CHUNK)  # few patterns at a time: their masks as floats stay in the cache
    squared = np.concatenate([D[:, start : start + _CHUNK].T.astype(np.float64) @ rows for start in chunks])
    gram = X.T @ X if len(X) > X.shape[1] else X @ X.T
    largest = (1.0 + _ROUNDING) * eigvalsh(gram, subset_by_index=(len(gram) - 1, len(gram) - 1))[0]
    norms: FloatArray = np.sqrt(np.minimum(largest, squared))
    return norms


def _multiple(point: FloatArray, t: FloatArray) -> float:
    """Return the factor between t and the dual feasible point made from it."""
    return float(np.linalg.norm(point)) / max(float(np.linalg.norm(t)), TINY)


def _gap(problem: ConvexProblem, blocks: FloatArray, multipliers: object) -> float:
    """Return objective less dual bound at the blocks; their violation of the cones is left to the caller."""
    weights = problem.weights(blocks)
    point = problem.dual_point(problem.gradient_point(weights), multipliers)
    return problem.objective(weights) - point.value
