"""Registry of the native solvers by name."""

from cvxrelu.solvers.decompose import Decompose
from cvxrelu.solvers.first_order.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.first_order.rfista import RFISTA
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.working_set.solver import WorkingSet

NATIVE_SOLVERS: dict[
    str, type[RFISTA] | type[AugmentedLagrangian] | type[LeastSquares] | type[WorkingSet] | type[Decompose]
] = {
    "WorkingSet": WorkingSet,
    "RFISTA": RFISTA,
    "AugmentedLagrangian": AugmentedLagrangian,
    "LeastSquares": LeastSquares,
    "decompose": Decompose,
}
