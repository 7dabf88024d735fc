"""The native solvers by name."""

from cvxrelu.solvers.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.rfista import RFISTA
from cvxrelu.solvers.two_step import Decompose
from cvxrelu.solvers.working_set import WorkingSet

NATIVE_SOLVERS: dict[
    str, type[RFISTA] | type[AugmentedLagrangian] | type[LeastSquares] | type[WorkingSet] | type[Decompose]
] = {
    "WorkingSet": WorkingSet,
    "RFISTA": RFISTA,
    "AugmentedLagrangian": AugmentedLagrangian,
    "LeastSquares": LeastSquares,
    "decompose": Decompose,
}
