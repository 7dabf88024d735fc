"""The linear systems of the semismooth Newton method on the dual of a proximal-point step of C-GReLU.

(Q^-1 + sigma A M A') dt = -g, with Q the inverse Hessian of the dual term (within rows), M the Jacobian of the prox and
A on the active patterns. Each step is solved where that is predicted to take the least work: in the rows, by Cholesky,
for at most 10,000 rows that fit into memory (`row_systems`), or in the columns, with or without a factor
(`column_systems`).
"""

from functools import cached_property

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.penalties.prox_jacobians import GroupJacobian
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.runtime.memory import fits
from cvxrelu.solvers.working_set.column_systems import ColumnSystems
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.newton_step import NewtonStep
from cvxrelu.solvers.working_set.row_systems import RowSystems, bytes_needed

_MOST_ROWS = 10_000


class NewtonSystems:
    """Solver of the Newton systems that caches reusable products from one working set to the next.

    Parameters
    ----------
    constant_curvature : bool
        Whether Q is the same at every point (squared loss), so that Gram matrices of the patterns can be kept.
    products : DataProducts
        Products of the data, shared with solvers of other outputs.
    """

    operator: GatedOperator

    def __init__(self, constant_curvature: bool, products: DataProducts) -> None:
        self._products = products
        self._columns, self._rows = ColumnSystems(constant_curvature, products), RowSystems(products)

    def enter(self, operator: GatedOperator, index: np.ndarray) -> None:
        """Switch to a working set: A on its patterns, and their indices (k,) among all patterns."""
        self.operator = operator
        self._columns.enter(operator, index)

    def direction(self, step: NewtonStep) -> FloatArray:
        """Return dt (n, c)."""
        if len(step.active) == 0:
            return -step.rows.respond(step.gradient)
        in_rows, in_columns, iterative = self._costs(step)
        if in_rows <= min(in_columns, iterative):
            found = self._rows_of(step)
            if found is not None:
                return found
        return self._columns.solve(step, dense=in_columns <= iterative)

    def _costs(self, step: NewtonStep) -> tuple[float, float, float]:
        """Predict the work in the rows, and in the columns with and without a factor."""
        rows = np.inf
        if isinstance(step.jacobian, GroupJacobian) and step.rows.coupling is None and self._rows_fit:
            n_active = np.count_nonzero(step.jacobian.shrinkage, axis=1)
            rows = self._rows.cost(self.operator.n_features, n_active)
        return rows, *self._columns.costs(step)

    @cached_property
    def _rows_fit(self) -> bool:
        """Whether XX', which is kept, and a system in the rows fit into memory, looked at once."""
        n = len(self._products.X)
        return n <= _MOST_ROWS and fits(bytes_needed(n))

    def _rows_of(self, step: NewtonStep) -> FloatArray | None:
        assert isinstance(step.jacobian, GroupJacobian)
        active = self.operator.take(step.active)
        return self._rows.solve(active, step.jacobian, step.rows.diagonal, step.sigma, step.gradient)
