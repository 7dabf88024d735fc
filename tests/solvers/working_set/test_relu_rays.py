"""Column generation for C-ReLU: agreement with Clarabel, few programs on narrow cones, Newton steps where it fails."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.solvers.working_set import relu_rounds
from cvxrelu.solvers.working_set.relu_newton import ConeNewton
from cvxrelu.solvers.working_set.relu_rays import RayProgram
from tests.helpers.cases import assert_agrees, assert_honest, make_problem

TOL = 1e-6


def never():
    return False


@pytest.fixture
def rays(monkeypatch):
    """Take rays for problems of every size; return the programs."""
    programs = []

    class Counted(RayProgram):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            programs.append(self)

    monkeypatch.setattr(relu_rounds, "RayProgram", Counted)
    monkeypatch.setattr(relu_rounds, "_takes_rays", lambda problem, n_blocks: True)
    return programs


@pytest.mark.parametrize("ratio", [0.99, 0.1, 1e-3])
@pytest.mark.parametrize("shape", ["tall", "wide", "collinear", "doubled"])
@pytest.mark.parametrize("c", [1, 3])
def test_agrees_from_near_lam_max_to_near_zero(rays, c, shape, ratio):
    problem = make_problem("relu", shape=shape, c=c, ratio=ratio)
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=TOL), TOL)
    assert len(rays) == 1


@pytest.mark.parametrize(("data", "target"), [(1e-8, 1.0), (1e8, 1e-8), (1.0, 1e8)])
def test_agrees_on_scaled_data(rays, data, target):
    problem = make_problem("relu", ratio=0.05)
    scaled = cr.ConvexReLU(data * problem.X, target * problem.y, problem.patterns, lam=data * target * problem.lam)
    expected, solution = cr.solve(problem, "WorkingSet", tol=TOL), cr.solve(scaled, "WorkingSet", tol=TOL)
    assert_honest(scaled, solution, TOL)
    assert solution.objective == pytest.approx(target**2 * expected.objective, rel=2 * TOL)


def test_zero_rows_and_outputs_of_different_scales(rays):
    problem = make_problem("relu", c=3, ratio=0.02)
    X, Y = problem.X.copy(), problem.y * np.array([1.0, 1e-3, 1e3])
    X[::7] = 0.0
    patterns = cr.ActivationPatterns(X @ problem.patterns.G > 0.0, problem.patterns.G)
    scaled = cr.ConvexReLU(X, Y, patterns, lam=1.0)
    scaled = scaled.with_lam(0.01 * scaled.lam_max())
    assert_agrees(scaled, cr.solve(scaled, "WorkingSet", tol=TOL), TOL)


def narrow_cones(ratio):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 20))
    y = np.maximum(X @ rng.standard_normal((20, 5)), 0.0) @ rng.standard_normal(5)
    problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, 20, seed=0), lam=1.0)
    return problem.with_lam(ratio * problem.lam_max())


@pytest.mark.parametrize("ratio", [0.1, 0.01])
def test_narrow_cones_take_few_programs(rays, ratio):
    problem = narrow_cones(ratio)
    solution = cr.solve(problem, "WorkingSet", tol=1e-3)
    assert cr.certify(problem, solution.weights).rel_gap <= 1e-3
    assert problem.violation(solution.weights) == 0.0
    assert solution.n_iter <= 15
    assert len(rays[0]) <= 1000


def test_starts_from_given_weights(rays):
    problem = narrow_cones(0.1)
    first = cr.solve(problem, "WorkingSet", tol=1e-4)
    second = cr.solve(problem.with_lam(0.95 * problem.lam), "WorkingSet", tol=1e-3, start=first.weights)
    assert second.certificate.rel_gap <= 1e-3
    assert second.n_iter < first.n_iter


@pytest.mark.parametrize("limit", ["_MOST_RAYS", "_IDLE_PROGRAMS"])
def test_newton_steps_follow_where_rays_do_not_suffice(rays, monkeypatch, limit):
    steps = []

    class Counted(ConeNewton):
        def minimise(self, *arguments):
            steps.append(self.n_steps)
            return super().minimise(*arguments)

    monkeypatch.setattr(relu_rounds, limit, 0)
    monkeypatch.setattr(relu_rounds, "ConeNewton", Counted)
    problem = make_problem("relu", ratio=0.01)
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=TOL), TOL)
    assert steps
    assert len(rays[0]) == 0 or limit == "_IDLE_PROGRAMS"


@pytest.mark.filterwarnings("ignore::cvxrelu.ConvergenceWarning")
@pytest.mark.parametrize("max_iter", [1, 3, 5])
def test_the_limit_of_iterations_counts_programs_and_newton_steps(rays, monkeypatch, max_iter):
    monkeypatch.setattr(relu_rounds, "_MOST_RAYS", 100)
    solution = cr.solve(narrow_cones(0.05), "WorkingSet", tol=1e-8, max_iter=max_iter)
    assert solution.n_iter == max_iter


def test_a_start_without_any_effect_on_the_prediction(rays):
    """Its ray has only zeros in the program, alone at first, as no other constraint value is far above lam."""
    problem = narrow_cones(0.1)
    X = problem.X.copy()
    X[:, 3] = 0.0
    changed = cr.ConvexReLU(X, problem.y, cr.sample_patterns(X, 20, seed=0), lam=1.0)
    changed = changed.with_lam(0.95 * changed.lam_max())
    start = changed.zero_weights()
    start[0][..., 0, 3] = 1.0
    solution = cr.solve(changed, "WorkingSet", tol=TOL, start=start)
    assert cr.certify(changed, solution.weights).rel_gap <= TOL


def test_blocks_of_a_program_are_in_their_cones():
    problem = narrow_cones(0.1)
    blocks = np.zeros((40, 20))
    program = RayProgram(problem, problem.X, blocks)
    u, t = program.minimise(1e-3, never)
    assert not u.any()
    np.testing.assert_allclose(t, -problem.Y / len(problem.X))
    owners = np.array([3, 3, 25])
    near = problem.patterns.G[:, owners % 20].T + 0.1 * np.random.default_rng(0).standard_normal((3, 20))
    points = problem.cones.project(near, np.array([3, 23, 25]))
    program.add(owners, points)
    assert len(program) == 3
    u, t = program.minimise(1e-9, never)
    prediction = problem.predict(problem.weights(u.reshape(2, 1, 20, 20)))
    np.testing.assert_allclose(t, (prediction - problem.Y) / len(problem.X), atol=1e-12)
    assert np.flatnonzero(u.any(axis=1)).tolist() == [3, 25]
    assert problem.cones.violations(u.reshape(2, 20, 20)).max() <= 1e-9 * np.abs(u).max()


@pytest.mark.parametrize(
    ("n", "d", "loss", "n_blocks", "expected"),
    [
        (2500, 50, "squared", 24, True),
        (2500, 50, "squared", 8, False),
        (2500, 50, "squared", 1001, False),
        (2500, 50, "huber", 24, False),
        (1000, 50, "squared", 1000, False),
        (5000, 9, "squared", 1000, False),
    ],
)
def test_rays_are_taken_for_large_problems_with_many_rows_and_columns(n, d, loss, n_blocks, expected):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    problem = cr.ConvexReLU(X, X[:, 0], cr.sample_patterns(X, 1, seed=0), lam=1.0, loss=loss)
    assert relu_rounds._takes_rays(problem, n_blocks) is expected
