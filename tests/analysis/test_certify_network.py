import dataclasses
import importlib
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import scale

import cvxrelu as cr
from cvxrelu.networks.convert import balance
from cvxrelu.pricing.exact import exact_maximum
from cvxrelu.status import Status
from reference import programs as oracle
from reference.datasets.prepare import breast_cancer
from tests.helpers.cases import make_data, make_targets
from tests.helpers.clock import Clock
from tests.helpers.needs import require

SEEDS = st.integers(0, 2**32 - 1)
LAM = 0.05


def random_network(X, m, rng, scales=0):
    """Return m neurons with layers out of balance by up to 10^scales, one dead and one duplicate if m > 2."""
    W1, w2 = rng.standard_normal((m, X.shape[1])), rng.standard_normal(m)
    factors = 10.0 ** rng.uniform(-scales, scales, m)
    W1, w2 = W1 * factors[:, None], w2 / factors
    if m > 2:
        w2[0] = 0.0
        W1[1], w2[1] = W1[2], w2[2]
    return cr.ReLUNetwork(W1, w2)


def one_feature(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return x[:, None], np.sin(4 * x) + 0.1 * rng.standard_normal(n)


def all_patterns(X):
    """Return all non-singular patterns of X (n, 2), from a gate inside each arc."""
    angles = np.arctan2(X[:, 1], X[:, 0])
    switches = np.unique(np.round(np.concatenate([angles - np.pi / 2, angles + np.pi / 2]) % (2 * np.pi), 12))
    middles = 0.5 * (switches + np.append(switches[1:], switches[0] + 2 * np.pi))
    return cr.ActivationPatterns.from_gates(X, np.stack([np.cos(middles), np.sin(middles)]))


def lowest_with(certificate, neuron, network):
    """Return the smallest objective over the sizes of a new neuron, by a grid search."""
    problem = certificate.problem
    sizes = 2.0 ** np.arange(4, -40, -1)
    return min(
        neuron.added_to(network, size).objective(problem.X, problem.y, problem.lam, problem.loss) for size in sizes
    )


@settings(max_examples=60)
@given(SEEDS, st.integers(0, 8), st.integers(0, 100))
def test_balancing_keeps_predictions_and_never_raises_the_objective(seed, m, scales):
    rng = np.random.default_rng(seed)
    X = make_data("tall", seed)
    network = random_network(X, m, rng, scales)
    balanced = balance(network)
    size = np.abs(X) @ np.abs(network.W1).T @ np.abs(network.w2)  # products may cancel
    assert (np.abs(balanced.predict(X) - network.predict(X)) <= 1e-13 * (size + 1e-300)).all()
    np.testing.assert_allclose(np.linalg.norm(balanced.W1, axis=1), np.abs(balanced.w2), rtol=1e-12)
    y = rng.standard_normal(12)
    assert balanced.objective(X, y, LAM) <= network.objective(X, y, LAM) * (1 + 1e-12)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from(["tall", "wide", "collinear", "doubled"]), st.integers(1, 8), st.booleans())
