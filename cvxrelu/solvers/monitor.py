"""Outer loop of native solvers: gap checks, limits, best point, history and callback."""

from collections.abc import Iterable, Iterator

import numpy as np

from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.separation import separates
from cvxrelu.runtime.interrupts import note_interrupt
from cvxrelu.solvers.interface import Iterate, Limits, Record, SolverResult
from cvxrelu.status import Status

_STALL_FRACTION = 0.7
_STALL_MINIMUM = 500
_STALL_ROUNDINGS = 4.0


def monitor(
    problem: ConvexProblem,
    candidates: Iterable[Iterate],
    limits: Limits,
    name: str,
    workspace: DualWorkspace | None = None,
) -> SolverResult:
    """Check candidates as they come; return the best one once the tolerance or a limit is reached.

    The gap is that of the best feasible point and the best dual point so far, in float64. A solver has stalled when
    the gap has decreased by no more than rounding in the precision of X over the last 30 % of at least 500 iterations.
    It stops as unattained when nothing is regularised and the weights separate the classes. A slow solver can be
    resumed: it continues from its last iterate, within the same limits. ``workspace`` is the solver's on the whole
    problem, if it has one.
    """
    return _Monitor(problem, iter(candidates), limits, name, workspace).run()


class _Monitor:
    """A running solver: its remaining candidates, and the best bounds so far."""

    def __init__(
        self,
        problem: ConvexProblem,
        candidates: Iterator[Iterate],
        limits: Limits,
        name: str,
        workspace: DualWorkspace | None,
    ) -> None:
        self._problem, self._candidates, self._limits = problem, candidates, limits
        self._name, self._workspace = name, workspace
        self._history: list[Record] = []
        self._spent: list[float] = []
        self._start = limits.work()
        self._weights = problem.zero_weights()
        self._upper = problem.value_at_zero
        self._dual: DualPoint | None = None

    def resume(self) -> SolverResult:
        """Continue a paused solver, without a limit of patience."""
        self._limits.patience = None
        return self.run()

    @np.errstate(over="ignore", invalid="ignore")  # overflow ends the iteration
    def run(self) -> SolverResult:
        """Check candidates until a stopping criterion holds."""
        limits, workspace = self._limits, self._workspace
        if workspace is not None:
            workspace.expired = lambda: limits.now() >= limits.deadline
        before, status, failure = len(self._history), Status.STALLED, ""  # stalled: the solver ran out of candidates
        try:
            for candidate in self._candidates:
                self._check(candidate)
                reason = _reason_to_stop(self._history, self._spent, limits, self._problem)
                if reason in (None, Status.SLOW) and separates(self._problem, self._weights):
                    reason = Status.UNATTAINED
                if reason is not None:
                    status = reason
                    break
        except KeyboardInterrupt:
            note_interrupt()
            status = Status.INTERRUPTED
        except (ArithmeticError, np.linalg.LinAlgError) as error:  # the best point so far is kept
            status, failure = Status.FAILED, f" ({type(error).__name__}: {error})"
        dual = self._dual
        return SolverResult(
            weights=self._weights,
            t=None if dual is None else dual.t,
            multipliers=None if dual is None else dual.multipliers,
            status=status,
            solver_status=f"{self._name}: {status.value}{failure}",
            n_iter=self._history[-1].n_iter if self._history else 0,
            solve_time=limits.elapsed,
            history=tuple(self._history[before:]),
            workspace=None if status in (Status.INTERRUPTED, Status.FAILED) else workspace,
            resume=self.resume if status is Status.SLOW else None,
        )

    def _check(self, candidate: Iterate) -> None:
        """Update the best bounds by a candidate and append a record."""
        problem, limits = self._problem, self._limits
        if candidate.objective is None:
            violation = problem.violation(candidate.weights)
            feasible = problem.repair(candidate.weights)
            objective = problem.objective(feasible)
        else:
            violation, feasible, objective = candidate.violation, candidate.weights, candidate.objective
        if objective <= self._upper:
            self._weights, self._upper = feasible, objective
        point = candidate.dual
        if point is None:
            t = problem.gradient_point(candidate.weights)
            point = problem.dual_point(t, candidate.multipliers, workspace=self._workspace)
        if self._dual is None or point.value > self._dual.value:
            self._dual = point
        record = Record(
            n_iter=candidate.n_iter,
            time=limits.before + limits.elapsed,
            objective=self._upper,
            lower=min(self._dual.value, self._upper),
            violation=violation,
            step=candidate.step,
            solver=self._name,
        )
        self._history.append(record)
        self._spent.append(limits.work() - self._start)


def _reason_to_stop(history: list[Record], spent: list[float], limits: Limits, problem: ConvexProblem) -> Status | None:
    record = history[-1]
    if limits.callback is not None and limits.callback(record):
        return Status.STOPPED
    if record.gap <= max(limits.tol * abs(record.objective), problem.resolution):
        return Status.OPTIMAL
    if record.n_iter is not None and record.n_iter >= limits.max_iter:
        return Status.MAX_ITER
    if limits.now() >= limits.deadline:
        return Status.TIME_LIMIT
    if stalled(history, float(np.finfo(problem.X.dtype).eps)):
        return Status.STALLED
    return Status.SLOW if _slow(history, spent, limits) else None


def _slow(history: list[Record], spent: list[float], limits: Limits) -> bool:
    """Return whether the gap, at its rate of decrease in the last half of the work, needs more than the patience."""
    latest, total = history[-1], spent[-1]
    if limits.patience is None or total <= limits.patience:
        return False
    threshold = limits.tol * abs(latest.objective)
    half = sum(work <= 0.5 * total for work in spent)
    since, gap = (spent[half - 1], history[half - 1].gap) if half else (0.0, latest.objective)
    decrease = np.log(max(gap / latest.gap, 1.0)) / (total - since)
    return bool(threshold <= 0.0 or np.log(latest.gap / threshold) > limits.patience * decrease)


def stalled(history: list[Record], eps: float) -> bool:
    """Return whether the gap decreased by no more than rounding in the last 30 % of at least 500 iterations."""
    latest = history[-1]
    if latest.n_iter is None or latest.n_iter < _STALL_MINIMUM:
        return False
    earlier = [record for record in history if (record.n_iter or 0) <= _STALL_FRACTION * latest.n_iter]
    moved = earlier[-1].gap - latest.gap if earlier else float("inf")
    return moved <= _STALL_ROUNDINGS * eps * abs(latest.objective)
