"""The loop that native solvers share: checks of the certified gap, limits, the best point, history, callback."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvxrelu.convex_problem import ConvexProblem, DualPoint, Weights
from cvxrelu.dual_workspace import DualWorkspace
from cvxrelu.solvers.result import RawResult, Record
from cvxrelu.status import Status

Callback = Callable[[Record], Any]

_STALL_SHARE = 0.7
_STALL_MINIMUM = 500
_STALL_ROUNDINGS = 4.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to stop; see `cvxrelu.solve`."""

    tol: float
    max_iter: int
    time_limit: float | None = None
    callback: Callback | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """A point of a native solver that is worth a check: weights, and the dual variables that go with them.

    A solver that has computed objective and dual point of the feasible weights on its way gives them: they go into
    the history, and the answer is certified from weights and dual variable all the same.
    """

    weights: Weights
    n_iter: int
    step: float
    multipliers: Any = None
    objective: float | None = None
    dual: DualPoint | None = None
    violation: float = 0.0


def watch(
    problem: ConvexProblem,
    candidates: Iterable[Candidate],
    limits: Limits,
    name: str,
    workspace: DualWorkspace | None = None,
) -> RawResult:
    """Check the candidates as they come and return the best, when a limit or the tolerance is reached.

    The gap is that of the best feasible point and the best dual point so far, in float64. A solver has stalled when
    neither bound has moved by more than the rounding of X's precision in the last 30 % of at least 500 iterations.
    The workspace is that of the solver on the whole problem, if it has one.
    """
    started = time.perf_counter()
    history: list[Record] = []
    best_weights = problem.zero_weights()
    upper = problem.objective(best_weights)
    best_dual: DualPoint | None = None
    status = Status.MAX_ITER
    try:
        for candidate in candidates:
            if candidate.objective is None:
                violation = problem.violation(candidate.weights)
                feasible = problem.repair(candidate.weights)
                objective = problem.objective(feasible)
            else:
                violation, feasible, objective = candidate.violation, candidate.weights, candidate.objective
            if objective <= upper:
                best_weights, upper = feasible, objective
            point = candidate.dual
            if point is None:
                t = problem.gradient_point(candidate.weights)
                point = problem.dual_point(t, candidate.multipliers, workspace=workspace)
            if best_dual is None or point.value > best_dual.value:
                best_dual = point
            record = Record(
                n_iter=candidate.n_iter,
                time=time.perf_counter() - started,
                objective=upper,
                lower=min(best_dual.value, upper),
                violation=violation,
                step=candidate.step,
            )
            history.append(record)
            reason = _reason_to_stop(history, limits, float(np.finfo(problem.X.dtype).eps))
            if reason is not None:
                status = reason
                break
        else:
            status = Status.STALLED  # a solver that has no more to offer
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return RawResult(
        weights=best_weights,
        t=None if best_dual is None else best_dual.t,
        multipliers=None if best_dual is None else best_dual.multipliers,
        status=status,
        solver_status=f"{name}: {status.value}",
        n_iter=history[-1].n_iter if history else 0,
        solve_time=time.perf_counter() - started,
        history=tuple(history),
        workspace=None if status is Status.INTERRUPTED else workspace,
    )


def _reason_to_stop(history: list[Record], limits: Limits, eps: float) -> Status | None:
    record = history[-1]
    if limits.callback is not None and limits.callback(record):
        return Status.STOPPED
    if record.gap <= limits.tol * abs(record.objective):
        return Status.OPTIMAL
    if record.n_iter is not None and record.n_iter >= limits.max_iter:
        return Status.MAX_ITER
    if limits.time_limit is not None and record.time >= limits.time_limit:
        return Status.TIME_LIMIT
    return Status.STALLED if stalled(history, eps) else None


def stalled(history: list[Record], eps: float) -> bool:
    """Return whether the gap has moved by no more than rounding in the last 30 % of at least 500 iterations."""
    latest = history[-1]
    if latest.n_iter is None or latest.n_iter < _STALL_MINIMUM:
        return False
    earlier = [record for record in history if (record.n_iter or 0) <= _STALL_SHARE * latest.n_iter]
    moved = earlier[-1].gap - latest.gap if earlier else float("inf")
    return moved <= _STALL_ROUNDINGS * eps * abs(latest.objective)