def test_bounds_hold_for_random_networks(seed, shape, m, solve):
    rng = np.random.default_rng(seed)
    X = make_data(shape, seed)
    y = make_targets("squared", X, 1, seed)[:, 0]
    network = random_network(X, m, rng, scales=6)
    certificate = cr.certify_network(network, X, y, LAM, solve=solve, n_starts=4)
    assert certificate.lower <= certificate.upper <= certificate.objective_given * (1 + 1e-12)
    assert certificate.upper == certificate.network.objective(X, y, LAM)
    assert certificate.upper >= certificate.certificate.upper * (1 - 1e-12)
    problem, dual = certificate.problem, certificate.dual
    assert problem.dual_objective(dual.t, dual.multipliers) >= certificate.lower - 1e-12
    reference = cr.solve(problem, "CLARABEL", tol=1e-6)
    assert certificate.lower <= reference.objective * (1 + 1e-12)
    if solve:
        assert certificate.lower == pytest.approx(reference.objective, rel=1e-5)
        assert certificate.improved_objective == pytest.approx(reference.objective, rel=1e-5)
        assert certificate.improved_objective <= certificate.upper * (1 + 1e-12)
        improved = certificate.improved.objective(X, y, LAM)
        assert improved == certificate.improved_objective
        signs = np.where(problem.patterns.D, 1.0, -1.0)
        margins = signs[:, :, None] * (X @ certificate.improved.W1.T)[:, None, :]
        assert (margins.min(axis=0).max(axis=0) >= -1e-12).all()  # each neuron is in some cone
    else:
        assert certificate.improved is certificate.improved_neuron is certificate.improved_objective is None


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
@pytest.mark.parametrize("seed", range(3))
def test_the_new_neuron_lowers_the_objective(loss, seed):
    X, y = breast_cancer()
    X, y = X[:150, [0, 1, 2, -1]], y[:150]
    network = random_network(X, 6, np.random.default_rng(seed))
    certificate = cr.certify_network(network, X, y, 1e-3, loss)
    for neuron, base in (
        (certificate.neuron, certificate.network),
        (certificate.improved_neuron, certificate.improved),
    ):
        assert neuron.value > 1e-3
        before = base.objective(X, y, 1e-3, loss)
        assert lowest_with(certificate, neuron, base) < before
        # The rate is the slope at size 0.
        size = 1e-7
        slope = (neuron.added_to(base, size).objective(X, y, 1e-3, loss) - before) / size
        assert slope == pytest.approx(1e-3 - neuron.value, rel=1e-2)


def test_adding_a_missing_pattern_improves_the_network():
    X, y = one_feature()
    rows = np.column_stack([X, np.ones(40)])
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((3, 1)), rng.standard_normal(3), rng.standard_normal(3), 0.3
    first = cr.certify_network(arrays, X, y, 1e-3)
    assert first.improved_neuron.value > 1e-3 * 1.01
    more = cr.ActivationPatterns(first.improved_neuron.pattern[:, None], first.improved_neuron.u[:, None])
    second = cr.certify_network(arrays, X, y, 1e-3, patterns=more)
    assert second.improved_objective < first.improved_objective * (1 - 1e-4)
    assert second.lower < first.lower  # it holds for more networks
    np.testing.assert_array_equal(second.problem.X, rows)
    again = cr.certify_network(arrays, X, y, 1e-3, patterns=first.problem.patterns)
    assert len(again.problem.patterns) == len(first.problem.patterns)


# Scope "global"


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
    assert certificate.lower == -problem.loss.conjugate(certificate.dual.t, problem.Y)
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
    assert verdict.scope == "global"
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


# Several outputs


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
def test_neurons_of_one_output_each(loss):
    X = make_data("tall")
    Y = make_targets(loss, X, 3)
    rng = np.random.default_rng(0)
    network = cr.ReLUNetwork(rng.standard_normal((6, 3)), np.vstack([np.eye(3), -2.0 * np.eye(3)]))
    certificate = cr.certify_network(network, X, Y, 0.01, loss)
    assert certificate.lower <= certificate.improved_objective <= certificate.upper
    assert certificate.improved_objective - certificate.lower <= 2e-6 * certificate.improved_objective
    assert "feed one output each" in str(certificate)
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper


def test_neurons_of_several_outputs_are_rejected():
    X, rng = make_data("tall"), np.random.default_rng(0)
    network = cr.ReLUNetwork(rng.standard_normal((4, 3)), np.vstack([np.eye(2), np.ones((2, 2))]))
    with pytest.raises(ValueError, match="feed one output each.* got 2 neurons that feed several"):
        cr.certify_network(network, X, rng.standard_normal((12, 2)), LAM)
    with pytest.raises(ValueError, match="y must have 2 columns, one for each output of the network; got 1"):
        cr.certify_network(network, X, rng.standard_normal(12), LAM)


