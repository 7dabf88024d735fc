import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from tests.helpers.cases import assert_same_network, random_network
from tests.helpers.needs import require

torch = require("torch")

KINDS = ("relu", "gated")
SEEDS = st.integers(0, 2**32 - 1)


def outputs(module, X):
    with torch.no_grad():
        return module(torch.tensor(X)).numpy()


@settings(max_examples=50)
@given(SEEDS, st.sampled_from(KINDS), st.integers(0, 6), st.integers(1, 4), st.sampled_from([None, 1, 3]))
def test_round_trip_is_exact_to_the_bit(seed, kind, m, d, c):
    rng = np.random.default_rng(seed)
    network = random_network(kind, rng, m, d + 1, c)
    expected = type(network)(**{**vars(network), "w2": network.w2[:, 0]}) if c == 1 else network
    for bias in (False, True):
        assert_same_network(cr.from_torch(network.to_torch(bias=bias)), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_that_of_the_network_or_the_requested_one(kind, dtype):
    network = random_network(kind, np.random.default_rng(0), dtype=dtype)
    other = {"float32": "float64", "float64": "float32"}[dtype]
    for asked, found in ((None, dtype), (dtype, dtype), (other, other)):
        tensors = network.to_torch(bias=True, dtype=asked).state_dict().values()
        assert {tensor.dtype for tensor in tensors} == {getattr(torch, found)}
    rounded = cr.from_torch(network.to_torch(dtype="float32"))
    np.testing.assert_array_equal(rounded.W1, network.W1.astype(np.float32))


def test_a_relu_network_is_a_plain_sequential():
    network = random_network("relu", np.random.default_rng(0), m=4, d=3)
    module = network.to_torch()
    assert [type(layer) for layer in module] == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]
    assert [name for name, _ in module.named_parameters()] == ["0.weight", "2.weight"]
    assert str(network.to_torch(bias=True)[0]) == "Linear(in_features=2, out_features=4, bias=True)"


def test_gates_are_saved_and_not_trained():
    rng = np.random.default_rng(0)
    network = random_network("gated", rng, m=4, d=3)
    module = network.to_torch(bias=True)
    assert sorted(name for name, _ in module.named_parameters()) == ["hidden.bias", "hidden.weight", "output.weight"]
    assert {"gate_weight", "gate_bias"} < set(module.state_dict())
    X = rng.standard_normal((6, 2))
    module(torch.tensor(X)).square().sum().backward()
    assert module.hidden.weight.grad.abs().sum() > 0
    raw = io.BytesIO()
    torch.save(module, raw)
    raw.seek(0)
    loaded = torch.load(raw, weights_only=False)
    np.testing.assert_array_equal(outputs(loaded, X), outputs(module, X))
    assert_same_network(cr.from_torch(loaded), network)


def test_the_module_is_a_copy_and_draws_no_random_numbers():
    network = random_network("relu", np.random.default_rng(0))
    before = network.W1.copy()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    module = network.to_torch()
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        module[0].weight.zero_()
    np.testing.assert_array_equal(network.W1, before)


@pytest.mark.parametrize("c", [1, 2])
def test_an_output_bias_is_a_neuron_that_is_always_active(c):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    extended = np.column_stack([X, np.ones(30)])
    plain = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, c)).double()
    gated = random_network("gated", rng, m=4, d=4, c=c).to_torch(bias=True)
    gated.output = torch.nn.Linear(4, c).double()
    for module in (plain, gated):
        network = cr.from_torch(module)
        assert network.n_neurons == 4 + c
        expected = outputs(module, X)
        np.testing.assert_allclose(network.predict(extended), expected[:, 0] if c == 1 else expected, atol=1e-13)
        again = network.to_torch(bias=True)
        np.testing.assert_allclose(outputs(again, X), expected, atol=1e-13)


def test_bad_arguments():
    network = random_network("relu", np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"bias must be True or False; got array"):
        network.to_torch(bias=np.ones(5))
    with pytest.raises(ValueError, match="dtype must be one of 'float32', 'float64'; got 'float16'"):
        network.to_torch(dtype="float16")
    with pytest.raises(ValueError, match="bias must be False for a network with a single column"):
        cr.ReLUNetwork([[1.0]], [1.0]).to_torch(bias=True)
    with pytest.raises(ValueError, match=r"dtype must be 'float64' .* W1 holds -1e\+300, beyond float32"):
        cr.ReLUNetwork([[1.0, -1e300]], [1.0]).to_torch(dtype="float32")
    tiny = cr.GatedReLUNetwork([[1.0, 1e-60], [1e-60, -1e-60]], np.ones((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match="G holds 1e-60, beyond float32"):
        tiny.to_torch(dtype="float32")
    assert tiny.to_torch().gate_weight.dtype == torch.float64


def test_other_modules_are_rejected():
    with pytest.raises(TypeError, match=r"network must be a torch.nn.Sequential\(Linear, ReLU, Linear\); got str"):
        cr.from_torch("network")
    with pytest.raises(ValueError, match=r"got Sequential\(Linear, Tanh, Linear\)"):
        cr.from_torch(torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)))


def test_the_extra_is_named_if_pytorch_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "cvxrelu.networks.formats.torch_modules", raising=False)
    monkeypatch.delattr("cvxrelu.networks.formats.torch_modules", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"PyTorch is needed .* pip install 'cvxrelu\[torch\]'"):
        random_network("relu", np.random.default_rng(0)).to_torch()


def test_gated_modules_are_certified_as_their_networks():
    network = random_network("gated", np.random.default_rng(0))
    X = np.random.default_rng(1).standard_normal((9, 3))
    y = network.predict(X).reshape(9, -1)[:, 0] if network.w2.ndim == 1 else network.predict(X)
    assert cr.certify_network(network.to_torch(), X, y, 0.1).upper == cr.certify_network(network, X, y, 0.1).upper
