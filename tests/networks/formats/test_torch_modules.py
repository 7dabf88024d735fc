import numpy as np
import pytest

from cvxrelu.networks.loading import read_network
from tests.helpers.loading import B1, W1, W2, X, predict
from tests.helpers.needs import require


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
