import warnings

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

import cvxrelu as cr
from cvxrelu.networks.loading import read_network
from tests.helpers.needs import require

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3))
W1, B1, W2 = RNG.standard_normal((4, 3)), RNG.standard_normal(4), RNG.standard_normal(4)


def predict(W1, b1, w2, b2):
    return np.maximum(X @ np.asarray(W1).T + b1, 0.0) @ w2 + b2


def fitted(kind, y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few iterations to converge
        return kind(max_iter=5, random_state=0, **options).fit(X, y)


class Tensor:
    """A stand-in for a PyTorch tensor."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    cpu = double = detach

    def numpy(self):
        return np.asarray(self.values, dtype=np.float64)


class Linear:
    def __init__(self, weight, bias):
        self.weight, self.bias = Tensor(weight), None if bias is None else Tensor(bias)


class ReLU: ...


class Sequential:
    def __init__(self, *layers):
        self.layers = layers

    def children(self):
        return iter(self.layers)

    def state_dict(self):
        return {}


def test_networks_and_arrays_without_biases_are_unchanged():
    for network in (cr.ReLUNetwork(W1, W2), (W1, None, W2), [W1.tolist(), None, W2.tolist(), None]):
        read, rows = read_network(network, X, "squared")
        np.testing.assert_array_equal(read.W1, W1)
        np.testing.assert_array_equal(read.w2, W2)
        np.testing.assert_array_equal(rows, X)


@pytest.mark.parametrize("b1", [None, B1])
@pytest.mark.parametrize("b2", [None, 0.0, 1.7, [-2.5]])
@pytest.mark.parametrize("w2", [W2, W2[:, None]])
def test_biases_become_weights_of_a_column_of_ones(b1, b2, w2):
    read, rows = read_network((W1, b1, w2, b2), X, "squared")
    if b1 is None and b2 is None:
        assert rows.shape == (20, 3)
    else:
        np.testing.assert_array_equal(rows, np.column_stack([X, np.ones(20)]))
    expected = predict(W1, 0.0 if b1 is None else b1, w2, 0.0 if b2 is None else b2)
    np.testing.assert_allclose(read.predict(rows), expected, rtol=1e-13, atol=1e-13)
    assert read.n_neurons == 4 + (b2 not in (None, 0.0))


def test_an_output_bias_costs_its_size():
    plain, rows = read_network((W1, B1, W2), X, "squared")
    biased, _ = read_network((W1, B1, W2, -2.5), X, "squared")
    y, lam = np.zeros(20), 0.3
    decay = [net.objective(rows, y, lam) - net.objective(rows, y, 0.0) for net in (plain, biased)]
    assert decay[1] - decay[0] == pytest.approx(lam * 2.5)


def test_several_outputs():
    w2, b2 = RNG.standard_normal((4, 3)), np.array([1.0, 0.0, -2.0])
    read, rows = read_network((W1, B1, w2, b2), X, "squared")
    np.testing.assert_allclose(read.predict(rows), predict(W1, B1, w2, b2), rtol=1e-13, atol=1e-13)
    assert read.w2.shape == (6, 3)


def test_no_neurons():
    read, rows = read_network((np.zeros((0, 3)), np.zeros(0), np.zeros(0), -1.0), X, "squared")
    np.testing.assert_allclose(read.predict(rows), -np.ones(20))


def test_sequential_of_torch():
    torch = require("torch")

    for bias, dtype in ((True, torch.float32), (False, torch.float64), (True, torch.bfloat16)):
        layers = torch.nn.Linear(3, 5, bias=bias), torch.nn.ReLU(), torch.nn.Linear(5, 1, bias=bias)
        network = torch.nn.Sequential(*layers).to(dtype)
        read, rows = read_network(network, X, "squared")
        with torch.no_grad():
            expected = network.double()(torch.from_numpy(X))[:, 0].numpy()
        np.testing.assert_allclose(read.predict(rows), expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=r"got Sequential\(Linear, Tanh, Linear\)"):
        read_network(torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)), X, "squared")


def test_sequential_is_recognised_by_its_layers():
    for b1, b2 in ((B1, [0.5]), (None, None)):
        read, rows = read_network(Sequential(Linear(W1, b1), ReLU(), Linear(W2[None], b2)), X, "squared")
        expected = predict(W1, 0.0 if b1 is None else b1, W2, 0.0 if b2 is None else b2)
        np.testing.assert_allclose(read.predict(rows), expected, rtol=1e-13, atol=1e-13)
    with pytest.raises(ValueError, match=r"got Sequential\(Linear, ReLU\)"):
        read_network(Sequential(Linear(W1, B1), ReLU()), X, "squared")


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


def test_weights_of_lower_precision_are_converted_to_float64_exactly():
    single = [array.astype(np.float32) for array in (W1, B1, W2)]
    double = [array.astype(np.float64) for array in single]
    y = X[:, 0]
    for network, same in ((cr.ReLUNetwork(*single[::2]), cr.ReLUNetwork(*double[::2])), (single, double)):
        read, rows = read_network(network, X, "squared")
        expected, _ = read_network(same, X, "squared")
        np.testing.assert_array_equal(read.W1, expected.W1)
        assert read.W1.dtype == read.w2.dtype == np.float64
        assert read.objective(rows, y, 0.3) == expected.objective(rows, y, 0.3)
        certificates = [cr.certify_network(given, X, y, 0.3, solve=False) for given in (network, same)]
        assert certificates[0].upper == certificates[1].upper
        assert certificates[0].lower == certificates[1].lower


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


@pytest.mark.parametrize("gated", [False, True])
def test_a_network_of_one_column_more_gets_a_column_of_ones(gated):
    network = cr.GatedReLUNetwork(W1.T, W1, W2) if gated else cr.ReLUNetwork(W1, W2)
    read, rows = read_network(network, X[:, :2], "squared")
    np.testing.assert_array_equal(rows, np.column_stack([X[:, :2], np.ones(20)]))
    assert type(read) is type(network)
    np.testing.assert_array_equal(read.predict(rows), network.predict(rows))


def test_arrays_by_name(tmp_path):
    """Arrays from numpy.savez and numpy.load, with either, both or no biases."""
    arrays = {"W1": W1, "b1": B1, "w2": W2, "b2": np.array([-2.5])}
    for names in (("W1", "w2"), ("W1", "w2", "b1"), ("W1", "w2", "b2"), tuple(arrays)):
        some = {name: arrays[name] for name in names}
        np.savez(tmp_path / "net.npz", **some)
        with np.load(tmp_path / "net.npz") as file:
            read, rows = read_network(file, X, "squared")
        expected, same = read_network((W1, some.get("b1"), W2, some.get("b2")), X, "squared")
        np.testing.assert_array_equal(read.W1, expected.W1)
        np.testing.assert_array_equal(read.predict(rows), expected.predict(same))


def test_errors():
    with pytest.raises(TypeError, match="network must be a ReLUNetwork, a tuple .* got str"):
        read_network("network", X, "squared")
    with pytest.raises(ValueError, match=r"network must hold arrays W1 \(m, d\) and w2 .* got W1, w3"):
        read_network({"W1": W1, "w3": W2}, X, "squared")
    with pytest.raises(ValueError, match=r"X must have the 3 columns of .* \(4, 3\); got 1"):
        read_network(cr.GatedReLUNetwork(W1.T, W1, W2), X[:, :1], "squared")
    with pytest.raises(ValueError, match="got 2 arrays"):
        read_network((W1, W2), X, "squared")
    with pytest.raises(ValueError, match="W1 and w2 must have shapes"):
        read_network((W1.T, None, W2), X, "squared")
    with pytest.raises(ValueError, match=r"b1 must have shape \(4,\); got \(3,\)"):
        read_network((W1, B1[:3], W2), X, "squared")
    with pytest.raises(ValueError, match=r"b2 must have shape \(1,\); got \(2,\)"):
        read_network((W1, B1, W2, [1.0, 2.0]), X, "squared")
    with pytest.raises(ValueError, match=r"X must have the 3 columns of .* \(4, 3\); got 4"):
        read_network((W1, B1, W2), np.column_stack([X, np.ones(20)]), "squared")
    with pytest.raises(ValueError, match="b1 must be finite"):
        read_network((W1, B1 * np.nan, W2), X, "squared")