# Gated networks


def gated_network(X, m, rng, outputs=None):
    w2 = rng.standard_normal(m if outputs is None else (m, outputs))
    return cr.GatedReLUNetwork(rng.standard_normal((X.shape[1], m)), rng.standard_normal((m, X.shape[1])), w2)


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
@pytest.mark.parametrize("shape", ["tall", "wide", "collinear"])
def test_bounds_hold_for_gated_networks(shape, loss, tmp_path):
    X, rng = make_data(shape), np.random.default_rng(0)
    y = make_targets(loss, X, 1)[:, 0]
    network = gated_network(X, 5, rng)
    certificate = cr.certify_network(network, X, y, LAM, loss)
    assert certificate.lower <= certificate.improved_objective <= certificate.upper
    assert certificate.upper <= certificate.objective_given == network.objective(X, y, LAM, loss)
    assert certificate.upper == certificate.network.objective(X, y, LAM, loss)
    np.testing.assert_allclose(certificate.network.predict(X), network.predict(X), rtol=1e-9, atol=1e-12)
    patterns, _ = cr.to_convex(network, X)
    reference = cr.solve(cr.ConvexGatedReLU(X, y, patterns, LAM, loss), "CLARABEL")
    assert certificate.lower == pytest.approx(reference.objective, rel=1e-5)
    assert certificate.lower <= reference.objective * (1 + 1e-12)
    assert isinstance(certificate.improved, cr.GatedReLUNetwork)
    assert certificate.improved.objective(X, y, LAM, loss) == certificate.improved_objective
    assert certificate.neuron is certificate.improved_neuron is None
    assert "gated ReLU networks whose neurons have one of" in str(certificate)
    certificate.save(tmp_path / "gated.cert")
    assert cr.load_certificate(tmp_path / "gated.cert").verify(X, y).lower == pytest.approx(certificate.lower)
    own = cr.certify_network(network, X, y, LAM, loss, solve=False)
    assert (own.upper, own.improved, own.improved_rel_gap) == (certificate.upper, None, None)
    assert own.lower <= reference.objective


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_gated_neurons_may_feed_several_outputs(loss):
    X, rng = make_data("tall"), np.random.default_rng(0)
    Y = make_targets(loss, X, 3)
    certificate = cr.certify_network(gated_network(X, 4, rng, outputs=3), X, Y, LAM, loss)
    assert certificate.lower <= certificate.improved_objective <= certificate.upper <= certificate.objective_given
    assert certificate.improved_rel_gap <= 2e-6
    assert certificate.within(certificate.rel_gap)
    assert not certificate.within(0.9 * certificate.rel_gap)


def test_an_optimal_gated_network_is_proven_optimal():
    """A column of ones is appended only to data that lack the network's last column."""
    X = make_data("tall")
    y = make_targets("squared", X, 1)[:, 0]
    rows = np.column_stack([X, np.ones(len(X))])
    network = cr.solve(cr.ConvexGatedReLU(rows, y, cr.sample_patterns(rows, 8), LAM), tol=1e-8).network()
    for data, appended in ((rows, False), (X, True)):
        certificate = cr.certify_network(network, data, y, LAM)
        assert certificate.within(1e-6)
        assert certificate.ones_appended is appended
        assert ("a column of ones was appended" in str(certificate)) is appended
        np.testing.assert_array_equal(certificate.problem.X, rows)


def test_more_gates_lower_the_bound_of_a_gated_network():
    X, rng = make_data("tall"), np.random.default_rng(0)
    y = make_targets("squared", X, 1)[:, 0]
    network, more = gated_network(X, 3, rng), cr.sample_patterns(X, 10, seed=1)
    few, many = (cr.certify_network(network, X, y, LAM, patterns=patterns) for patterns in (None, more))
    assert many.lower < few.lower
    assert many.upper == few.upper
    assert many.improved_objective < few.improved_objective
    with pytest.raises(ValueError, match="patterns must have gates for a gated network"):
        cr.certify_network(network, X, y, LAM, patterns=cr.ActivationPatterns(more.D))


