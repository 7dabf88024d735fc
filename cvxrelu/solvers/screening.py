"""Working sets of patterns: solve on few of them, price all with one dual point, take in those that matter."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.convex_problem import ConvexProblem
from cvxrelu.solvers.monitor import Candidate, Limits, stalled
from cvxrelu.solvers.result import Record

# Solves the problem restricted to the patterns of an index, from blocks of that size, and yields its points.
InnerSolver = Callable[[ConvexProblem, NDArray[np.intp], FloatArray], Iterator[Candidate]]

_SEPARABLE = ("group_l1", "l1", "nuclear")
_SMALLEST = 12
_GROWTH = 1.5
_LAST_SHARE = 0.5


def can_screen(problem: ConvexProblem) -> bool:
    """Return whether the penalty adds up over patterns and sets whole ones to zero, and there are enough of them."""
    return problem.penalty.name in _SEPARABLE and problem.lam > 0.0 and len(problem.patterns) > _SMALLEST


def screened(
    problem: ConvexProblem, start: FloatArray, limits: Limits, inner: InnerSolver, share: float
) -> Iterator[Candidate]:
    """Yield points of the whole problem, each the solution on a working set of patterns.

    The set holds the active patterns and those with the largest left sides of the dual constraints, at least 12 in
    all and at least half as many again as are active. On it the inner solver runs until its own gap is ``share`` of
    the last one over all patterns; the caller certifies each point over all patterns, and so decides when to stop.
    """
    started = time.perf_counter()
    eps = float(np.finfo(problem.X.dtype).eps)
    blocks, n_iter, step = start, 0, 0.0
    while True:
        weights = problem.weights(blocks)
        sides, multipliers = problem.left_sides(problem.gradient_point(weights))
        if n_iter:
            yield Candidate(weights=weights, n_iter=n_iter, step=step, multipliers=multipliers)
        index = _working_set(blocks, sides)
        restricted = problem.restrict(index)
        target = share * _gap(problem, blocks, multipliers)
        history: list[Record] = []
        for candidate in inner(restricted, index, np.ascontiguousarray(blocks[..., index, :])):
            inside = restricted.blocks(candidate.weights)
            upper = restricted.objective(candidate.weights)
            gap = _gap(restricted, inside, candidate.multipliers)
            if history:
                gap = min(gap, history[-1].gap)
            seconds = time.perf_counter() - started
            history.append(Record(n_iter=candidate.n_iter, time=seconds, objective=upper, lower=upper - gap))
            if gap <= max(target, _LAST_SHARE * limits.tol * abs(upper)) or stalled(history, eps):
                break
            expired = limits.time_limit is not None and seconds >= limits.time_limit
            if expired or n_iter + candidate.n_iter >= limits.max_iter:
                break
        n_iter, step = n_iter + candidate.n_iter, candidate.step
        blocks = np.zeros_like(blocks)
        blocks[..., index, :] = inside


def _working_set(blocks: FloatArray, sides: FloatArray) -> NDArray[np.intp]:
    used = np.any(blocks, axis=-1)
    active = np.any(used, axis=tuple(range(used.ndim - 1)))
    size = max(_SMALLEST, int(_GROWTH * active.sum()))
    first = np.argsort(-np.where(active, np.inf, sides), kind="stable")[:size]
    return np.sort(first)


def _gap(problem: ConvexProblem, blocks: FloatArray, multipliers: object) -> float:
    """Return objective less dual bound at the blocks; their violation of the cones is left to the caller."""
    weights = problem.weights(blocks)
    point = problem.dual_point(problem.gradient_point(weights), multipliers)
    return problem.objective(weights) - point.value
