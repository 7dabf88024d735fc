"""Bounds for gated networks, several outputs and modules of PyTorch included."""

import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.cases import make_data, make_targets
from tests.helpers.needs import require
from tests.helpers.random_networks import LAM


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
    assert certificate.objective_given == network.objective(X, y, LAM, loss)
    assert certificate.upper <= certificate.objective_given * (1 + 1e-12)  # rounded up
    balanced = certificate.network.objective(X, y, LAM, loss)
    assert balanced * (1 - 1e-15) <= certificate.upper <= balanced * (1 + 1e-12)
    np.testing.assert_allclose(certificate.network.predict(X), network.predict(X), rtol=1e-9, atol=1e-12)
    patterns, _ = cr.to_convex(network, X)
    reference = cr.solve(cr.ConvexGatedReLU(X, y, patterns, LAM, loss), "CLARABEL")
    assert certificate.lower == pytest.approx(reference.objective, rel=1e-5)
    assert certificate.lower <= reference.objective * (1 + 1e-12)
    assert isinstance(certificate.improved, cr.GatedReLUNetwork)
    assert certificate.improved.objective(X, y, LAM, loss) == pytest.approx(certificate.improved_objective, rel=1e-12)
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
