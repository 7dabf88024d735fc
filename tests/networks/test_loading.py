import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.networks.loading import read_network
from tests.helpers.loading import B1, RNG, W1, W2, X, predict


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
