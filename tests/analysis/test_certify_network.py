import importlib
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.networks.convert import balance
from cvxrelu.status import Status
from reference.datasets.prepare import breast_cancer
from tests.helpers.cases import make_data, make_targets
from tests.helpers.clock import Clock
from tests.helpers.random_networks import LAM, SEEDS, lowest_with, one_feature, random_network


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
    assert certificate.upper == pytest.approx(certificate.network.objective(X, y, LAM), rel=1e-12)
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
        assert improved == pytest.approx(certificate.improved_objective, rel=1e-12)
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
