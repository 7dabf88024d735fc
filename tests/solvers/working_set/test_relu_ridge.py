"""C-ReLU with the penalty squared_l2: solutions by WorkingSet, against CLARABEL's."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.losses.base import dual_term
from cvxrelu.solvers.working_set import solver
from cvxrelu.solvers.working_set.relu_ridge import RidgeNewton
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks
from tests.helpers.cases import make_problem


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
@pytest.mark.parametrize("shape", ["tall", "wide"])
@pytest.mark.parametrize("ratio", [0.1, 1e-2])
def test_agrees_with_clarabel(loss, shape, ratio):
    problem = make_problem("relu", loss, "squared_l2", shape=shape, c=2, ratio=ratio)
    solution = cr.solve(problem, "WorkingSet", tol=1e-8)
    other = cr.solve(problem, "CLARABEL", tol=1e-8)
    assert solution.status == "optimal"
    assert problem.violation(solution.weights) <= 1e-15
    assert solution.certificate.lower <= other.objective * (1.0 + 1e-12)
    assert solution.objective == pytest.approx(other.objective, rel=3e-8)


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("lam", [1e-3, 1e-6, 1e-7])
@pytest.mark.parametrize("seed", [0, 2])
def test_small_lam(loss, c, lam, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((20, 2)), rng.standard_normal((20, c))
    patterns = cr.sample_patterns(X, 8, seed=seed)
    problem = cr.ConvexReLU(X, np.sign(Y) if loss == "logistic" else Y, patterns, lam, loss, "squared_l2")
    assert cr.solve(problem, "WorkingSet").status == "optimal"


def test_auto_takes_it_and_continues_from_a_start():
    problem = make_problem("relu", penalty="squared_l2", ratio=0.1)
    solution = cr.solve(problem, tol=1e-9)
    assert solution.solver == "WorkingSet"
    again = cr.solve(problem, "WorkingSet", tol=1e-9, start=solution.weights)
    assert again.objective == pytest.approx(solution.objective, rel=1e-8)
    assert again.n_iter <= solution.n_iter


def test_limits_end_the_steps():
    problem = make_problem("relu", penalty="squared_l2", ratio=1e-3)
    with pytest.warns(cr.ConvergenceWarning):
        solution = cr.solve(problem, "WorkingSet", tol=1e-9, max_iter=1)
    assert solution.status == "max_iter"
    assert solution.n_iter == 1
    assert solution.certificate.lower <= solution.objective


def test_large_programs_are_left_to_others(monkeypatch):
    problem = make_problem("relu", penalty="squared_l2", ratio=0.1)
    monkeypatch.setattr(solver, "MOST_ENTRIES", 100)
    with pytest.raises(cr.SolverError, match=r"squared_l2 on all 12 blocks at once.*use CLARABEL"):
        cr.solve(problem, "WorkingSet")
    assert cr.solve(problem).solver == "CLARABEL"


@pytest.mark.parametrize("sigma", [1e-2, 1e3])
def test_the_gradient_and_hessian_of_a_step(sigma):
    """psi = F* + sum ||proj(u - sigma A't)||^2 / (2 sigma (1 + sigma lam)), by finite differences."""
    problem = make_problem("relu", penalty="squared_l2", ratio=0.1, seed=3)
    X, D, rng = problem.operator.X, problem.cones.D, np.random.default_rng(0)
    n_blocks = 2 * len(problem.patterns)
    newton = RidgeNewton(problem, dual_term(problem.loss, problem.Y), problem.cones.projector(n_blocks))
    newton.sigma = sigma
    working = WorkingBlocks(X, D, 1, np.arange(n_blocks))
    t, centre = rng.standard_normal(problem.Y.shape), rng.standard_normal((n_blocks, problem.d))

    def psi(t):
        x = centre - sigma * working.adjoint(t)
        p = problem.cones.projector(n_blocks).project(working.ids, x)
        return problem.loss.conjugate(t, problem.Y) + np.sum(p**2) / (2 * sigma * (1 + sigma * problem.lam))

    step = 1e-6 * rng.standard_normal(t.shape)
    points = [newton._evaluate(working, centre, each, working.adjoint(each)) for each in (t - step, t + step, t)]
    slope = np.vdot(points[2].gradient, 2 * step)
    assert psi(t + step) - psi(t - step) == pytest.approx(slope, rel=1e-4)
    roots, counts = newton._roots(working, points[2])
    change = points[1].gradient - points[0].gradient
    solved = working.solve(points[2].active, roots, counts, points[2].response, change)
    np.testing.assert_allclose(solved, 2 * step, rtol=1e-4, atol=1e-9)
