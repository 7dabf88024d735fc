import warnings
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import cvxrelu as cr
from cvxrelu.analysis.approximation_bound import condition_numbers
from tests.helpers.cases import make_data, make_targets


def make(shape, loss="squared", c=1, ratio=0.1, seed=0, n_gates=6):
    X = make_data(shape, seed)
    patterns = cr.sample_patterns(X, n_gates, seed=seed)
    problem = cr.ConvexReLU(X, make_targets(loss, X, c, seed), patterns, 1.0, loss=loss)
    return problem.with_lam(ratio * problem.lam_max())


def gated(problem):
    return cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam, problem.loss)


def assert_in_order(problem, U):
    bound = cr.approximation_bound(problem, U)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        exact = cr.solve(problem, "CLARABEL")
    rounding = 1e-9 * max(1.0, exact.objective)
    # The optimum lies between the exact solution's bounds; compare each bound with the one that could refute it.
    assert bound.lower <= exact.objective + rounding
    for upper in (bound.upper_apriori, bound.upper_witness, bound.upper_decomposed):
        assert upper >= exact.lower - rounding
        assert upper >= bound.lower - rounding
    assert problem.objective(bound.weights) == bound.upper_decomposed
    assert problem.violation(bound.weights) <= 1e-12
    return bound, exact


@settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.sampled_from(["tall", "wide", "collinear", "doubled"]),
    st.sampled_from(["squared", "huber", "logistic"]),
    st.sampled_from([1, 3]),
    st.floats(-4.0, -0.1),
    st.booleans(),
)
def test_bounds_are_in_order(seed, shape, loss, c, exponent, solved):
    problem = make(shape, loss, c, 10.0**exponent, seed)
    assume(problem.lam > 1e-12)  # lam_max is 0 to rounding if the targets are balanced
    if solved:
        U = cr.solve(gated(problem), tol=1e-4).weights
    else:  # the bounds hold for any gated weights
        U = np.random.default_rng(seed).standard_normal((c, len(problem.patterns), problem.d))
    bound, _ = assert_in_order(problem, U)
    assert bound.upper_decomposed <= min(bound.upper_apriori, bound.upper_witness) * (1 + 1e-9)


def test_softmax_too():
    problem = make("tall", "softmax", 3)
    assert_in_order(problem, cr.solve(gated(problem)))


def test_a_gated_solution_gives_a_lower_bound_as_good_as_its_own():
    problem = make("tall")
    solution = cr.solve(gated(problem), tol=1e-8)
    bound = cr.approximation_bound(problem, solution)
    assert bound.gated == solution.objective
    assert bound.lower >= solution.objective * (1 - 1e-6)


def test_condition_numbers_bound_the_shortest_part():
    for shape in ("tall", "wide", "doubled"):
        problem = make(shape)
        U = np.random.default_rng(0).standard_normal((1, len(problem.patterns), problem.d))
        kappa = condition_numbers(problem, U)
        for i in range(len(problem.patterns)):
            R = np.where(problem.patterns.D[:, [i]], 1.0, -1.0) * problem.X
            w = cp.Variable(problem.d)
            length = cp.Problem(cp.Minimize(cp.norm(w)), [R @ w >= 0, R @ (w + U[0, i]) >= 0]).solve("CLARABEL")
            assert length <= kappa[0, i] * np.linalg.norm(U[0, i]) * (1 + 1e-7) + 1e-7


def test_full_row_rank_takes_the_condition_number_of_the_data():
    problem = make("wide")
    U = np.ones((1, len(problem.patterns), problem.d))
    U[0, 0] = 0.0
    kappa = condition_numbers(problem, U)
    assert kappa[0, 0] == 0.0
    assert kappa[0, 1:] == pytest.approx(np.linalg.cond(problem.X))


