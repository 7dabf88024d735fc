"""Gap-safe screening: screened patterns are zero at the optimum, and paths agree with Clarabel."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.solvers.screening import gap_safe, pattern_norms
from tests.helpers.cases import make_problem


def screen(problem, weights):
    """Return the mask of patterns proved zero by the dual point of the weights."""
    feasible = problem.repair(weights)
    t = problem.gradient_point(feasible)
    values, multipliers = problem.dual_constraint_values(t)
    point = problem.dual_point(t, multipliers)
    gap = problem.objective(feasible) - point.value
    scale = np.linalg.norm(point.t) / np.linalg.norm(t)
    return gap_safe(problem, scale * values, point.value, gap, pattern_norms(problem))


def solved(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        return cr.solve(problem, "CLARABEL", tol=1e-8)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["gated", "relu"]),
    loss=st.sampled_from(["squared", "logistic", "huber", "softmax"]),
    penalty=st.sampled_from(["group_l1", "l1", "nuclear"]),
    ratio=st.sampled_from([0.8, 0.3, 0.05]),
    seed=st.integers(0, 1000),
    size=st.sampled_from([0.0, 1e-6, 1e-4, 1e-2]),
)
def test_screened_patterns_can_be_dropped(kind, loss, penalty, ratio, seed, size):
    if kind == "relu" and penalty == "nuclear":
        penalty = "group_l1"
    c = 3 if loss == "softmax" or seed % 2 else 1
    problem = make_problem(kind, loss, penalty, c=c, ratio=ratio, seed=seed, n_gates=12)
    optimum = solved(problem)
    blocks = problem.blocks(optimum.weights)
    noise = np.random.default_rng(seed).standard_normal(blocks.shape)
    zero = screen(problem, problem.weights(blocks + size * noise))
    assert np.linalg.norm(blocks[..., zero, :]) <= 1e-2 * max(np.linalg.norm(blocks), 1e-6)
    if zero.any() and not zero.all():
        rest = solved(problem.restrict(np.flatnonzero(~zero)))
        rounding = 1e-12 * max(1.0, abs(optimum.objective))
        assert abs(rest.objective - optimum.objective) <= rest.gap + optimum.gap + rounding


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_most_inactive_patterns_are_screened_out_near_the_optimum(kind):
    problem = make_problem(kind, ratio=0.5, n_gates=30)
    optimum = solved(problem)
    blocks = problem.blocks(optimum.weights)
    inactive = ~np.any(blocks > 1e-5, axis=(*range(blocks.ndim - 2), -1))
    zero = screen(problem, optimum.weights)
    assert zero.sum() >= 0.5 * inactive.sum() > 0
    assert not screen(problem, problem.zero_weights()).any()


@pytest.mark.parametrize("penalty", ["group_l1", "l1", "nuclear"])
def test_pattern_norms_bound_the_norms_of_the_masked_data(penalty):
    problem = make_problem("gated", penalty=penalty, shape="collinear")
    masked = [np.linalg.norm(problem.patterns.D[:, [i]] * problem.X, 2) for i in range(len(problem.patterns))]
    assert np.all(pattern_norms(problem) >= np.array(masked) * (1 - 1e-12))


def test_paths_with_screening_agree_with_clarabel():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4))
    y = np.abs(X[:, 0]) - X[:, 1]
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 80))
    path = cr.regularization_path(problem, n_lams=6, eps=0.05, tol=1e-7)
    for solution in path.solutions:
        reference = solved(solution.problem)
        assert solution.status == "optimal"
        assert abs(solution.objective - reference.objective) <= solution.gap + reference.gap + 1e-12
