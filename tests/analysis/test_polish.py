"""Polished networks: never worse, optimal over their patterns, and pruned."""

import importlib

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

import cvxrelu as cr
from tests.helpers.cases import make_targets

RNG = np.random.default_rng(4)
X = np.column_stack([RNG.standard_normal((42, 3)), np.ones(42)])


def random_network(n_neurons, c=1, seed=0):
    """Return a network whose neurons feed one output each."""
    rng = np.random.default_rng(seed)
    w2 = rng.standard_normal((n_neurons, c)) * (np.arange(n_neurons)[:, None] % c == np.arange(c))
    return cr.ReLUNetwork(rng.standard_normal((n_neurons, X.shape[1])), w2[:, 0] if c == 1 else w2)


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic", "softmax"])
@pytest.mark.parametrize("lam", [0.3, 0.01, 1e-4])
def test_a_polished_network_is_optimal_over_its_patterns(loss, lam):
    c = 3 if loss == "softmax" else 1
    y = make_targets(loss, X, c, seed=1)
    network = random_network(12, c)
    polished = cr.polish(network, X, y, lam, loss)
    assert polished.status == "optimal"
    best = polished.network()
    assert best.objective(X, y, lam, loss) == pytest.approx(polished.objective, rel=1e-12)
    assert polished.objective < network.objective(X, y, lam, loss)
    if c == 1 and lam >= 0.01:
        assert best.n_neurons <= network.n_neurons
    patterns, _ = cr.to_convex(network, X)
    reference = cr.solve(cr.ConvexReLU(X, y, patterns, lam, loss), "CLARABEL", tol=1e-6)
    assert polished.objective <= reference.objective * (1.0 + 1e-6) + 1e-12
    assert reference.lower <= polished.objective * (1.0 + 1e-6) + 1e-12


def test_polishing_again_changes_nothing():
    y = make_targets("squared", X, 1, seed=2)
    first = cr.polish(random_network(20, seed=3), X, y, 0.01, tol=1e-9)
    again = cr.polish(first.network(), X, y, 0.01, tol=1e-9)
    assert again.objective == pytest.approx(first.objective, rel=1e-8)
    assert again.network().n_neurons <= first.network().n_neurons


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("seed", range(4))
def test_networks_of_other_trainers_are_polished(seed):
    """Biases become the weights of a column of ones; scikit-learn does not penalise them, this objective does."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((60, 4))
    y = np.abs(data[:, 0]) - data[:, 1]
    fit = {"hidden_layer_sizes": (15,), "alpha": 0.1, "solver": "lbfgs", "max_iter": 30, "random_state": seed}
    for model, targets, loss in (
        (MLPRegressor(**fit).fit(data, y), y, "squared"),
        (MLPClassifier(**fit).fit(data, y > 0.0), np.where(y > 0.0, 1.0, -1.0), "logistic"),
    ):
        given = cr.certify_network(model, data, targets, 0.01, loss, solve=False)
        polished = cr.polish(model, data, targets, 0.01, loss)
        np.testing.assert_array_equal(polished.problem.X, np.column_stack([data, np.ones(60)]))
        assert polished.objective < given.upper <= given.objective_given
        assert polished.network().n_neurons < given.network.n_neurons


@pytest.mark.parametrize("c", [1, 3])
def test_gated_networks_keep_their_gates(c):
    rng = np.random.default_rng(c)
    y = make_targets("squared", X, c, seed=3)
    w2 = rng.standard_normal((9, c))
    gates = rng.standard_normal((X.shape[1], 9))
    network = cr.GatedReLUNetwork(gates, rng.standard_normal((9, X.shape[1])), w2[:, 0] if c == 1 else w2)
    polished = cr.polish(network, X, y, 0.02)
    assert polished.status == "optimal"
    best = polished.network()
    assert best.objective(X, y, 0.02) < network.objective(X, y, 0.02)
    kept = {column.tobytes() for column in gates.T}
    assert all(np.ascontiguousarray(gate).tobytes() in kept for gate in best.G.T)


def test_with_little_time_the_network_is_kept_or_improved():
    rng = np.random.default_rng(5)
    data = rng.standard_normal((400, 12))
    y = np.maximum(data[:, 0], 0.0) + 0.1 * rng.standard_normal(400)
    network = cr.ReLUNetwork(rng.standard_normal((150, 12)), 0.01 * rng.standard_normal(150))
    with pytest.warns(cr.ConvergenceWarning, match=r"polish ended with a relative gap of .*time_limit"):
        polished = cr.polish(network, data, y, 1e-5, tol=1e-12, time_limit=1e-3)
    assert polished.status == "time_limit"
    assert polished.objective <= network.objective(data, y, 1e-5)


@pytest.mark.parametrize("part", ["prune", "certify"])
def test_ctrl_c_after_the_solve_keeps_its_solution(part, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    y = make_targets("squared", X, 1, seed=6)
    monkeypatch.setattr(importlib.import_module("cvxrelu.analysis.polish"), part, interrupted)
    polished = cr.polish(random_network(8), X, y, 0.01)
    assert polished.status == "optimal"
    assert polished.objective < random_network(8).objective(X, y, 0.01)


def test_a_better_network_than_the_solution_is_kept(monkeypatch):
    """The solve ends at once, at zero weights; a network with a smaller objective is left as it is."""
    y = make_targets("squared", X, 1, seed=7)
    best = cr.polish(random_network(8), X, y, 0.01).network()
    with pytest.warns(cr.ConvergenceWarning, match=r"polish ended .*\(network: "):
        kept = cr.polish(best, X, y, 0.01, tol=1e-15, time_limit=1e-9)
    assert kept.solver == "network"
    assert kept.objective <= best.objective(X, y, 0.01) * (1.0 + 1e-12)


def test_a_network_without_active_neurons_becomes_empty():
    y = make_targets("squared", X, 1, seed=4)
    for network in (cr.ReLUNetwork(np.zeros((2, 4)), np.ones(2)), cr.ReLUNetwork(np.zeros((0, 4)), np.zeros(0))):
        polished = cr.polish(network, X, y, 0.1)
        assert polished.objective == pytest.approx(np.mean(y**2) / 2.0)
        assert polished.network().n_neurons == 0


def test_bad_input_is_refused():
    y = make_targets("squared", X, 1, seed=5)
    with pytest.raises(ValueError, match="lam"):
        cr.polish(random_network(3), X, y, -1.0)
    with pytest.raises(ValueError, match="tol"):
        cr.polish(random_network(3), X, y, 0.1, tol=0.0)
    with pytest.raises(ValueError, match="y must have 1 columns"):
        cr.polish(random_network(3), X, np.zeros((42, 2)), 0.1)
    with pytest.raises(ValueError, match="neurons that feed several"):
        cr.polish(cr.ReLUNetwork(np.ones((2, 4)), np.ones((2, 2))), X, np.zeros((42, 2)), 0.1)
