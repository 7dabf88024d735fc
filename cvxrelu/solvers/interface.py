"""Solver interface: limits, iterates, records and results."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.exceptions import SolverError
from cvxrelu.numerics.gaps import relative_gap
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.status import Status

if TYPE_CHECKING:
    from cvxrelu.solvers.working_set.continuation import Continuation


@dataclass(frozen=True, kw_only=True)
class Record:
    """One check of the certified gap during a solve.

    Attributes
    ----------
    n_iter : int or None
        Iterations so far.
    time : float
        Seconds since the start.
    objective : float
        Best objective of a feasible point so far.
    lower : float
        Best lower bound so far.
    violation : float
        Violation of the cones before repair, in units of activation.
    step : float or None
        Step size, for methods that have one.
    solver : str
        The solver that was running.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexGatedReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> gaps = []
    >>> solution = cr.solve(problem, "RFISTA", tol=1e-4, callback=lambda record: gaps.append(record.gap))
    >>> len(gaps) == len(solution.history), gaps[-1] <= gaps[0]
    (True, True)
    """

    n_iter: int | None
    time: float
    objective: float
    lower: float
    violation: float = 0.0
    step: float | None = None
    solver: str = ""

    @property
    def gap(self) -> float:
        """Certified gap at the check."""
        return self.objective - self.lower

    @property
    def rel_gap(self) -> float:
        """``gap`` over the absolute value of the objective; 0 if the gap is 0."""
        return relative_gap(self.lower, self.objective)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Certified result of one solver of a plan.

    Attributes
    ----------
    solver : str
        Name of the solver.
    status : Status
        Outcome; OPTIMAL if the certified gap over all attempts so far is within the tolerance.
    solver_status : str
        Status string reported by the solver.
    objective : float
        Objective of its best feasible point.
    lower : float
        Its best lower bound.
    n_iter : int or None
        Number of iterations; None if the solver does not report it.
    time : float
        Seconds, certificates included.
    """

    solver: str
    status: Status
    solver_status: str
    objective: float
    lower: float
    n_iter: int | None
    time: float

    @property
    def gap(self) -> float:
        """Certified gap of the attempt alone."""
        return self.objective - self.lower

    @property
    def rel_gap(self) -> float:
        """``gap`` over the absolute value of the objective; 0 if the gap is 0."""
        return relative_gap(self.lower, self.objective)


@dataclass(frozen=True, eq=False, kw_only=True)
class SolverResult:
    """Result of a solver, not yet certified.

    Attributes
    ----------
    weights : ndarray or pair of ndarrays
        Best weights found, not necessarily in their cones.
    t : ndarray of shape (n, c), or None
        Dual variable of the solver.
    multipliers : csr_array of shape (2 c P, n), or None
        Multipliers of the cone constraints.
    status : Status
        Outcome as reported by the solver.
    solver_status : str
        Status string of the solver (or of CVXPY).
    n_iter : int or None
        Number of iterations; None if the solver does not report it.
    compile_time : float
        Seconds spent building and compiling a CVXPY program.
    solve_time : float or None
        Seconds in the solver itself; None if the solver does not report it.
    history : tuple of Record
        Gap checks of a native solver.
    workspace : DualWorkspace, optional
        Dual state of a native solver, reused by the certificate; None if the solver was interrupted or failed.
    resume : callable, optional
        Set by a native solver that paused as slow: continues and returns the result, with the checks since then, in
        the units of this one.
    """

    weights: Weights
    t: FloatArray | None = None
    multipliers: sp.csr_array | None = None
    status: Status
    solver_status: str
    n_iter: int | None
    compile_time: float = 0.0
    solve_time: float | None
    history: tuple[Record, ...] = ()
    workspace: DualWorkspace | None = None
    resume: "Callable[[], SolverResult] | None" = None


Callback = Callable[[Record], Any]


@dataclass(kw_only=True)
class Limits:
    """Stopping criteria of a solver; see `cvxrelu.solve`.

    Attributes
    ----------
    tol, max_iter, time_limit, callback
        As in `cvxrelu.solve`; the time limit runs from construction.
    patience : float, optional
        CPU seconds that the next solver of a plan is predicted to need. The solver stops as "slow" once it has used as
        much and, by the decrease of its gap, is predicted to need more again. CPU time of the thread is independent of
        other loads. Set to None when such a solver resumes.
    before : float
        Seconds elapsed before this solver, added to the times of records.
    continuation : Continuation, optional
        What earlier solves of the same program at other lams have left, for solvers that use it; see `WorkingSet`.
    now, work : callable
        Clocks of wall time and of CPU time.
    """

    tol: float
    max_iter: int
    time_limit: float | None = None
    callback: Callback | None = None
    patience: float | None = None
    before: float = 0.0
    continuation: "Continuation | None" = None
    now: Callable[[], float] = field(default_factory=lambda: time.perf_counter)
    work: Callable[[], float] = time.thread_time
    started: float = field(init=False)
    work_started: float = field(init=False)

    def __post_init__(self) -> None:
        """Start the clocks."""
        self.started, self.work_started = self.now(), self.work()

    def rounds(self) -> Callable[[], bool]:
        """Return a predicate that is true once the gap must be checked again, by wall time or by CPU time.

        The first check is due when the patience is used up, each later one after as much CPU time again.
        """
        until = np.inf
        if self.patience is not None:
            first, now = self.work_started + self.patience, self.work()
            until = first if now < first else now + self.patience
        return lambda: self.now() >= self.deadline or (until < np.inf and self.work() >= until)

    @property
    def elapsed(self) -> float:
        """Seconds since construction."""
        return self.now() - self.started

    @property
    def deadline(self) -> float:
        """Clock time at which the time limit expires; infinite without one."""
        return np.inf if self.time_limit is None else self.started + self.time_limit


@dataclass(frozen=True, eq=False, kw_only=True)
class Iterate:
    """An iterate of a native solver to be checked: weights and their dual variables.

    A solver that has already computed the objective and dual point of feasible weights passes them on for the history;
    the result is still certified from weights and dual variable.
    """

    weights: Weights
    n_iter: int
    step: float | None
    multipliers: Any = None
    objective: float | None = None
    dual: DualPoint | None = None
    violation: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limit of the total number of Newton steps, and of the time of a round."""

    steps: int
    expired: Callable[[], bool]

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Return the budget from now to the next check of the gap."""
        return cls(steps=limits.max_iter, expired=limits.rounds())

    def spent(self, steps: int) -> bool:
        """Return whether the budget is exhausted after ``steps`` steps."""
        return steps >= self.steps or self.expired()


class NativeSolver(Protocol):
    """Protocol of a configured native solver."""

    @property
    def max_iter(self) -> int:
        """Iteration limit if the caller gives none."""

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the solver does not support the problem."""

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem."""


def takes(solver: NativeSolver, problem: ConvexProblem) -> bool:
    """Return whether the solver supports the problem."""
    try:
        solver.check_problem(problem)
    except SolverError:
        return False
    return True
