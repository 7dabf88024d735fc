import cvxpy as cp
import numpy as np

from cvxrelu.penalties.quadratic import NoPenalty, SquaredL2


def test_other_conjugates_by_hand():
    Z = np.array([[[3.0, 4.0]]])
    assert SquaredL2().conjugate(Z, 2.0) == 25 / 4
    assert NoPenalty().conjugate(Z, 2.0) == np.inf
    assert NoPenalty().conjugate(0 * Z, 2.0) == 0


def test_the_variable_of_the_squared_penalty_is_named():
    _, (constraint,) = SquaredL2().conjugate_constraints(cp.Variable((2, 2)), cp.Parameter(nonneg=True), 1)
    assert "Q" in [variable.name() for variable in constraint.variables()]
