"""WorkingSet on C-GReLU: agreement with Clarabel and honest certificates; its parts are tested in other files."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from tests.helpers.cases import LOSSES, all_cases, assert_agrees, assert_honest, make_problem
from tests.helpers.working_sets import SEPARABLE, TOL, many_patterns, outputs, solve

CASES = [case for case in all_cases() if case.kind == "gated" and case.penalty in SEPARABLE]
BAD_COLUMNS = (1e-4, 1.0, 1e4)


# Agreement with Clarabel


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_for_every_loss_and_penalty(case):
    problem = case.build()
    assert_agrees(problem, solve(problem, tol=TOL), TOL)


@pytest.mark.parametrize("penalty", SEPARABLE)
@pytest.mark.parametrize("shape", ["wide", "doubled"])
@pytest.mark.parametrize("loss", LOSSES)
def test_agrees_with_three_outputs(loss, shape, penalty):
    problem = make_problem("gated", loss, penalty, shape=shape, c=3)
    assert_agrees(problem, solve(problem, tol=TOL), TOL)


@pytest.mark.parametrize("ratio", [0.9, 0.1, 1e-2, 1e-4])
@pytest.mark.parametrize("shape", ["tall", "wide", "collinear"])
@pytest.mark.parametrize("loss", LOSSES)
def test_agrees_from_near_lam_max_to_near_zero(loss, shape, ratio):
    problem = make_problem("gated", loss, shape=shape, c=outputs(loss), ratio=ratio)
    tol = 1e-5 if (loss, shape, ratio) == ("softmax", "collinear", 1e-4) else TOL  # see the end for 1e-7
    assert_agrees(problem, solve(problem, tol=tol), tol)


@pytest.mark.parametrize("penalty", ["l1", "nuclear"])
@pytest.mark.parametrize("ratio", [0.9, 1e-2])
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_other_penalties_agree_near_lam_max_and_below(loss, ratio, penalty):
    problem = make_problem("gated", loss, penalty, c=3, ratio=ratio)
    assert_agrees(problem, solve(problem, tol=TOL), TOL)


def test_zero_rows_change_only_the_mean():
    problem = make_problem("gated")
    X, y = np.vstack([problem.X, np.zeros((5, problem.d))]), np.append(problem.y, np.zeros((5, 1)))
    D = np.vstack([problem.patterns.D, np.ones((5, len(problem.patterns)), dtype=bool)])
    longer = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(D), lam=problem.lam * problem.n / len(X))
    solution, more = solve(problem, tol=1e-9), solve(longer, tol=1e-9)
    assert_agrees(longer, more, 1e-9)
    assert more.objective * len(X) == pytest.approx(solution.objective * problem.n, rel=1e-8)


def test_repeated_rows_change_nothing():
    problem = make_problem("gated")
    X, y, D = (np.repeat(a, 3, axis=0) for a in (problem.X, problem.y, problem.patterns.D))
    longer = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(D), lam=problem.lam)
    solution, more = solve(problem, tol=1e-9), solve(longer, tol=1e-9)
    assert_agrees(longer, more, 1e-9)
    assert more.objective == pytest.approx(solution.objective, rel=1e-8)


# Growing working sets and dropped patterns


@pytest.mark.parametrize("penalty", SEPARABLE)
@pytest.mark.parametrize(("loss", "c"), [("squared", 1), ("huber", 3), ("logistic", 1), ("softmax", 3)])
def test_many_patterns(loss, c, penalty):
    problem = many_patterns(loss, penalty, c, n_gates=30 if penalty == "nuclear" else 200)  # Clarabel takes long
    assert len(problem.patterns) > 25
    solution = solve(problem, tol=TOL)
    assert_agrees(problem, solution, TOL)
    reference = solve(problem, solver=cr.RFISTA(screen=False, max_iter=300), tol=1e-3)
    assert solution.lower <= reference.objective
    assert reference.lower <= solution.objective


@pytest.mark.parametrize("tol", [0.3, 1e-1, 1e-2, 1e-4])
@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.03])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_loose_tolerances_are_met_over_all_patterns(loss, ratio, tol):
    """The dual point must be feasible for dropped patterns too, or the certificate would be looser."""
    problem = many_patterns(loss, ratio=ratio)
    solution = solve(problem, tol=tol)
    assert solution.status == "optimal"
    assert cr.certify(problem, solution.weights, solution.dual).rel_gap <= tol


def test_the_history_claims_no_more_than_the_certificate():
    problem = many_patterns("logistic", ratio=0.2)
    optimum = solve(problem, tol=1e-9)
    solution = solve(problem, tol=1e-6)
    for record in solution.history:
        assert record.lower <= optimum.objective
        assert record.objective >= optimum.lower
    assert solution.history[-1].objective == pytest.approx(solution.objective, rel=1e-12)


# Precision and scale


@pytest.mark.parametrize("penalty", SEPARABLE)
@pytest.mark.parametrize("loss", LOSSES)
def test_float32_agrees_to_its_accuracy(loss, penalty):
    problem = make_problem("gated", loss, penalty, c=3, dtype=np.float32)
    assert_agrees(problem, solve(problem, tol=1e-4), 1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_float32_is_honest_beyond_its_accuracy(loss):
    problem = many_patterns(loss, c=3, dtype=np.float32)
    solution = solve(problem, tol=1e-12, max_iter=100)
    assert_honest(problem, solution, 1e-12)
    assert solution.certificate.rel_gap <= 1e-5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", ["tall", "wide"])
@pytest.mark.parametrize("loss", LOSSES)
def test_honest_on_badly_scaled_columns(loss, shape, dtype):
    problem = make_problem("gated", loss, shape=shape, c=outputs(loss), columns=BAD_COLUMNS, dtype=dtype)
    solution = solve(problem, tol=1e-6, max_iter=200)
    assert_honest(problem, solution, 1e-6)
    assert solution.objective <= problem.objective(problem.zero_weights())


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_the_unit_of_X_does_not_matter(loss, size):
    """Scaling X and lam by a factor, and weights by its inverse, gives an equivalent problem."""
    problem = make_problem("gated", loss, shape="wide")
    scaled = cr.ConvexGatedReLU(
        size * problem.X, problem.y, cr.ActivationPatterns(problem.patterns.D), size * problem.lam, loss
    )
    solution, other = solve(problem, tol=1e-8), solve(scaled, tol=1e-8)
    assert other.status == "optimal"
    assert other.objective == pytest.approx(solution.objective, rel=2e-8)
    assert other.n_iter <= 2 * solution.n_iter + 5


def test_arrays_of_the_caller_are_not_modified():
    problem = make_problem("gated", c=3)
    start = np.random.default_rng(0).standard_normal((3, len(problem.patterns), problem.d))
    before = start.copy()
    solve(problem, start=start)
    np.testing.assert_array_equal(start, before)


def test_solves_are_reproducible():
    problem = many_patterns()
    one, two = solve(problem, tol=TOL), solve(problem, tol=TOL)
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.n_iter == two.n_iter


# Any problem


@st.composite
def any_problem(draw):
    loss = draw(st.sampled_from(LOSSES))
    return make_problem(
        "gated",
        loss,
        draw(st.sampled_from(SEPARABLE)),
        shape=draw(st.sampled_from(["tall", "wide", "collinear", "doubled"])),
        c=3 if loss == "softmax" else draw(st.sampled_from([1, 3])),
        ratio=10.0 ** draw(st.floats(-3.0, -0.02)),
        n_gates=draw(st.sampled_from([6, 30])),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=25)
@given(any_problem(), st.sampled_from([1e-3, 1e-6, 1e-9]))
def test_optimal_if_and_only_if_certified(problem, tol):
    assume(problem.lam > 1e-12)  # lam_max is 0 to rounding for balanced targets
    solution = solve(problem, tol=tol, max_iter=150)
    assert solution.status in ("optimal", "stalled", "max_iter")  # never "inaccurate": the stop rule is the gap
    assert_honest(problem, solution, tol)
    recomputed = cr.certify(problem, solution.weights)
    assert recomputed.upper == solution.objective
    assert recomputed.lower <= solution.objective


# Near lam_max


def test_a_little_below_lam_max():
    problem = make_problem("gated", ratio=0.999)
    assert_agrees(problem, solve(problem, tol=TOL), TOL)


@pytest.mark.parametrize(("loss", "below"), [("squared", 1e-5), ("squared", 1e-9), ("logistic", 1e-13)])
def test_just_below_lam_max(loss, below):
    """Zero weights are within tol, and few Newton steps are needed to prove it."""
    problem = make_problem("gated", loss, ratio=1.0 - below)
    assert_agrees(problem, solve(problem, tol=1e-3, max_iter=5), 1e-3)


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_the_history_in_float32_claims_no_more_than_the_truth(loss):
    problem = many_patterns(loss, c=3, dtype=np.float32)
    double = cr.ConvexGatedReLU(
        problem.X.astype(np.float64), problem.y.astype(np.float64), problem.patterns, problem.lam, loss
    )
    optimum = solve(double, tol=1e-11, max_iter=100)
    solution = solve(problem, tol=1e-12, max_iter=100)
    assert all(record.lower <= optimum.objective * (1 + 1e-13) for record in solution.history)
    assert solution.history[-1].objective >= optimum.lower * (1 - 1e-13)
    assert solution.status != "inaccurate"


@pytest.mark.parametrize(
    ("problem", "tol", "max_iter"),
    [
        ({"loss": "softmax", "shape": "collinear", "c": 3, "ratio": 1e-4}, 1e-7, 110),
        ({"loss": "logistic", "penalty": "l1", "ratio": 0.0092, "n_gates": 30, "seed": 971598}, 1e-9, 300),
        ({"loss": "logistic", "penalty": "nuclear", "c": 3, "ratio": 1.8e-4, "seed": 245066}, 1e-6, 60),
    ],
    ids=["softmax", "l1", "nuclear"],
)
def test_hard_problems_of_twelve_rows(problem, tol, max_iter):
    problem = make_problem("gated", **problem)
    assert_agrees(problem, solve(problem, tol=tol, max_iter=max_iter), tol)


def test_unsolved_problems_are_reported_as_such():
    """Five patterns, a tiny lam and coupled outputs: conjugate gradients fail and Newton steps are short."""
    problem = make_problem("gated", "softmax", c=3, ratio=0.0003, seed=442688)
    assert_honest(problem, solve(problem, tol=1e-6, max_iter=200), 1e-6)


@pytest.mark.parametrize("lam", [1e-3, 1e-4, 1e-5])
def test_separable_classes_with_large_weights(lam):
    """Some labels have probabilities of 1e-19 at the optimum: a long first step from an old t overshot for good."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((45, 2)), np.ones(45)])
    y = np.where(X[:, 0] > 0.0, 1.0, -1.0)
    X[:, :2] = (X[:, :2] - X[:, :2].mean(axis=0)) / X[:, :2].std(axis=0)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 8, seed=1), lam, "logistic")
    assert_agrees(problem, cr.solve(problem, "WorkingSet"), 1e-6)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("ratio", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("seed", range(2))
def test_class_and_weight_ratios_of_ten_thousand(kind, ratio, seed):
    """One row of the rare class weighs as much as ten thousand: its entry of t reached the boundary first."""
    rng = np.random.default_rng(seed)
    n = 60
    X = np.column_stack([np.exp(rng.standard_normal((n, 3))), np.ones(n)])
    y = np.where(np.arange(n) == 7, 1.0, -1.0)
    weights = np.where(y > 0.0, 1e4, 1.0) if seed == 0 else 10.0 ** rng.uniform(-4.0, 0.0, n)
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls(X, y, cr.sample_patterns(X, 8, seed=0), 1.0, cr.Weighted("logistic", weights))
    problem = problem.with_lam(ratio * problem.lam_max())
    assert_agrees(problem, solve(problem, tol=1e-6, max_iter=150), 1e-6)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_a_class_of_a_single_row(kind):
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(600, 10)))
    y = -np.ones(600)
    y[rng.integers(600)] = 1.0
    X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(600)])
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls(X, y, cr.sample_patterns(X, 30, seed=0), 1e-3, "logistic")
    solution = solve(problem, tol=1e-6, max_iter=60)
    assert solution.status == "optimal"
