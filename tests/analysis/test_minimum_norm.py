"""Equivalence of gated and ReLU networks without regularisation, and where it fails."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from tests.helpers.cases import make_data
from tests.helpers.needs import needs


def make(kind, shape="tripled", penalty="group_l1", seed=0, n_gates=5, c=1, lam=0.0):
    X = make_data(shape, seed)
    y = np.random.default_rng(seed + 1).standard_normal((len(X), c))
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    return cls(X, y, cr.sample_patterns(X, n_gates, seed=seed), lam, penalty=penalty)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from(["tall", "wide", "doubled", "tripled"]), st.sampled_from([1, 2]))
def test_equivalence_without_regularisation(seed, shape, c):
    """For non-singular patterns, decomposing the gated least-squares fit gives a ReLU network of the same value."""
    gated, relu = make("gated", shape, seed=seed, c=c), make("relu", shape, seed=seed, c=c)
    assert not relu.patterns.is_singular(relu.X).any()
    U = cr.LeastSquares().run(gated, None, limits()).weights
    V, W = cr.decompose(relu, U)
    assert relu.violation((V, W)) == 0.0
    scale = max(np.abs(V).max(), np.abs(W).max(), 1.0)
    assert relu.objective((V, W)) == pytest.approx(gated.objective(U), rel=1e-9, abs=1e-18 * scale**2)


def limits():
    from cvxrelu.solvers.interface import Limits

    return Limits(tol=1e-12, max_iter=1000)


@pytest.mark.parametrize("shape", ["tripled", "doubled"])
def test_clarabel_finds_equal_optimal_values(shape):
    gated, relu = make("gated", shape), make("relu", shape)
    reference = [np.linalg.norm(problem.Y - fit(problem)) ** 2 / (2 * problem.n) for problem in (gated, relu)]
    assert reference[0] == pytest.approx(reference[1], rel=1e-6, abs=1e-9)


def fit(problem):
    program = problem.to_cvxpy()
    program.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10)
    return program.var_dict["f"].value


# Singular patterns: the equivalence fails (arXiv 2202.01331, v4, corrects the theorem to non-singular gates)


def opposite_rows():
    """x_2 = -x_1, both active: a gated neuron fits y = (1, -1), but a ReLU neuron of this pattern is zero."""
    X, y = np.array([[1.0], [-1.0]]), np.array([1.0, -1.0])
    return X, y, cr.ActivationPatterns(np.ones((2, 1), dtype=bool))


def sparse_gate():
    """The gate ignores the first feature, so it is active on both x and -x."""
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 1.0]])
    return X, np.array([1.0, -1.0, 0.0]), cr.ActivationPatterns.from_gates(X, np.array([[0.0], [1.0]]))


@pytest.mark.parametrize("data", [opposite_rows, sparse_gate])
def test_equivalence_fails_for_singular_patterns(data):
    X, y, patterns = data()
    assert patterns.is_singular(X).all()
    gated = cr.ConvexGatedReLU(X, y, patterns, 0.0)
    relu = cr.ConvexReLU(X, y, patterns, 0.0)
    assert np.linalg.norm(fit(gated)[:, 0] - y) <= 1e-6 or data is sparse_gate
    gated_value = np.linalg.norm(fit(gated)[:, 0] - y) ** 2
    relu_value = np.linalg.norm(fit(relu)[:, 0] - y) ** 2
    assert relu_value == pytest.approx(2.0, abs=1e-6)  # rows x and -x stay at zero
    assert relu_value - gated_value > 1.5
    with pytest.raises(ValueError, match="singular"):
        cr.decompose(relu, cr.LeastSquares().run(gated, None, limits()).weights)
    with pytest.raises(cr.SolverError, match="finds 1"):
        cr.minimum_norm(relu)


def test_adding_a_non_singular_gate_restores_the_equivalence():
    X, y, _ = opposite_rows()
    patterns = cr.ActivationPatterns(np.array([[1, 1, 0], [1, 0, 1]]))
    relu = cr.ConvexReLU(X, y, patterns, 0.0)
    assert np.linalg.norm(fit(relu)[:, 0] - y) <= 1e-6


# The minimum-norm fit


@pytest.mark.parametrize("penalty", ["group_l1", "l1", "feature_group_l1"])
@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize(("shape", "c"), [("tripled", 1), ("tripled", 2), ("wide", 1), ("tall", 1)])
def test_minimum_norm_is_certified(kind, penalty, shape, c):
    problem = make(kind, shape, penalty, c=c)
    result = cr.minimum_norm(problem)
    assert result.rel_gap <= 1e-5
    assert result.residual <= 1e-10
    assert problem.violation(result.weights) <= 1e-12
    assert problem.penalty.value(problem.blocks(result.weights)) == result.norm
    # The residual is orthogonal to the columns of A: the prediction is the least-squares one.
    assert np.abs(problem.operator.adjoint(problem.Y - result.prediction)).max() <= 1e-9


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_minimum_norm_is_the_limit_of_regularised_solutions(kind):
    problem = make(kind)
    result = cr.minimum_norm(problem)
    norms = []
    for lam in (1e-2, 1e-4, 1e-6):
        weights = cr.solve(problem.with_lam(lam), "CLARABEL", tol=1e-9).weights
        norms.append(problem.penalty.value(problem.blocks(weights)))
    assert norms == sorted(norms)
    assert norms[-1] <= result.norm * (1 + 1e-6)
    assert norms[-1] == pytest.approx(result.norm, rel=1e-2)


def test_no_other_fit_has_a_smaller_norm():
    problem = make("gated", "wide", n_gates=8)
    result = cr.minimum_norm(problem)
    other = cr.LeastSquares().run(problem, None, limits()).weights
    assert np.allclose(problem.predict(other), result.prediction, atol=1e-10)
    assert problem.penalty.value(other) >= result.lower
    rng = np.random.default_rng(0)
    for _ in range(20):  # weights + random elements of the null space of A
        U = result.weights + rng.standard_normal(result.weights.shape)
        back = cr.ConvexGatedReLU(problem.X, problem.predict(U) - result.prediction, problem.patterns, 0.0)
        U = U - cr.LeastSquares().run(back, None, limits()).weights
        assert np.allclose(problem.predict(U), result.prediction, atol=1e-9)
        assert problem.penalty.value(U) >= result.lower


def test_nuclear_norm():
    assert cr.minimum_norm(make("gated", "tripled", "nuclear", c=2)).rel_gap <= 1e-5


@needs("ecos")
def test_other_solvers():
    problem = make("relu")
    assert cr.minimum_norm(problem, "ECOS").norm == pytest.approx(cr.minimum_norm(problem).norm, rel=1e-5)


def test_bad_arguments_are_rejected():
    problem = make("gated")
    with pytest.raises(ValueError, match="loss must be 'squared'"):
        cr.minimum_norm(cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, loss="huber"))
    with pytest.raises(ValueError, match="penalty must be a norm"):
        cr.minimum_norm(make("gated", penalty="squared_l2"))
    with pytest.raises(ValueError, match="solver must be one of"):
        cr.minimum_norm(problem, "NOPE")
