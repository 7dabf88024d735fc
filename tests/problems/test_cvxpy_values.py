import pytest

import cvxrelu as cr
from tests.helpers.cases import make_problem


def test_reading_an_unsolved_program():
    problem = make_problem("relu")
    program = problem.to_cvxpy()
    with pytest.raises(ValueError, match="solved primal program with variable 'V'"):
        cr.read_weights(problem, program)
    with pytest.raises(ValueError, match="solved first"):
        cr.read_dual(problem, program)
    with pytest.raises(ValueError, match="solved first"):
        cr.read_dual(problem, problem.to_cvxpy("dual"))
