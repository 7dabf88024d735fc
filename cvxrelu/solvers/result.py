"""What every solver hands back, before it is certified."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray
from cvxrelu.convex_problem import Weights
from cvxrelu.dual_workspace import DualWorkspace
from cvxrelu.status import Status

_TINY = float(np.finfo(np.float64).tiny)


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
        return self.gap / max(abs(self.objective), _TINY) if self.gap > 0.0 else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class RawResult:
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
    resume: "Callable[[], RawResult] | None" = None
