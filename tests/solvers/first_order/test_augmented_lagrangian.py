"""The composite model of the augmented Lagrangian: consistency of its methods."""

import itertools

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.solvers.first_order.augmented_lagrangian import PenalisedModel
from cvxrelu.solvers.interface import Limits
from tests.helpers.cases import make_problem


@pytest.fixture(params=[1, 3])
def model(request):
    problem = make_problem("relu", c=request.param)
    rng = np.random.default_rng(0)
    shape = problem.blocks(problem.zero_weights()).shape
    model = PenalisedModel(problem, delta=0.7, gamma=np.zeros((problem.n, np.prod(shape[:3]))))
    model.update_multipliers(model.image(rng.standard_normal(shape)))
    return problem, model, rng, shape


def test_adjoint_identity(model):
    _, model, rng, shape = model
    u = rng.standard_normal(shape)
    image = model.image(u)
    z = rng.standard_normal(image.shape)
    assert np.vdot(image, z) == pytest.approx(np.vdot(u, model.adjoint(z)), rel=1e-11)


def test_value_matches_the_formula(model):
    problem, model, rng, shape = model
    u = rng.standard_normal(shape)
    weights = problem.weights(u)
    total = problem.objective(weights)
    signs = 2.0 * problem.patterns.D - 1.0
    gamma = model.sparse_multipliers().toarray().reshape(*shape[:3], problem.n)
    for s in range(2):
        for k in range(problem.n_outputs):
            for i in range(len(problem.patterns)):
                q = signs[:, i] * (problem.X @ u[s, k, i])
                total += 0.5 * model.delta * np.sum(np.maximum(gamma[s, k, i] / model.delta - q, 0.0) ** 2)
    assert model.value(u, model.image(u)) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_bregman_distance_and_slope_match_the_value(model, size):
    problem, model, rng, shape = model
    u, step = rng.standard_normal(shape), size * rng.standard_normal(shape)
    z, moved = model.image(u), model.image(step)

    def smooth(z):
        zero = np.zeros(shape)
        return model.value(zero, z) - problem.lam * problem.penalty.value(zero)

    expected = smooth(z + moved) - smooth(z) - np.vdot(model.slope(z), moved)
    assert model.bregman(moved, z) == pytest.approx(expected, rel=1e-9)
    tiny = 1e-9 * moved
    assert model.bregman(0.5 * tiny, z) == pytest.approx(0.25 * model.bregman(tiny, z), rel=1e-6)


def test_lipschitz_constant_bounds_the_curvature(model):
    _, model, rng, shape = model
    u = rng.standard_normal(shape)
    bound = model.lipschitz()
    for _ in range(20):
        step = rng.standard_normal(shape)
        assert 2.0 * model.bregman(model.image(step), model.image(u)) <= bound * np.sum(step**2)


def test_multipliers_are_signed_updates(model):
    _, model, rng, shape = model
    before = model.sparse_multipliers().toarray()
    z = model.image(rng.standard_normal(shape))
    violations = -z[:, model._c :].T
    model.update_multipliers(z)
    after = model.sparse_multipliers().toarray()
    np.testing.assert_allclose(after, np.maximum(before + model.delta * violations, 0.0))
    assert (after < before).any()


@pytest.mark.parametrize("screen", [True, False])
def test_time_limit_ends_within_a_subproblem(screen):
    """With a clock that advances one second per call, a subproblem of 2,000 iterations is cut short."""
    problem = make_problem("relu", penalty="l1", n_gates=20)
    clock = itertools.count().__next__
    limits = Limits(tol=1e-12, max_iter=10**6, time_limit=100.0, now=lambda: float(clock()))
    raw = cr.AugmentedLagrangian(screen=screen).run(problem, None, limits)
    assert raw.status == "time_limit"
    assert 0 < raw.n_iter < 200
