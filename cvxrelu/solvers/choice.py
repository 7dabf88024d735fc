"""What a native solver is, and which of them suits a problem."""

from typing import Protocol

from cvxrelu.convex_problem import ConvexProblem, Weights
from cvxrelu.exceptions import SolverError
from cvxrelu.memory import COMPILED_BYTES, fits
from cvxrelu.solvers.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.monitor import Limits
from cvxrelu.solvers.result import RawResult
from cvxrelu.solvers.rfista import RFISTA
from cvxrelu.solvers.working_set import WorkingSet


class NativeSolver(Protocol):
    """A configured native solver."""

    @property
    def max_iter(self) -> int:
        """Iteration limit where the caller gives none."""

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the solver cannot take the problem."""

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> RawResult:
        """Solve the problem."""


def takes(solver: NativeSolver, problem: ConvexProblem) -> bool:
    """Return whether the solver can take the problem."""
    try:
        solver.check_problem(problem)
    except SolverError:
        return False
    return True


def first_able(problem: ConvexProblem) -> NativeSolver | None:
    """Return the first of LeastSquares, WorkingSet and RFISTA that can take the problem: one for every gated one.

    For a ReLU problem that they do not take: AugmentedLagrangian where CLARABEL's program does not fit in memory.
    """
    candidates: list[NativeSolver] = [LeastSquares(), WorkingSet(), RFISTA()]
    found = next((solver for solver in candidates if takes(solver, problem)), None)
    if found is None and not fits(COMPILED_BYTES * problem.program_entries() * problem.solved_columns / problem.d):
        found = AugmentedLagrangian() if takes(AugmentedLagrangian(), problem) else None
    return found