@pytest.mark.parametrize("outputs", [None, 2])
def test_a_gated_network_without_active_neurons(outputs):
    X = 0.1 + np.abs(make_data("tall"))
    Y = make_targets("squared", X, outputs or 1)
    Y = Y[:, 0] if outputs is None else Y
    W2 = np.ones(1 if outputs is None else (1, outputs))
    for network in (
        cr.GatedReLUNetwork(np.zeros((3, 0)), np.zeros((0, 3)), W2[:0]),
        cr.GatedReLUNetwork(-np.ones((3, 1)), np.ones((1, 3)), W2),
    ):
        certificate = cr.certify_network(network, X, Y, LAM)
        assert certificate.lower == pytest.approx(certificate.upper) == pytest.approx(0.5 * np.sum(Y**2) / len(X))
        assert certificate.network.n_neurons == certificate.improved.n_neurons == 0


def test_a_gated_module_of_torch():
    require("torch")
    X, rng = make_data("tall"), np.random.default_rng(0)
    y = make_targets("squared", X, 1)[:, 0]
    network = gated_network(np.column_stack([X, np.ones(len(X))]), 4, rng)
    certificate = cr.certify_network(network.to_torch(bias=True), X, y, LAM)
    expected = cr.certify_network(network, X, y, LAM)
    assert (certificate.upper, certificate.lower) == pytest.approx((expected.upper, expected.lower), rel=1e-9)


def test_gated_networks_have_no_global_scope():
    X = make_data("tall")
    network = gated_network(X, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="scope must be 'patterns' for gated networks"):
        cr.certify_network(network, X, np.arange(12.0), LAM, scope="global")


# Degenerate networks


def test_the_cost_of_dead_duplicate_and_zero_neurons():
    X, y = np.abs(make_data("wide")), make_targets("squared", make_data("wide"), 1)[:, 0]
    rng = np.random.default_rng(0)
    good = np.abs(rng.standard_normal((2, 8)))
    bad = np.vstack([good, good, -good, np.zeros((2, 8)), good])  # duplicate, dead, zero in either layer
    w2 = np.array([1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0, 0.0, 0.0])
    lean = cr.certify_network((good, None, 2.0 * w2[:2]), X, y, LAM)
    fat = cr.certify_network((bad, None, w2), X, y, LAM)
    assert fat.lower == pytest.approx(lean.lower, rel=1e-6)
    assert len(fat.problem.patterns) == len(lean.problem.patterns) == 1
    assert fat.certificate.upper == pytest.approx(lean.upper, rel=1e-12)
    dead = np.abs(fat.network.w2[4:6]) @ np.linalg.norm(fat.network.W1[4:6], axis=1)
    assert fat.upper - lean.upper == pytest.approx(LAM * dead)  # duplicates cost as much as their sum
    assert fat.improved.n_neurons <= 2


def test_patterns_of_neurons_that_are_zero_in_one_layer():
    """A neuron has a pattern if and only if its first layer is non-zero."""
    X, y = make_data("tall"), np.arange(12.0)
    W1 = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
    certificate = cr.certify_network((W1, None, np.array([1.0, 0.0, 1.0])), X, y, LAM, solve=False)
    np.testing.assert_array_equal(certificate.problem.patterns.D, X @ W1[:2].T >= 0.0)


