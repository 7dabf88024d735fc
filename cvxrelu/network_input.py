"""Two-layer ReLU networks of other trainers, read as `ReLUNetwork`: plain arrays, PyTorch, scikit-learn."""

from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, check_matrix, check_numeric
from cvxrelu.networks import GatedReLUNetwork, ReLUNetwork, as_columns

_ACCEPTED = (
    "network must be a ReLUNetwork, a tuple (W1, b1, w2) or (W1, b1, w2, b2) of arrays, a torch.nn.Sequential(Linear, "
    "ReLU, Linear) or a fitted scikit-learn MLPRegressor or MLPClassifier"
)
_OUTPUTS = {"identity": ("squared", "huber"), "logistic": ("logistic",), "softmax": ("softmax",)}


def read_network(network: Any, X: FloatArray, loss: str) -> tuple[ReLUNetwork, FloatArray]:
    """Return a network without biases and the float64 X (n, d) or (n, d + 1) for it to predict what the given one does.

    If the given network comes with a bias, even one of zero, a column of ones is appended to X: the hidden bias b1 (m,)
    is the weight of that column. An output bias b2 is carried by one more neuron for each output where it is not zero,
    active on every row: its weights are sqrt|b2| on the column of ones and sqrt|b2| sign(b2) behind it.

    Parameters
    ----------
    network : ReLUNetwork, tuple, torch.nn.Sequential, MLPRegressor or MLPClassifier
        As in `cvxrelu.certify_network`. PyTorch and scikit-learn are not imported: their objects are known by their
        attributes.
    X : array of shape (n, d)
        The data, without the column of ones.
    loss : str
        Name of the loss: a classifier of scikit-learn must have been trained by it, as the network is what stands
        before its output activation.

    Raises
    ------
    TypeError, ValueError
        If the network is of another kind, has other layers, or does not fit X.
    """
    if isinstance(network, ReLUNetwork):
        layers: tuple[Any, ...] = (network.W1, None, network.w2, None)
    elif isinstance(network, GatedReLUNetwork):
        raise TypeError(f"{_ACCEPTED}; got a GatedReLUNetwork: use to_convex(network, X) and certify")
    elif isinstance(network, tuple | list):
        if len(network) not in (3, 4):
            raise ValueError(f"{_ACCEPTED}; got {len(network)} arrays")
        layers = (*network, None) if len(network) == 3 else tuple(network)
    elif hasattr(network, "hidden_layer_sizes"):
        layers = _sklearn_layers(network, loss)
    elif hasattr(network, "state_dict"):
        layers = _torch_layers(network)
    else:
        raise TypeError(f"{_ACCEPTED}; got {type(network).__name__}")
    return _without_biases(layers, X)


def _torch_layers(network: Any) -> tuple[Any, ...]:
    found = [type(layer).__name__ for layer in network.children()]
    if type(network).__name__ != "Sequential" or found != ["Linear", "ReLU", "Linear"]:
        raise ValueError(
            f"network must be a torch.nn.Sequential(Linear, ReLU, Linear); got {type(network).__name__}"
            f"({', '.join(found)}) (of another module, give the arrays (W1, b1, w2, b2))"
        )
    first, _, second = network.children()
    b1, b2 = (None if layer.bias is None else _from_torch(layer.bias) for layer in (first, second))
    return _from_torch(first.weight), b1, _one_axis(_from_torch(second.weight).T), b2


def _from_torch(tensor: Any) -> FloatArray:
    # To float64 in PyTorch: NumPy has no bfloat16.
    array: FloatArray = tensor.detach().cpu().double().numpy()
    return array


def _sklearn_layers(network: Any, loss: str) -> tuple[Any, ...]:
    name = type(network).__name__
    if not hasattr(network, "coefs_"):
        raise ValueError(f"network must be fitted; got {name} without coefs_")
    if network.activation != "relu" or len(network.coefs_) != 2:
        raise ValueError(
            f"network must have activation 'relu' and one hidden layer; got {name} with activation "
            f"{network.activation!r} and hidden_layer_sizes={network.hidden_layer_sizes!r}"
        )
    output = network.out_activation_
    if output not in _OUTPUTS:
        raise ValueError(f"network must have output activation {', '.join(_OUTPUTS)}; got {name} with {output!r}")
    if loss not in _OUTPUTS[output]:
        raise ValueError(
            f"loss must be {' or '.join(map(repr, _OUTPUTS[output]))} for the output activation {output!r} of this "
            f"{name}; got {loss!r}"
        )
    W1, w2 = network.coefs_
    return W1.T, network.intercepts_[0], _one_axis(w2), network.intercepts_[1]


def _one_axis(w2: FloatArray) -> FloatArray:
    return w2[:, 0] if w2.shape[1] == 1 else w2


def _without_biases(layers: tuple[Any, ...], X: FloatArray) -> tuple[ReLUNetwork, FloatArray]:
    network = ReLUNetwork(layers[0], layers[2])
    rows = check_matrix("X", X).astype(np.float64)
    m, d = network.W1.shape
    if rows.shape[1] != d:
        raise ValueError(
            f"X must have the {d} columns of the network's first layer, W1 of shape (m, d) = {(m, d)}; "
            f"got {rows.shape[1]}"
        )
    if layers[1] is None and layers[3] is None:
        return network, rows
    columns = as_columns(network.w2)
    b1 = _check_bias("b1", layers[1], m)
    b2 = _check_bias("b2", layers[3], columns.shape[1])
    outputs = np.flatnonzero(b2)
    W1 = np.zeros((m + len(outputs), d + 1))
    W1[:m] = np.column_stack([network.W1, b1])
    W1[m:, d] = np.sqrt(np.abs(b2[outputs]))
    w2 = np.vstack([columns, np.zeros((len(outputs), columns.shape[1]))])
    w2[m + np.arange(len(outputs)), outputs] = np.sign(b2[outputs]) * W1[m:, d]
    extended = np.column_stack([rows, np.ones(len(rows))])
    return ReLUNetwork(W1, w2[:, 0] if network.w2.ndim == 1 else w2), extended


def _check_bias(name: str, value: Any, size: int) -> FloatArray:
    if value is None or size == 0:
        return np.zeros(size)
    bias = np.atleast_1d(check_numeric(name, value)).astype(np.float64)
    if bias.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},); got {bias.shape}")
    return bias
