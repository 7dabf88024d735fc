import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

import cvxrelu as cr
from cvxrelu.networks.loading import read_network
from tests.helpers.loading import B1, RNG, W1, W2, X, fitted


@pytest.mark.parametrize("outputs", [1, 2])
def test_regressor_of_sklearn(outputs):
    y = RNG.standard_normal((20, outputs)) if outputs > 1 else RNG.standard_normal(20)
    network = fitted(MLPRegressor, y, hidden_layer_sizes=(6,))
    read, rows = read_network(network, X, "huber")
    np.testing.assert_allclose(read.predict(rows), network.predict(X), rtol=1e-12, atol=1e-12)


def test_classifier_of_sklearn():
    labels = np.arange(20) % 2
    network = fitted(MLPClassifier, labels, hidden_layer_sizes=(6,))
    read, rows = read_network(network, X, "logistic")
    odds = network.predict_proba(X)
    np.testing.assert_allclose(read.predict(rows), np.log(odds[:, 1] / odds[:, 0]), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="loss must be 'logistic' for the output activation 'logistic'"):
        read_network(network, X, "squared")
    several = fitted(MLPClassifier, np.arange(20) % 3, hidden_layer_sizes=(6,))
    read, rows = read_network(several, X, "softmax")
    logits = read.predict(rows)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(expected, several.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("outputs", [1, 2])
def test_from_sklearn_predicts_what_the_regressor_does(outputs):
    y = RNG.standard_normal((20, outputs)) if outputs > 1 else RNG.standard_normal(20)
    mlp = fitted(MLPRegressor, y, hidden_layer_sizes=(6,))
    network = cr.from_sklearn(mlp)
    assert network.n_neurons == 6 + outputs
    np.testing.assert_allclose(
        network.predict(np.column_stack([X, np.ones(20)])), mlp.predict(X), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("k", [2, 3])
def test_from_sklearn_returns_the_logits_of_a_classifier(k):
    mlp = fitted(MLPClassifier, np.array(["a", "b", "c"])[np.arange(20) % k], hidden_layer_sizes=(6,))
    logits = cr.from_sklearn(mlp).predict(np.column_stack([X, np.ones(20)]))
    logits = np.column_stack([np.zeros(20), logits]) if k == 2 else logits
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mlp.predict_proba(X), expected, rtol=1e-11)


def test_other_objects_than_mlps_are_rejected():
    with pytest.raises(
        TypeError, match="network must be a fitted scikit-learn MLPRegressor or MLPClassifier; got list"
    ):
        cr.from_sklearn([W1, B1, W2])
    with pytest.raises(ValueError, match="network must be fitted; got MLPClassifier"):
        cr.from_sklearn(MLPClassifier())
    with pytest.raises(ValueError, match="activation 'relu' and one hidden layer; got .* 'tanh'"):
        cr.from_sklearn(fitted(MLPRegressor, X[:, 0], activation="tanh", hidden_layer_sizes=(3,)))


def test_other_networks_of_sklearn_are_rejected():
    y = np.abs(RNG.standard_normal(20))
    with pytest.raises(ValueError, match="must be fitted; got MLPRegressor"):
        read_network(MLPRegressor(), X, "squared")
    with pytest.raises(ValueError, match="activation 'relu' and one hidden layer; got .* 'tanh'"):
        read_network(fitted(MLPRegressor, y, activation="tanh", hidden_layer_sizes=(3,)), X, "squared")
    with pytest.raises(ValueError, match=r"one hidden layer; got .* hidden_layer_sizes=\(3, 3\)"):
        read_network(fitted(MLPRegressor, y, hidden_layer_sizes=(3, 3)), X, "squared")
    network = fitted(MLPRegressor, y, hidden_layer_sizes=(3,))
    network.out_activation_ = "exp"  # that of loss="poisson" in later versions
    with pytest.raises(ValueError, match="output activation identity, logistic, softmax; got MLPRegressor with 'exp'"):
        read_network(network, X, "squared")
