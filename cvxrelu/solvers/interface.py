"""The interface of solvers: limits, iterates, records and results."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.exceptions import SolverError
from cvxrelu.numerics.gaps import relative_gap
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.status import Status


@dataclass(frozen=True, kw_only=True)
class Record:
    """One check of the gap on the way.

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
        The solver that was at work.

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
    """What one solver of a plan came to, certified.

    Attributes
    ----------
    solver : str
        The solver.
    status : Status
        How it ended; OPTIMAL if its own certified gap, or that of all attempts so far, was within the tolerance.
    solver_status : str
        The same in its own words.
    objective : float
        Objective of its best feasible point.
    lower : float
        Its best lower bound.
    n_iter : int or None
        Iterations; None where the solver does not say.
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
    """A solver's own answer.

    Attributes
    ----------
    weights : ndarray or pair of ndarrays
        Best weights found, not necessarily in their cones.
    t : ndarray of shape (n, c), or None
        The solver's dual variable.
    multipliers : csr_array of shape (2 c P, n), or None
        The solver's multipliers of the cones.
    status : Status
        How the solver says that it ended.
    solver_status : str
        The same in the solver's (CVXPY's) own words.
    n_iter : int or None
        Iterations; None where the solver does not say.
    compile_time : float
        Seconds spent on building and compiling a CVXPY program.
    solve_time : float or None
        Seconds in the solver itself; None where the solver does not say.
    history : tuple of Record
        The checks of a native solver.
    workspace : DualWorkspace, optional
        What a native solver knows of the dual, for the certificate to start from; None where it was interrupted.
    resume : callable, optional
        Of a native solver that was slow: goes on from where it has paused, and returns the answer, with the checks
        since then, in the units of this one.
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
    """When to stop; see `cvxrelu.solve`.

    Attributes
    ----------
    tol, max_iter, time_limit, callback
        As in `cvxrelu.solve`; the time runs from when the limits are made.
    patience : float, optional
        Seconds of work that the next solver of a plan is predicted to need: the solver ends as "slow" once it has
        worked for as long, and its gap, as it has decreased, will take longer than that. Work is the time of the thread
        on a processor: what else the machine does plays no part. Set to None where such a solver goes on.
    before : float
        Seconds that have passed before: the times of records begin with them.
    now, work : callable
        The clock, and that of the work.
    """

    tol: float
    max_iter: int
    time_limit: float | None = None
    callback: Callback | None = None
    patience: float | None = None
    before: float = 0.0
    now: Callable[[], float] = field(default_factory=lambda: time.perf_counter)
    work: Callable[[], float] = time.thread_time
    started: float = field(init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self.started = self.now()

    def rounds(self) -> Callable[[], bool]:
        """Return a function that says when the gap is to be looked at again: by the clock, or by the work from now."""
        until = np.inf if self.patience is None else self.work() + self.patience
        return lambda: self.now() >= self.deadline or (until < np.inf and self.work() >= until)

    @property
    def elapsed(self) -> float:
        """Seconds since the limits were made."""
        return self.now() - self.started

    @property
    def deadline(self) -> float:
        """The moment, of the clock, at which the time is up."""
        return np.inf if self.time_limit is None else self.started + self.time_limit


@dataclass(frozen=True, eq=False, kw_only=True)
class Iterate:
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


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Newton steps in all, and whether the time of a round is up."""

    steps: int
    expired: Callable[[], bool]

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Return what the limits allow from now to the next check of the gap."""
        return cls(steps=limits.max_iter, expired=limits.rounds())

    def spent(self, steps: int) -> bool:
        """Return whether nothing is left after so many steps."""
        return steps >= self.steps or self.expired()


class NativeSolver(Protocol):
    """A configured native solver."""

    @property
    def max_iter(self) -> int:
        """Iteration limit where the caller gives none."""

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the solver cannot take the problem."""

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem."""


def takes(solver: NativeSolver, problem: ConvexProblem) -> bool:
    """Return whether the solver can take the problem."""
    try:
        solver.check_problem(problem)
    except SolverError:
        return False
    return True
