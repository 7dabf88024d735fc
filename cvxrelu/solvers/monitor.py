"""The check of the certified gap while a solver runs."""

from collections.abc import Iterable

import numpy as np

from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.runtime.interrupts import note_interrupt
from cvxrelu.solvers.interface import Candidate, Limits, RawResult, Record
from cvxrelu.status import Status

_STALL_SHARE = 0.7
_STALL_MINIMUM = 500
_STALL_ROUNDINGS = 4.0


@np.errstate(over="ignore", invalid="ignore")  # points that leave the range of the floats end the iteration
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
    if workspace is not None:
        workspace.expired = lambda: limits.now() >= limits.deadline
    history: list[Record] = []
    start = limits.work()
    spent: list[float] = []
    best_weights = problem.zero_weights()
    upper = problem.objective(best_weights)
    best_dual: DualPoint | None = None
    status, failure = Status.MAX_ITER, ""
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
                time=limits.before + limits.elapsed,
                objective=upper,
                lower=min(best_dual.value, upper),
                violation=violation,
                step=candidate.step,
                solver=name,
            )
            history.append(record)
            spent.append(limits.work() - start)
            reason = _reason_to_stop(history, spent, limits, problem.resolution, float(np.finfo(problem.X.dtype).eps))
            if reason is not None:
                status = reason
                break
        else:
            status = Status.STALLED  # a solver that has no more to offer
    except KeyboardInterrupt:
        note_interrupt()
        status = Status.INTERRUPTED
    except (ArithmeticError, np.linalg.LinAlgError) as error:  # the best point so far is no worse for it
        status, failure = Status.FAILED, f" ({type(error).__name__}: {error})"
    return RawResult(
        weights=best_weights,
        t=None if best_dual is None else best_dual.t,
        multipliers=None if best_dual is None else best_dual.multipliers,
        status=status,
        solver_status=f"{name}: {status.value}{failure}",
        n_iter=history[-1].n_iter if history else 0,
        solve_time=limits.elapsed,
        history=tuple(history),
        workspace=None if status in (Status.INTERRUPTED, Status.FAILED) else workspace,
    )


def _reason_to_stop(
    history: list[Record], spent: list[float], limits: Limits, resolution: float, eps: float
) -> Status | None:
    record = history[-1]
    if limits.callback is not None and limits.callback(record):
        return Status.STOPPED
    if record.gap <= max(limits.tol * abs(record.objective), resolution):
        return Status.OPTIMAL
    if record.n_iter is not None and record.n_iter >= limits.max_iter:
        return Status.MAX_ITER
    if limits.now() >= limits.deadline:
        return Status.TIME_LIMIT
    if stalled(history, eps):
        return Status.STALLED
    return Status.SLOW if _slow(history, spent, limits) else None


def _slow(history: list[Record], spent: list[float], limits: Limits) -> bool:
    """Return whether the gap, by its decrease in the last half of the work, needs more than the patience."""
    latest, used = history[-1], spent[-1]
    if limits.patience is None or used <= limits.patience:
        return False
    goal = limits.tol * abs(latest.objective)
    half = sum(work <= 0.5 * used for work in spent)
    since, gap = (spent[half - 1], history[half - 1].gap) if half else (0.0, latest.objective)
    decrease = np.log(max(gap / latest.gap, 1.0)) / (used - since)
    return bool(goal <= 0.0 or np.log(latest.gap / goal) > limits.patience * decrease)


def stalled(history: list[Record], eps: float) -> bool:
    """Return whether the gap has moved by no more than rounding in the last 30 % of at least 500 iterations."""
    latest = history[-1]
    if latest.n_iter is None or latest.n_iter < _STALL_MINIMUM:
        return False
    earlier = [record for record in history if (record.n_iter or 0) <= _STALL_SHARE * latest.n_iter]
    moved = earlier[-1].gap - latest.gap if earlier else float("inf")
    return moved <= _STALL_ROUNDINGS * eps * abs(latest.objective)
