"""Selection of a native solver for a problem."""

from cvxrelu.problems.base import ConvexProblem
from cvxrelu.runtime.memory import COMPILED_BYTES, fits
from cvxrelu.solvers.first_order.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.first_order.rfista import RFISTA
from cvxrelu.solvers.interface import NativeSolver, takes
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.working_set.solver import WorkingSet


def first_able(problem: ConvexProblem) -> NativeSolver | None:
    """Return the first of LeastSquares, WorkingSet and RFISTA that supports the problem (RFISTA: any gated one).

    For other ReLU problems, return AugmentedLagrangian if CLARABEL's program does not fit in memory, else None.
    """
    candidates: list[NativeSolver] = [LeastSquares(), WorkingSet(), RFISTA()]
    found = next((solver for solver in candidates if takes(solver, problem)), None)
    if found is None and not fits(COMPILED_BYTES * problem.program_entries() * problem.solved_columns / problem.d):
        found = AugmentedLagrangian() if takes(AugmentedLagrangian(), problem) else None
    return found
