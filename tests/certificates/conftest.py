"""A ReLU and a gated problem with the contents of their certificates, and certificates to save."""

import pytest

import cvxrelu as cr
from tests.helpers.cases import make_problem
from tests.helpers.forgery import as_contents


@pytest.fixture(scope="module")
def relu():
    """A ReLU problem and its certificate with multipliers, to 1e-9."""
    problem = make_problem("relu", ratio=0.02)
    certificate = cr.solve(problem, "CLARABEL", tol=1e-8).certificate
    assert certificate.dual.multipliers.nnz > 0
    assert certificate.rel_gap < 1e-8
    return problem, as_contents(certificate)


@pytest.fixture(scope="module")
def gated():
    problem = make_problem("gated", "logistic", shape="collinear", ratio=0.02)
    return problem, as_contents(cr.solve(problem, "CLARABEL", tol=1e-8).certificate)


@pytest.fixture(scope="module")
def certificates():
    """Return nearly optimal certificates of a gated problem with three outputs and a ReLU problem."""
    problems = [make_problem("gated", c=3, shape="collinear"), make_problem("relu", "huber", ratio=0.05)]
    return [cr.solve(problem, "CLARABEL", tol=1e-7).certificate for problem in problems]
