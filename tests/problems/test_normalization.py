import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.losses.base import RowLoss
from cvxrelu.problems.normalization import normalize
from tests.helpers.cases import GATED_PENALTIES, LOSSES, RELU_PENALTIES, make_problem, random_weights
from tests.helpers.rescaling import rescaled

POWERS = st.integers(-60, 60)


def cases():
    return [
        (kind, loss, penalty)
        for kind, penalties in (("gated", GATED_PENALTIES), ("relu", RELU_PENALTIES))
        for loss in LOSSES
        for penalty in penalties
    ]


@cache
def build(kind, loss, penalty, ratio=0.1):
    # Without regularization, data must not be fitted exactly: the optimum would be zero or not attained.
    shape = "tripled" if penalty == "none" else "tall"
    return make_problem(kind, loss, penalty, c=3 if loss == "softmax" else 1, shape=shape, ratio=ratio)


@settings(max_examples=40)
@given(st.sampled_from(cases()), POWERS, POWERS, st.integers(0, 2**32 - 1))
def test_scaling_and_its_inverse_are_exact(case, x, y, seed):
    problem = rescaled(build(*case), 2.0**x, 2.0**y)
    normal = normalize(problem)
    weights = random_weights(normal.problem, np.random.default_rng(seed))
    mapped = normal.weights(weights)
    np.testing.assert_array_equal(normal.problem.blocks(normal.start(mapped)), normal.problem.blocks(weights))
    assert problem.violation(mapped) == 0.0
    assert problem.objective(mapped) == normal.value(normal.problem.objective(weights))
    point = normal.problem.dual_point(normal.problem.gradient_point(weights))
    t, multipliers = normal.dual(point.t, point.multipliers)
    again = problem.dual_objective(t, multipliers)
    np.testing.assert_allclose(again, normal.value(point.value), rtol=1e-12, atol=normal.value(1e-12))


@settings(max_examples=40)
@given(st.sampled_from(cases()), st.floats(-8.0, 8.0), st.floats(-8.0, 8.0))
def test_normalized_data_have_a_size_of_about_one(case, x, y):
    problem = rescaled(build(*case), 10.0**x, 10.0**y)
    normal = normalize(problem)
    sizes = [normal.problem.X]
    sizes += [normal.problem.Y] if problem.loss.name in ("squared", "huber") else []
    for array in sizes:
        assert 0.7 < np.sqrt(np.mean(array**2)) < 1.42
    np.testing.assert_array_equal(np.ldexp(normal.problem.X, normal.x_exponent), problem.X)
    np.testing.assert_array_equal(np.ldexp(normal.problem.y, normal.y_exponent), problem.y)
    plain = normalize(build(*case)).problem
    ratio = 1.0 if problem.penalty.name == "none" else normal.problem.lam / plain.lam
    assert 1 / 8.1 < ratio < 8.1  # two powers of two, of degree at most 2


@pytest.mark.parametrize("case", cases(), ids="-".join)
def test_gap_and_status_are_independent_of_the_scale(case):
    problem = build(*case)
    plain = cr.solve(problem)
    assert plain.status == "optimal"
    for x, y in ((1e-8, 1e8), (3e8, 1e-8)):
        scaled = rescaled(problem, x, y)
        solution = cr.solve(scaled)
        unit = scaled.objective(scaled.zero_weights()) / problem.objective(problem.zero_weights())
        assert solution.status == "optimal", (x, y, solution)
        assert max(solution.lower, unit * plain.lower) <= min(solution.objective, unit * plain.objective) * (1 + 1e-12)


def test_standardized_data_are_unchanged():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((500, 4)), rng.standard_normal(500)
    problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, 5, seed=0), 0.1)
    assert normalize(problem).problem is problem
    shared = cr.ConvexReLU(X, 1e6 * y, problem.patterns, 0.1)
    cones = shared.cones
    normal = normalize(shared)
    assert normal.problem.X is shared.X
    assert normal.problem.cones is cones