@pytest.mark.parametrize("m", [0, 3])
def test_a_dead_network(m):
    """A network without active neurons is a stationary point, but a new neuron lowers the objective."""
    X, y = np.abs(make_data("wide")), np.arange(6.0)
    network = cr.ReLUNetwork(-np.ones((m, 8)), np.ones(m))
    certificate = cr.certify_network(network, X, y, LAM)
    zero = cr.ReLUNetwork(np.zeros((0, 8)), np.zeros(0)).objective(X, y, LAM)
    assert certificate.lower == pytest.approx(zero) == certificate.improved_objective
    assert certificate.upper == pytest.approx(zero + LAM * m * np.sqrt(8.0))
    assert certificate.neuron.value > LAM
    assert lowest_with(certificate, certificate.neuron, certificate.network) < zero
    more = cr.sample_patterns(X, 20, seed=0)
    wider = cr.certify_network(network, X, y, LAM, patterns=more)
    assert wider.lower < 0.5 * zero
    assert wider.rel_gap > 0.5


def test_layers_out_of_balance_by_a_million():
    X, y = breast_cancer()
    network = random_network(X, 8, np.random.default_rng(0))
    plain = cr.certify_network(network, X, y, 1e-2)
    factors = np.resize([1e6, 1e-6], 8)
    skewed = cr.ReLUNetwork(network.W1 * factors[:, None], network.w2 / factors)
    certificate = cr.certify_network(skewed, X, y, 1e-2)
    assert certificate.objective_given > 1e6 * certificate.upper
    assert certificate.upper == pytest.approx(plain.upper, rel=1e-10)
    assert certificate.lower == pytest.approx(plain.lower, rel=1e-6)
    extreme = cr.ReLUNetwork(network.W1 * 1e160, network.w2 * 1e-160)
    certificate = cr.certify_network(extreme, X, y, 1e-2, solve=False)
    assert certificate.objective_given == np.inf
    assert certificate.upper == pytest.approx(plain.upper, rel=1e-10)


def test_lam_zero():
    X, y = make_data("tall"), np.arange(12.0)
    network = random_network(X, 4, np.random.default_rng(0))
    certificate = cr.certify_network(network, X, y, 0.0, solve=False)
    problem = certificate.problem
    fit = np.linalg.lstsq(np.hstack([D[:, None] * X for D in np.asarray(problem.patterns.D).T]), y)[0]
    relaxed = problem.objective((fit.reshape(1, -1, 3), np.zeros((1, len(problem.patterns), 3))))
    assert 0.0 < certificate.lower <= relaxed * (1 + 1e-12)  # without the cones
    assert certificate.upper == pytest.approx(network.objective(X, y, 0.0), rel=1e-12)


# False certificates seen elsewhere


def test_a_stationary_point_is_not_certified_optimal():
    """The gradient vanishes (discopt#853: small KKT residual, large gap)."""
    X, y = breast_cancer()
    network = cr.ReLUNetwork(np.zeros((5, X.shape[1])), np.zeros(5))
    certificate = cr.certify_network(network, X, y, 1e-3, patterns=cr.sample_patterns(X, 20, seed=0))
    assert certificate.rel_gap > 0.5
    assert certificate.neuron.value > 1e-3


