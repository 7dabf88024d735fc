"""Certificates to save."""

import pytest

import cvxrelu as cr
from tests.helpers.cases import make_problem


@pytest.fixture(scope="module")
def certificates():
    """Return nearly optimal certificates of a gated problem with three outputs and a ReLU problem."""
    problems = [make_problem("gated", c=3, shape="collinear"), make_problem("relu", "huber", ratio=0.05)]
    return [cr.solve(problem, "CLARABEL", tol=1e-7).certificate for problem in problems]
