"""Bounds of scope "global" for networks: rank one to four, relaxations, saved proofs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.pricing.exact import exact_maximum
from reference import programs as oracle
from tests.helpers.cases import make_data, make_targets
from tests.helpers.random_networks import LAM, SEEDS, one_feature, random_network


def all_patterns(X):
    """Return all non-singular patterns of X (n, 2), from a gate inside each arc."""
    angles = np.arctan2(X[:, 1], X[:, 0])
    switches = np.unique(np.round(np.concatenate([angles - np.pi / 2, angles + np.pi / 2]) % (2 * np.pi), 12))
    middles = 0.5 * (switches + np.append(switches[1:], switches[0] + 2 * np.pi))
    return cr.ActivationPatterns.from_gates(X, np.stack([np.cos(middles), np.sin(middles)]))


@pytest.mark.parametrize("seed", range(3))
def test_global_optimum_of_one_feature(seed):
    """With all patterns, the bound over all networks equals the oracle's optimum."""
    X, y = one_feature(14, seed)
    rows = np.column_stack([X, np.ones(14)])
    patterns = all_patterns(rows)
    network = random_network(rows, 4, np.random.default_rng(seed))
    certificate = cr.certify_network(network, rows, y, 1e-2, patterns=patterns, scope="global", tol=1e-9)
    D = np.asarray(patterns.D).astype(float)
    problem = oracle.c_relu(rows, y, D, 1e-2).problem
    problem.solve(solver="CLARABEL")
    assert certificate.scope == "global"
    assert certificate.improved_objective == pytest.approx(problem.value, rel=1e-6)
    assert certificate.lower == pytest.approx(problem.value, rel=1e-6)
    assert certificate.lower <= certificate.improved_objective * (1 + 1e-12)
    assert certificate.improved_neuron.exact
    assert certificate.improved_neuron.value == pytest.approx(1e-2, rel=1e-4)


@settings(max_examples=20)
@given(SEEDS, st.sampled_from(["squared", "logistic", "huber"]))
def test_a_global_bound_holds_for_other_networks(seed, loss):
    X, y = one_feature(30, seed % 1000)
    y = np.where(y > 0.0, 1.0, -1.0) if loss == "logistic" else y
    rng = np.random.default_rng(seed)
    arrays = rng.standard_normal((3, 1)), rng.standard_normal(3), rng.standard_normal(3)
    certificate = cr.certify_network(arrays, X, y, 1e-2, loss, scope="global")
    problem = certificate.problem
    assert exact_maximum(problem.X, certificate.dual.t[:, 0])[0] <= 1e-2 * (1 + 1e-12)
    value = -problem.loss.conjugate(certificate.dual.t, problem.Y)
    assert certificate.lower == pytest.approx(value, rel=1e-12)
    assert certificate.lower <= value * (1.0 + 1e-15)
    complete = cr.solve(cr.ConvexReLU(problem.X, y, all_patterns(problem.X), 1e-2, loss))
    assert certificate.lower <= complete.objective * (1 + 1e-12)
    assert certificate.lower <= certificate.certificate.lower * (1 + 1e-9)  # that of fewer networks


@pytest.mark.parametrize("shape", ["tall", "collinear", "doubled", "wide"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
def test_global_scope_of_any_rank(shape, loss):
    """Compare with the program over all enumerated patterns, with and without a solve."""
    X = make_data(shape)[:, :4]
    y = make_targets(loss, X, 1)[:, 0]
    network = random_network(X, 5, np.random.default_rng(0))
    certificate = cr.certify_network(network, X, y, LAM, loss, scope="global")
    every = cr.solve(cr.ConvexReLU(X, y, cr.enumerate_patterns(X), LAM, loss), tol=1e-7)
    assert certificate.lower == pytest.approx(every.objective, rel=2e-6)
    assert certificate.lower <= every.objective
    assert certificate.improved_objective == pytest.approx(every.objective, rel=2e-6)
    assert certificate.improved_neuron.value <= LAM * (1 + 1e-3)
    assert certificate.proof.method == "branch_and_bound"
    assert "any patterns" in str(certificate)
    own = cr.certify_network(network, X, y, LAM, loss, scope="global", solve=False)
    assert own.improved is None
    assert 0.0 <= own.lower <= every.objective
    assert own.upper == certificate.upper
    better = cr.certify_network(certificate.improved, X, y, LAM, loss, scope="global", solve=False)
    assert better.rel_gap <= 1e-4
    assert better.proof.method in ("branch_and_bound", "relaxation")  # whichever is better


@pytest.mark.parametrize("solve", [True, False])
@pytest.mark.parametrize("features", [1, 3])
def test_a_proof_of_global_scope_can_be_saved(tmp_path, features, solve):
    X = make_data("tall")[:, :features]
    y = make_targets("squared", X, 1)[:, 0]
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((3, features)), rng.standard_normal(3), rng.standard_normal(3)
    certificate = cr.certify_network(arrays, X, y, LAM, scope="global", solve=solve)
    certificate.save(tmp_path / "network.cert")
    verdict = cr.load_certificate(tmp_path / "network.cert").verify(certificate.problem.X, y)
    assert verdict.statement["scope"] == "global"
    assert verdict.lower == pytest.approx(certificate.lower, rel=1e-7)
    assert verdict.lower <= verdict.upper <= certificate.upper * (1 + 1e-9)
    with pytest.raises(FileExistsError):
        certificate.save(tmp_path / "network.cert")


def test_global_scope_of_high_rank_is_bounded_by_the_relaxation():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 14))
    y = np.maximum(X[:, 0], 0.0) - np.maximum(X[:, 1], 0.0)
    network = random_network(X, 4, rng)
    certificate = cr.certify_network(network, X, y, LAM, scope="global", solve=False)
    assert certificate.proof.method == "relaxation"
    with pytest.warns(cr.ConvergenceWarning, match="unproven"):
        solved = cr.certify_network(network, X, y, LAM, scope="global")
    assert 0.0 < certificate.lower <= solved.improved_objective < certificate.upper
    assert solved.lower == pytest.approx(certificate.lower, rel=1e-3)


def test_the_proof_over_the_patterns_can_be_saved(tmp_path):
    X, y = one_feature()
    arrays = np.ones((2, 1)), np.array([0.5, -0.3]), np.array([1.0, -1.0]), 0.3
    certificate = cr.certify_network(arrays, X, y, 1e-3)
    certificate.certificate.save(tmp_path / "network.npz")
    verdict = cr.load_certificate(tmp_path / "network.npz").verify(certificate.problem.X, y)
    assert verdict.lower == pytest.approx(certificate.lower, rel=1e-9)
    assert verdict.upper <= certificate.upper * (1 + 1e-9)


def test_scopes_that_cannot_be_proven_are_rejected():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    network = random_network(X, 3, rng)
    with pytest.raises(ValueError, match="lam must be > 0 for scope 'global'"):
        cr.certify_network(network, X, y, 0.0, scope="global")
    with pytest.raises(ValueError, match="scope must be one of 'global', 'patterns'; got 'all'"):
        cr.certify_network(network, X, y, LAM, scope="all")
    two = cr.ReLUNetwork(network.W1[:2], np.eye(2))
    with pytest.raises(ValueError, match="scope must be 'patterns' for more than one output"):
        cr.certify_network(two, X, rng.standard_normal((12, 2)), LAM, scope="global")
