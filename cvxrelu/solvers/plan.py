"""The plan of "auto": solvers in order, each started from the best point so far, until one proves the gap asked for."""

import sys
from dataclasses import dataclass

from cvxrelu.losses.weighted import unweighted
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.memory import available_bytes
from cvxrelu.solvers.first_order.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.first_order.rfista import RFISTA
from cvxrelu.solvers.interface import NativeSolver, takes
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.working_set.solver import WorkingSet

INTERIOR_POINT = "CLARABEL"

# Measured on 20 problems of 20 to 1,000 rows, to a factor of 3: what CVXPY and Clarabel take beside the factors, for
# each entry of their matrix, for each operation of a factor, and how many factors.
_LEAST_PATIENCE = 0.2  # what a native solver has in any case: of small random problems one in twelve takes longer
_BASE, _IMPORT, _PER_ENTRY, _PER_OPERATION = 0.1, 0.7, 2e-6, 1.5e-9
_FACTORS = {"squared": 8, "huber": 10, "logistic": 22, "softmax": 30}
_MOST_FACTORS = 30
_FOR_CONES = 20  # more of them
_BYTES_PER_ENTRY, _BYTES_PER_FACTOR_ENTRY = 200, 32
_SHARE_OF_MEMORY = 0.5
_LONGEST = 600.0  # seconds of an interior-point solver that "auto" takes upon itself where the caller sets no limit


@dataclass(frozen=True)
class Cost:
    """What a solver is predicted to need: seconds and bytes."""

    seconds: float
    size: float


@dataclass(frozen=True)
class Planned:
    """One step of a plan.

    Attributes
    ----------
    solver : native solver, or str
        The solver, or the name of one of CVXPY's.
    patience : float, optional
        Seconds after which this solver hands over if it is slow; see `Limits`.
    seconds : float
        What it is predicted to need: it is left out where a slow one can go on and a limit of the caller's leaves less.
    resumes : bool
        Only if the same solver was too slow before: it goes on from where it paused.
    """

    solver: NativeSolver | str
    patience: float | None = None
    seconds: float = 0.0
    resumes: bool = False

    @property
    def name(self) -> str:
        """The solver's name."""
        return self.solver if isinstance(self.solver, str) else type(self.solver).__name__


def interior_point_cost(problem: ConvexProblem) -> Cost:
    """Return what CVXPY and Clarabel are predicted to need, to a factor of some 3.

    A factor of the KKT matrix costs what the Schur complement in the rows or the columns does, the fewer.
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
    if problem.penalty.couples_outputs:  # for each pattern a semidefinite cone of matrices of size c + d
        triangle = 0.5 * (c + d) * (c + d + 1)
        operations += len(problem.patterns) * triangle**3
        size += _BYTES_PER_FACTOR_ENTRY * len(problem.patterns) * triangle**2
    loss = unweighted(problem.loss)
    if not loss.sums_over_entries:  # its cones tie the outputs together
        operations *= c
    factors = _FACTORS.get(loss.name, _MOST_FACTORS) + (_FOR_CONES if cones else 0)
    seconds = _BASE + _PER_ENTRY * entries + _PER_OPERATION * factors * operations
    if "cvxpy" not in sys.modules:
        seconds += _IMPORT
    return Cost(seconds, size)


def make_plan(problem: ConvexProblem, time_left: float) -> tuple[Planned, ...]:
    """Return the solvers that "auto" tries, in order.

    The native solver that suits the problem best; CLARABEL where memory and the time that is left, or ten minutes,
    are predicted to suffice; then the other native ones, and the first again if it was but slow. Without WorkingSet
    for C-ReLU CLARABEL comes first, as long as it is predicted to suffice, or nothing else does.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    time_left : float
        Seconds of the caller's limit; infinite without one.
    """
    candidates: list[NativeSolver] = [LeastSquares(), WorkingSet(), RFISTA(), AugmentedLagrangian()]
    native = [solver for solver in candidates if takes(solver, problem)]
    cost = interior_point_cost(problem)
    affordable = cost.size <= _SHARE_OF_MEMORY * available_bytes() and cost.seconds <= min(_LONGEST, time_left)
    if native and not affordable:
        return tuple(Planned(solver) for solver in native)
    second = Planned(INTERIOR_POINT, seconds=cost.seconds)
    if not native or isinstance(native[0], AugmentedLagrangian):
        return (second, *(Planned(solver) for solver in native))
    least = 0.0 if isinstance(native[0], RFISTA) else _LEAST_PATIENCE  # RFISTA alone is often slower than CLARABEL
    first = Planned(native[0], patience=max(cost.seconds, least))
    resumed = Planned(native[0], resumes=True)
    return (first, second, resumed, *(Planned(solver) for solver in native[1:]))