def test_zeros_have_no_size():
    X = np.zeros((3, 2))
    problem = cr.ConvexGatedReLU(X, np.zeros(3), cr.ActivationPatterns(np.ones((3, 1))), 0.1)
    assert normalize(problem).problem is problem


@pytest.mark.parametrize("loss", ["huber", "logistic", "softmax"])
def test_weighted_losses_keep_their_weights_to_the_last_bit(loss):
    problem = make_problem("gated", loss, c=3 if loss == "softmax" else 1)
    weights = np.random.default_rng(0).uniform(0.1, 3.0, problem.n)
    weighted = cr.Weighted(problem.loss, weights)
    big = cr.ConvexGatedReLU(1e3 * problem.X, problem.y, problem.patterns, problem.lam, weighted)
    normal = normalize(big)
    assert isinstance(normal.problem.loss, cr.Weighted)
    np.testing.assert_array_equal(normal.problem.loss.weights, weighted.weights)
    assert isinstance(normal.problem.loss.loss, RowLoss)
    w = random_weights(normal.problem, np.random.default_rng(1))
    assert big.objective(normal.weights(w)) == normal.value(normal.problem.objective(w))


def test_large_targets_of_the_report():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((200, 4)), np.ones(200)])
    y = 2e5 + 1e5 * rng.standard_normal(200)
    patterns = cr.sample_patterns(X, 10, seed=0)
    for loss, penalty in (("squared", "squared_l2"), ("squared", "none"), ("huber", "l1")):
        solution = cr.solve(cr.ConvexReLU(X, y, patterns, 0.01, loss, penalty))
        assert solution.status == "optimal", (loss, penalty, solution)


class Count(cr.SquaredL2):
    """A user-defined penalty that does not declare a degree."""

    degree = None


def test_penalty_of_unknown_degree_is_not_normalized():
    problem = make_problem("gated", "squared", "squared_l2")
    other = cr.ConvexGatedReLU(1e4 * problem.X, 1e4 * problem.y, problem.patterns, 0.1, penalty=Count())
    assert normalize(other).problem is other
    assert normalize(other.with_lam(0.0)).problem is not other


def test_no_warnings():
    problem = rescaled(make_problem("relu", "squared", "l1"), 1e8, 1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cr.solve(problem).status == "optimal"


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_data_of_any_size_in_the_range_of_float64(kind, size):
    plain = build(kind, "squared", "group_l1")
    big = rescaled(plain, size)
    expected = cr.solve(plain)
    solution = cr.solve(big)
    assert solution.status == "optimal"
    np.testing.assert_allclose(big.lam_max(), size * plain.lam_max(), rtol=1e-12)
    assert max(solution.lower, expected.lower) <= min(solution.objective, expected.objective) * (1 + 1e-12)
    assert abs(big.objective(solution.weights) - solution.objective) <= 1e-12 * solution.objective
    again = cr.certify(big, solution)
    assert again.rel_gap <= 1e-6


def test_weights_beyond_the_range_of_float64_are_refused():
    problem = rescaled(build("gated", "squared", "group_l1"), 1e-310)
    with pytest.raises(ValueError, match="weights are about 2.* beyond the range of float64: rescale X"):
        cr.solve(problem)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("y", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_exact_fits_are_optimal(kind, y, loss):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((20, 4)), np.ones(20)])
    patterns = cr.sample_patterns(X, 10, seed=0)
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls(X, y * rng.standard_normal(20), patterns, 0.0, "squared" if loss == "squared" else cr.Huber(y))
    zero = problem.objective(problem.zero_weights())
    solution = cr.solve(problem, "CLARABEL")
    assert solution.objective < 1e-18 * zero
    assert solution.status == "optimal"
    assert problem.resolution < 1e-18 * zero
    poor = cr.certify(problem, problem.weights(0.9999999 * problem.blocks(solution.weights)))
    assert not poor.within(1e-6)  # off by 1e-7 of each target
