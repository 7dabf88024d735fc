"""The plan of "auto": solvers in order, each started from the best point so far, until the gap is within tol."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from cvxrelu.losses.weighted import unweighted
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.memory import fits
from cvxrelu.solvers.first_order.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.first_order.rfista import RFISTA
from cvxrelu.solvers.interface import NativeSolver, takes
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.working_set.solver import WorkingSet

INTERIOR_POINT = "CLARABEL"

_MIN_PATIENCE = 0.2  # seconds; one small random problem in twelve takes longer
# Cost model of CVXPY and Clarabel, measured on 20 problems of 20 to 1,000 rows to within a factor of 3: fixed seconds,
# seconds for each matrix entry and for each operation of a factorization, and the number of factorizations.
_BASE, _IMPORT, _PER_ENTRY, _PER_OPERATION = 0.1, 0.7, 2e-6, 1.5e-9
_PER_MIXED_CONE = 0.015  # for each output and semidefinite cone, beside exponential ones: it is run several times
_FACTORIZATIONS = {"squared": 8, "huber": 10, "logistic": 22, "softmax": 30}
_MAX_FACTORIZATIONS = 30
_CONE_FACTORIZATIONS = 20  # in addition
_BYTES_PER_ENTRY, _BYTES_PER_FACTOR_ENTRY = 200, 32
_MEMORY_FRACTION = 0.5
_LARGE = 2.0**30  # bytes; asking for free memory takes as long as solving a small problem
_MAX_SECONDS = 600.0  # longest predicted run of an interior-point solver that "auto" starts


@dataclass(frozen=True)
class Cost:
    """Predicted cost of a solver: seconds, and size in bytes."""

    seconds: float
    size: float


@dataclass(frozen=True)
class Planned:
    """One step of a plan.

    Attributes
    ----------
    solver : native solver, or str
        The solver, or the name of a CVXPY solver.
    patience : float, optional
        CPU seconds after which this solver is paused if it is slow; see `Limits`.
    seconds : float
        Predicted time. The step is skipped if less remains of the time limit and a slow solver can resume.
    size : float
        Predicted bytes. The step is skipped if they are not free at its turn.
    resumes : bool
        Resume the same solver if it was paused; otherwise skip the step.
    pauses : bool
        Pause a CVXPY solver once a further run does not halve the gap, if another solver is paused.
    """

    solver: NativeSolver | str
    patience: float | None = None
    seconds: float = 0.0
    size: float = 0.0
    resumes: bool = False
    pauses: bool = False

    @property
    def name(self) -> str:
        """The solver's name."""
        return self.solver if isinstance(self.solver, str) else type(self.solver).__name__


def interior_point_cost(problem: ConvexProblem) -> Cost:
    """Predict the cost of CVXPY with Clarabel, to within a factor of about 3.

    Factorizing the KKT matrix costs as much as the smaller Schur complement, in the rows or in the columns.
    """
    n, d, c = problem.n, problem.d, problem.n_outputs
    cones = isinstance(problem, ConvexReLU)
    columns = (2 if cones else 1) * len(problem.patterns) * d
    entries = float(n * columns * c * (2 if cones else 1))
    short, long = min(n, columns), max(n, columns)
    operations = float(c * short**2 * long)
    if cones:
        operations += float(c * n * columns * d)
    size = _BYTES_PER_ENTRY * entries + _BYTES_PER_FACTOR_ENTRY * c * short * (short + long)
    if problem.penalty.couples_outputs:  # one semidefinite cone of order c + d for each pattern
        triangle = 0.5 * (c + d) * (c + d + 1)
        operations += len(problem.patterns) * triangle**3
        size += _BYTES_PER_FACTOR_ENTRY * len(problem.patterns) * triangle**2
    loss = unweighted(problem.loss)
    if not loss.sums_over_entries:  # its cones couple the outputs
        operations *= c
    factorizations = _FACTORIZATIONS.get(loss.name, _MAX_FACTORIZATIONS) + (_CONE_FACTORIZATIONS if cones else 0)
    seconds = _BASE + _PER_ENTRY * entries + _PER_OPERATION * factorizations * operations
    if problem.penalty.couples_outputs and loss.of_labels:
        seconds += _PER_MIXED_CONE * len(problem.patterns) * c
    if "cvxpy" not in sys.modules:
        seconds += _IMPORT
    return Cost(seconds, size)


def make_plan(problem: ConvexProblem, time_left: float) -> Iterator[Planned]:
    """Yield the solvers that "auto" tries, in order, each chosen when its turn has come.

    The first native solver that supports the problem; CLARABEL, if predicted to fit in the remaining time (at most ten
    minutes) and in memory; the first one resumed, if it was paused as slow; then the other native solvers. If
    WorkingSet was paused, CLARABEL pauses too once a further run does not halve the gap, and is run in full after
    WorkingSet. For C-ReLU without WorkingSet, CLARABEL comes first.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    time_left : float
        Seconds left of the time limit; infinite without one.
    """
    candidates: Iterator[NativeSolver] = (kind() for kind in (WorkingSet, LeastSquares, RFISTA, AugmentedLagrangian))
    native = (solver for solver in candidates if takes(solver, problem))
    first, cost = next(native, None), interior_point_cost(problem)
    size = 0.0 if first is None else cost.size / _MEMORY_FRACTION
    # WorkingSet converges fast in the end; RFISTA, still slow when resumed, is no reason to spare runs of CLARABEL.
    pauses = isinstance(first, WorkingSet)
    second = Planned(INTERIOR_POINT, seconds=cost.seconds, size=size, pauses=pauses)
    if first is None:
        yield second
    elif cost.seconds > min(_MAX_SECONDS, time_left) or (size > _LARGE and not fits(size)):
        yield Planned(first)
    elif isinstance(first, AugmentedLagrangian):
        yield second
        yield Planned(first)
    else:
        min_patience = 0.0 if isinstance(first, RFISTA) else _MIN_PATIENCE  # RFISTA is often slower than CLARABEL
        yield Planned(first, patience=max(cost.seconds, min_patience))
        yield second
        yield Planned(first, resumes=True)
        if pauses:
            yield Planned(INTERIOR_POINT, resumes=True)
    yield from map(Planned, native)
