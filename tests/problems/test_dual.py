"""Dual points: weak duality, feasibility, any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from tests.helpers.cases import (
    GATED_PENALTIES,
    LOSSES,
    RELU_PENALTIES,
    all_cases,
    make_data,
    make_problem,
    random_weights,
)

CASES = list(all_cases())
CLASSES = (cr.ConvexGatedReLU, cr.ConvexReLU)


@settings(max_examples=60)
@given(st.sampled_from(CASES), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-4, 0.03, 0.9, 3.0]))
def test_weak_duality(case, seed, ratio):
    """The value of any dual point made feasible is at most the objective of any feasible primal point."""
    rng = np.random.default_rng(seed)
    problem = make_problem(case.kind, case.loss, case.penalty, shape=case.shape, c=case.c, ratio=ratio)
    weights = random_weights(problem, rng)
    t = rng.standard_normal(problem.Y.shape) * 10.0 ** rng.integers(-6, 2)
    point = problem.dual_point(t)
    upper = problem.objective(weights)
    assert point.value <= upper + 1e-9 * max(1.0, abs(upper))
    assert problem.dual_objective(point.t, point.multipliers) == pytest.approx(point.value, abs=1e-10)


@settings(max_examples=30)
@given(st.sampled_from([case for case in CASES if case.kind == "relu"]), st.integers(0, 2**32 - 1))
def test_any_multipliers_give_a_valid_bound(case, seed):
    rng = np.random.default_rng(seed)
    problem = case.build()
    shape = (2 * problem.n_outputs * len(problem.patterns), problem.n)
    multipliers = rng.random(shape) * (rng.random(shape) < 0.2) * problem.lam
    point = problem.dual_point(rng.standard_normal(problem.Y.shape) * problem.lam, multipliers)
    upper = problem.objective(random_weights(problem, rng))
    assert point.value <= upper + 1e-9 * max(1.0, abs(upper))


@pytest.mark.parametrize("case", [case for case in CASES if case.penalty != "none"], ids=str)
def test_solved_dual_points_are_feasible_and_maximal(case):
    problem = case.build()
    solution = cr.solve(problem)
    point = solution.dual
    assert problem.dual_objective(point.t, point.multipliers) == pytest.approx(point.value, rel=1e-9, abs=1e-12)
    if case.penalty != "squared_l2":
        # At an optimum some dual constraint is active: a larger t is infeasible for all multipliers.
        assert problem.dual_objective(1.001 * point.t) == -np.inf


def test_dual_objective_of_an_infeasible_point(data):
    for cls in CLASSES:
        problem = cr.ConvexReLU(*data, lam=1e-3) if cls is cr.ConvexReLU else cr.ConvexGatedReLU(*data, lam=1e-3)
        t = problem.gradient_point(problem.zero_weights())
        assert problem.dual_objective(t) == -np.inf
        assert np.isfinite(problem.dual_objective(problem.dual_point(t).t))


@pytest.mark.parametrize(
    ("kind", "penalty"), [("gated", name) for name in GATED_PENALTIES] + [("relu", name) for name in RELU_PENALTIES]
)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.filterwarnings("ignore::cvxrelu.ConvergenceWarning")  # only a feasible point is needed
def test_dual_points_of_any_size_give_valid_bounds(kind, loss, penalty):
    """Products neither underflow to a false proof nor overflow with a warning."""
    problem = make_problem(kind, loss, penalty, shape="tripled", c=3)
    t = np.random.default_rng(0).standard_normal(problem.Y.shape)
    for each in (problem, problem.with_lam(0.0)):
        upper = each.objective(cr.solve(each, "CLARABEL", tol=1e-5).weights)
        for size in (5e-324, 1e-165, 1e-155, 1e-51, 1e51, 1e155, 1e307):
            for direction in (t, -problem.Y):
                point = each.dual_point(size * direction)
                assert point.value <= upper * (1 + 1e-9)
                assert each.dual_objective(point.t, point.multipliers) == pytest.approx(point.value, abs=1e-10)
                assert each.dual_objective(size * direction) <= upper * (1 + 1e-9)


def test_dual_arguments_are_checked(data):
    problem = cr.ConvexReLU(*data)
    t = np.zeros(12)
    with pytest.raises(ValueError, match="t must have the shape"):
        problem.dual_objective(np.zeros(11))
    with pytest.raises(ValueError, match="t must be finite"):
        problem.dual_objective(np.full(12, np.nan))
    with pytest.raises(ValueError, match="multipliers must have shape"):
        problem.dual_objective(t, np.zeros((3, 12)))
    with pytest.raises(ValueError, match=">= 0"):
        problem.dual_objective(t, np.full((2 * len(problem.patterns), 12), -1.0))
    with pytest.raises(ValueError, match="no cones"):
        cr.ConvexGatedReLU(*data).dual_objective(t, np.zeros((10, 12)))


def test_zero_dual_point_bounds_a_loss_by_its_minimum():
    """Every prediction has a loss of at least 1 = -F*(0); a dual point with a smaller value is not returned."""

    class Raised(cr.Squared):
        def value(self, f, Y):
            return super().value(f, Y) + 1.0

        def conjugate(self, t, Y):
            return super().conjugate(t, Y) - 1.0

    X, y = make_data("tall"), np.ones(12)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 3), 0.1, Raised(), "squared_l2")
    point = problem.dual_point(1e3 * np.ones(12))
    assert not point.t.any()
    assert point.value == 1.0


@pytest.mark.parametrize("lam", [0.0, 1e-3])
def test_zero_dual_point_is_unchanged(data, lam):
    point = cr.ConvexReLU(*data, lam=lam).dual_point(np.zeros(12))
    assert not point.t.any()
    assert point.value == 0.0