def test_one_row_by_hand():
    """u = -3 on the one row x = 1 of an active pattern: the shortest w is 3, along the gate; kappa = 1."""
    patterns = cr.ActivationPatterns(np.array([[True]]), np.array([[1.0]]))
    problem = cr.ConvexReLU(np.array([[1.0]]), np.array([-2.0]), patterns, 0.25)
    bound = cr.approximation_bound(problem, np.array([[[-3.0]]]))
    assert bound.gated == 0.5 * 1.0**2 + 0.25 * 3.0
    assert bound.upper_apriori == pytest.approx(bound.gated + 2.0 * 0.25 * 3.0, rel=1e-12)
    assert bound.upper_witness == pytest.approx(bound.gated + 2.0 * 0.25 * 3.0, rel=1e-12)
    assert bound.upper_decomposed == pytest.approx(bound.gated, rel=1e-12)  # v = 0 costs nothing


def test_condition_numbers_by_hand():
    """kappa is that of X if it has full row rank, else that of the rows that support the shortest w."""
    square = np.diag([1.0, 4.0])
    tall = np.vstack([square, [[2.0, 0.0]]])
    wide = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # n <= d, but of rank one
    for X, expected in ((square, 4.0), (tall, 1.0), (wide, 1.0)):
        patterns = cr.ActivationPatterns(np.ones((len(X), 1), dtype=bool))
        problem = cr.ConvexReLU(X, np.ones(len(X)), patterns, 0.5)
        U = np.zeros((1, 1, X.shape[1]))
        U[0, 0, 0], U[0, 0, 1] = -3.0, 1.0  # w = (3, 0): only rows along the first axis support it
        assert condition_numbers(problem, U) == pytest.approx(expected, rel=1e-9)
        length = np.linalg.norm(U)
        bound = cr.approximation_bound(problem, U)
        assert bound.upper_apriori == pytest.approx(bound.gated + 2.0 * 0.5 * expected * length, rel=1e-9)


def test_singular_patterns_have_no_upper_bound_but_a_feasible_point():
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    patterns = cr.ActivationPatterns(np.array([[1, 1], [1, 0], [1, 1]]))
    problem = cr.ConvexReLU(X, np.array([1.0, -1.0, 0.5]), patterns, 0.01)
    bound, _ = assert_in_order(problem, cr.solve(gated(problem), "CLARABEL"))
    assert np.isinf(bound.condition_numbers).tolist() == [[True, False]]
    assert bound.upper_apriori == bound.upper_witness == np.inf
    assert np.isfinite(bound.upper_decomposed)


def test_real_data():
    X, y = load_breast_cancer(return_X_y=True)
    X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    patterns = cr.sample_patterns(X, 40, seed=0)
    problem = cr.ConvexReLU(X, 2.0 * y - 1.0, patterns, 0.05)
    bound = cr.approximation_bound(problem, cr.solve(gated(problem)))
    exact = cr.solve(problem)
    assert bound.lower <= exact.objective <= bound.upper_decomposed <= bound.upper_apriori
    assert exact.lower <= bound.upper_witness
    assert "a priori" in str(bound)


def test_other_penalties_are_rejected():
    problem = make("tall")
    other = cr.ConvexReLU(problem.X, problem.y, problem.patterns, 0.1, penalty="l1")
    with pytest.raises(ValueError, match="penalty must be 'group_l1'"):
        cr.approximation_bound(other, np.zeros((1, len(problem.patterns), problem.d)))


def test_the_dual_point_of_a_solution_is_a_candidate():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4)) * np.array([1e3, 1.0, 1.0, 1.0])
    y = rng.standard_normal(40)
    patterns = cr.sample_patterns(X, n_gates=10, seed=0)
    problem = cr.ConvexReLU(X, y, patterns, lam=0.01)
    gated = cr.solve(cr.ConvexGatedReLU(X, y, patterns, lam=0.01))
    bound = cr.approximation_bound(problem, gated)
    assert bound.lower >= gated.lower * (1 - 1e-9)
    assert bound.lower <= cr.solve(problem).objective
    assert bound.lower <= bound.upper_decomposed

    # Weights far from the optimum give a poor dual point; the solution's dual point is as good as before.
    poor = cr.certify(problem, problem.zero_weights())
    best = cr.solve(problem)
    kept = cr.certify(problem, replace(best, weights=problem.zero_weights()), dual=problem.gradient_point(poor.weights))
    assert poor.lower < best.lower * (1 - 1e-3)
    assert kept.lower >= best.lower * (1 - 1e-9)