def test_bounds_hold_under_bad_scaling():
    """Columns from 1e-6 to 1e6 (discopt#849)."""
    X, y = make_data("tall"), np.arange(12.0) - 5.0
    scales = np.array([1e-6, 1.0, 1e6])
    network = random_network(X, 5, np.random.default_rng(0))
    skewed = cr.ReLUNetwork(network.W1 / scales, network.w2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        certificate = cr.certify_network(skewed, X * scales, y, LAM)
    problem = certificate.problem
    for seed in range(20):
        blocks = np.random.default_rng(seed).standard_normal((2, 1, len(problem.patterns), 3)) / scales
        assert certificate.lower <= problem.objective(problem.repair(problem.weights(blocks)))
    dual = certificate.dual
    assert problem.dual_objective(dual.t, dual.multipliers) >= certificate.lower * (1 - 1e-12)
    assert certificate.lower <= certificate.improved_objective * (1 + 1e-12) <= certificate.upper * (1 + 1e-11)


def test_the_bound_never_falls_back_to_the_objective():
    """discopt#881: a bound equal to the incumbent's value."""
    X, y = breast_cancer()
    for seed in range(3):
        network = random_network(X, 5, np.random.default_rng(seed))
        certificate = cr.certify_network(network, X, y, 1e-2, solve=False)
        assert certificate.lower < certificate.upper * 0.9
        dual = certificate.dual
        assert certificate.problem.dual_objective(dual.t, dual.multipliers) == pytest.approx(certificate.lower)


def test_a_certificate_holds_for_one_network_only():
    """discopt#1285: a network changed after certification, here by a cast, needs a new certificate."""
    X, y = breast_cancer()
    network = random_network(X, 5, np.random.default_rng(0))
    certificate = cr.certify_network(network, X, y, 1e-2)
    cast = cr.ReLUNetwork(*(a.astype(np.float16).astype(np.float64) for a in (certificate.network.W1, network.w2)))
    other = cr.certify_network(cast, X, y, 1e-2)
    assert other.upper == other.network.objective(X, y, 1e-2) != certificate.upper
    assert certificate.improved.objective(X, y, 1e-2) == certificate.improved_objective
    with pytest.raises(dataclasses.FrozenInstanceError):
        certificate.lower = certificate.upper
    with pytest.raises(ValueError, match="read-only"):
        certificate.network.W1[0] = 0.0


def test_a_failed_local_search_is_not_called_a_bound():
    """discopt#422: convexity without a proof. The network is optimal within its patterns; no more is claimed."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), 1e-3 * rng.standard_normal(12)
    certificate = cr.certify_network(random_network(X, 4, rng), X, y, 10.0)
    assert certificate.improved_neuron.value < 10.0
    assert not certificate.improved_neuron.exact
    assert certificate.scope == "patterns"
    assert "no better neuron found from 104 starts: evidence, not a bound" in str(certificate)
    flat = cr.certify_network(random_network(X[:, :2], 4, rng), X[:, :2], y, 10.0, scope="global")
    assert "none lowers the objective" in str(flat)
    assert "any width" in str(flat)


# Real data, other trainers


def mlp(kind, X, y, lam, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_iter is reached
        model = kind(hidden_layer_sizes=(10,), alpha=lam * len(y), max_iter=100, random_state=0, **options)
        return model.fit(X, y)


def test_regressor_of_sklearn_on_diabetes():
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    model = mlp(MLPRegressor, X, y, 1e-2, solver="lbfgs")
    certificate = cr.certify_network(model, X, y, 1e-2)
    weights = sum(np.sum(part**2) for part in model.coefs_)
    fit = 0.5 * np.mean((model.predict(X) - y) ** 2)
    biases = np.sum(model.intercepts_[0] ** 2) + 2 * abs(model.intercepts_[1][0])
    assert certificate.objective_given == pytest.approx(fit + 0.5e-2 * (weights + biases), rel=1e-10)
    assert certificate.lower < certificate.improved_objective < certificate.upper < certificate.objective_given
    assert certificate.improved_objective - certificate.lower <= 1.1e-6 * certificate.improved_objective
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper
    text = str(certificate)
    for part in (
        "11 neurons of 11 inputs",
        "as given",
        "lower bound",
        "gap",
        "scope",
        "patterns",
        "new neuron",
        "improved",
    ):
        assert part in text


def test_classifier_of_sklearn_on_breast_cancer():
    X, y = breast_cancer()
    X = X[:, :-1] * np.sqrt(len(X))
    model = mlp(MLPClassifier, X, y, 1e-2)
    certificate = cr.certify_network(model, X, y, 1e-2, loss="logistic")
    log_loss = -np.mean(np.log(model.predict_proba(X)[np.arange(len(y)), (y > 0).astype(int)]))
    assert certificate.network.objective(certificate.problem.X, y, 0.0, "logistic") == pytest.approx(log_loss, rel=1e-9)
    assert 0.0 < certificate.lower < certificate.improved_objective < certificate.upper
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper


def test_network_of_torch_trained_by_adam_on_breast_cancer():
    torch = require("torch")
    X, y = breast_cancer()
    X = X[:, :-1] * np.sqrt(len(X))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 10), torch.nn.ReLU(), torch.nn.Linear(10, 1))
    steps = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)
    rows, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    for _ in range(200):
        steps.zero_grad()
        (0.5 * (model(rows)[:, 0] - targets).square().mean()).backward()
        steps.step()
    certificate = cr.certify_network(model, X, y, 1e-2)
    assert 0.0 < certificate.lower < certificate.improved_objective < certificate.upper
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper
    assert lowest_with(certificate, certificate.improved_neuron, certificate.improved) < certificate.improved_objective


def test_networks_of_other_trainers_against_the_global_optimum():
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X[:, [2, 8]]), scale(y)  # body mass index and a serum measurement
    model = mlp(MLPRegressor, X, y, 1e-3, solver="lbfgs")
    certificate = cr.certify_network(model, X, y, 1e-3, scope="global")
    assert certificate.improved_objective - certificate.lower <= 1e-6 * certificate.improved_objective
    assert certificate.lower < certificate.upper
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper
    assert certificate.proof.method == "branch_and_bound"
    cut = dataclasses.replace(certificate, network=certificate.improved)
    assert lowest_with(cut, certificate.improved_neuron, certificate.improved) >= certificate.lower


def test_errors():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    network = random_network(X, 3, rng)
    with pytest.raises(ValueError, match="lam must be a finite number >= 0"):
        cr.certify_network(network, X, y, -1.0)
    with pytest.raises(TypeError, match="patterns must be an ActivationPatterns or None; got ndarray"):
        cr.certify_network(network, X, y, LAM, patterns=np.ones((12, 1), dtype=bool))
    with pytest.raises(ValueError, match="made for another X"):
        cr.certify_network((network.W1, np.ones(3), network.w2), X, y, LAM, patterns=cr.sample_patterns(X, 3))
    with pytest.raises(ValueError, match="y must have one entry for each row"):
        cr.certify_network(network, X, y[:5], LAM)
    with pytest.raises(ValueError, match="labels -1 or \\+1"):
        cr.certify_network(network, X, y, LAM, loss="logistic")
    with pytest.raises(ValueError, match="network must have a finite objective"):
        cr.certify_network(cr.ReLUNetwork(network.W1 * 1e160, network.w2 * 1e160), X, y, LAM)


@pytest.mark.parametrize("scope", ["patterns", "global"])
def test_an_optimal_network_is_proven_optimal_from_its_own_patterns(scope):
    # Its neurons lie on the boundaries of their cones, where rounding decides signs and makes the cones thin.
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((40, 2)), np.ones(40)])
    y = np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1]) + 0.3
    network = cr.solve_global(X, y, 0.02, tol=1e-8).network()
    assert cr.certify_network(network, X, y, 0.02, scope=scope, tol=1e-7).rel_gap <= 1e-6


def test_compilation_does_not_count_towards_the_time_limit(monkeypatch):
    """A stalled solve is restarted with the remaining time; kernels are compiled before the clock starts."""
    module = importlib.import_module("cvxrelu.analysis.certify_network")
    clock, limits, train = Clock(), [], module.solve_global

    def compile_slowly(rank):
        clock.now += 3600.0

    def stall(*arguments, time_limit, **keywords):
        limits.append(time_limit)
        clock.now += 10.0
        return replace(train(*arguments, time_limit=time_limit, **keywords), status=Status.STALLED)

    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(module, "compile_search", compile_slowly)
    monkeypatch.setattr(module, "solve_global", stall)
    X = np.column_stack([np.linspace(-1.0, 1.0, 12), np.ones(12)])
    network = cr.ReLUNetwork(np.array([[1.0, 0.1]]), np.array([0.5]))
    cr.certify_network(network, X, np.abs(X[:, 0]), 0.01, scope="global", solve=True, time_limit=100.0)
    assert limits == [100.0, 90.0]
