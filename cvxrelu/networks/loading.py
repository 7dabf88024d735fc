"""Networks from files, PyTorch, scikit-learn, ONNX and plain arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cvxrelu._files import load_arrays
from cvxrelu._validation import FloatArray, check_matrix, check_numeric
from cvxrelu.networks.formats.npz import read_npz
from cvxrelu.networks.formats.onnx import read_onnx
from cvxrelu.networks.formats.sklearn import MLP, check_loss, read_sklearn
from cvxrelu.networks.formats.torch import SEQUENTIAL, read_gated_torch, read_torch
from cvxrelu.networks.layers import Layers, as_columns
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork

if TYPE_CHECKING:
    from onnx import ModelProto


def without_biases(layers: Layers) -> Network:
    """Return the float64 network with the same predictions, on X with a column of ones appended if it is biased.

    The hidden bias b1 (m,) becomes the weight of that column. Each non-zero output bias b2 becomes a neuron that is
    active on every row, with first-layer weight sqrt|b2| on the column of ones and second-layer weight
    sqrt|b2| sign(b2).

    Raises
    ------
    TypeError, ValueError
        If shapes do not match or an entry is not a finite number.
    """
    plain = ReLUNetwork(_as_float64(layers.W1), _as_float64(layers.w2))
    m, d = plain.W1.shape
    W1, w2 = plain.W1, as_columns(plain.w2)
    G = None if layers.G is None else _as_float64(layers.G)
    if layers.biased:
        b2 = _check_bias("b2", layers.b2, w2.shape[1])
        outputs = np.flatnonzero(b2)
        constant = np.zeros((len(outputs), d + 1))
        constant[:, d] = np.sqrt(np.abs(b2[outputs]))
        W1 = np.vstack([np.column_stack([W1, _check_bias("b1", layers.b1, m)]), constant])
        second = np.zeros((len(outputs), w2.shape[1]))
        second[np.arange(len(outputs)), outputs] = np.sign(b2[outputs]) * constant[:, d]
        w2 = np.vstack([w2, second])
        if G is not None:
            G = np.column_stack([np.vstack([G, _check_bias("g0", layers.g0, m)]), constant.T])
    w2 = w2[:, 0] if plain.w2.ndim == 1 else w2
    return ReLUNetwork(W1, w2) if G is None else GatedReLUNetwork(G, W1, w2)


def _as_float64(value: Any) -> FloatArray:
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _check_bias(name: str, value: Any, size: int) -> FloatArray:
    if value is None or size == 0:
        return np.zeros(size)
    bias = np.atleast_1d(check_numeric(name, value)).astype(np.float64)
    if bias.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},); got {bias.shape}")
    return bias


_ACCEPTED = (
    "network must be a ReLUNetwork, a tuple (W1, b1, w2) or (W1, b1, w2, b2) of arrays, a mapping of these names to "
    f"arrays, a GatedReLUNetwork, {SEQUENTIAL} or {MLP}"
)
_ARRAYS = ("W1", "b1", "w2", "b2")


def load_network(path: str | os.PathLike[str]) -> Network:
    """Return the network of a file written by `ReLUNetwork.save` or `GatedReLUNetwork.save`, equal to the bit.

    The file holds no pickled objects, so loading runs no code from it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ReLUNetwork or GatedReLUNetwork
        The network, with arrays of the saved dtypes, float32 or float64.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is not that of a network, damaged, changed, or of a version newer than this package reads.

    Examples
    --------
    >>> import tempfile
    >>> import cvxrelu as cr
    >>> network = cr.ReLUNetwork(W1=[[1.0, 0.1], [-1.0, 0.1]], w2=[1.0, 1.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     network.save(f"{folder}/network.npz")
    ...     loaded = cr.load_network(f"{folder}/network.npz")
    >>> loaded
    ReLUNetwork(W1=array([[ 1. ,  0.1],
           [-1. ,  0.1]]), w2=array([1., 1.]))
    """
    layers = read_npz(path)
    try:
        return (
            ReLUNetwork(layers.W1, layers.w2) if layers.G is None else GatedReLUNetwork(layers.G, layers.W1, layers.w2)
        )
    except ValueError as error:
        raise ValueError(f"path must be the file of a network; {path} is damaged: {error}") from error


def from_torch(network: Any) -> Network:
    """Return a two-layer PyTorch network as a network without biases.

    If it has a bias, even if zero, the returned network takes X with a column of ones appended: the hidden bias is the
    weight of that column, and each non-zero output bias b2 a neuron that is active on every row, with first-layer
    weight sqrt|b2| on that column and second-layer weight sqrt|b2| sign(b2). Predictions are the same to rounding.

    Parameters
    ----------
    network : torch.nn.Sequential(Linear, ReLU, Linear), or the result of `GatedReLUNetwork.to_torch`
        With or without biases, of any floating dtype. PyTorch is not imported: modules are recognised by their
        attributes.

    Returns
    -------
    ReLUNetwork or GatedReLUNetwork
        The network in float64, which holds the weights exactly. With one output, w2 has shape (m,).

    Raises
    ------
    TypeError
        If ``network`` is not a PyTorch module.
    ValueError
        If it has other layers, or an entry is not finite.

    See Also
    --------
    certify_network : Takes such modules directly, and appends the column itself.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import cvxrelu as cr
    >>> layers = torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1, bias=False)
    >>> module = torch.nn.Sequential(*layers).double()
    >>> network = cr.from_torch(module)
    >>> X = np.random.default_rng(0).standard_normal((5, 3))
    >>> expected = module(torch.from_numpy(X)).detach().numpy()[:, 0]
    >>> np.allclose(network.predict(np.column_stack([X, np.ones(5)])), expected)
    True
    """
    if not hasattr(network, "state_dict"):
        raise TypeError(f"network must be {SEQUENTIAL}; got {type(network).__name__}")
    if hasattr(network, "gate_weight"):
        return without_biases(read_gated_torch(network))
    return without_biases(read_torch(network))


def from_sklearn(network: Any) -> ReLUNetwork:
    """Return a scikit-learn multilayer perceptron as a ReLU network, without its output activation.

    The returned network takes X with a column of ones appended, whose weights are the biases as in `from_torch`. For
    MLPRegressor its predictions are those of ``predict``, to rounding; for MLPClassifier the log odds of
    ``classes_[1]``, or one logit per class, whose softmax is ``predict_proba``.

    Parameters
    ----------
    network : MLPRegressor or MLPClassifier
        Fitted estimator with activation 'relu' and one hidden layer.

    Returns
    -------
    ReLUNetwork
        The network in float64. With one output, w2 has shape (m,).

    Raises
    ------
    TypeError
        If ``network`` is not such an estimator.
    ValueError
        If it is not fitted, or has other layers or activations.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPRegressor
    >>> import cvxrelu as cr
    >>> X = np.linspace(-1.0, 1.0, 50)[:, None]
    >>> mlp = MLPRegressor(hidden_layer_sizes=(10,), solver="lbfgs", random_state=0).fit(X, np.abs(X[:, 0]))
    >>> network = cr.from_sklearn(mlp)
    >>> bool(np.allclose(network.predict(np.column_stack([X, np.ones(50)])), mlp.predict(X)))
    True
    """
    if not hasattr(network, "hidden_layer_sizes"):
        raise TypeError(f"network must be {MLP}; got {type(network).__name__}")
    layers = without_biases(read_sklearn(network))
    assert isinstance(layers, ReLUNetwork)
    return layers


def from_onnx(model: str | os.PathLike[str] | ModelProto) -> Network:
    """Return the network of an ONNX model written by `ReLUNetwork.to_onnx`, or of any graph of Gemm, Relu, Gemm.

    If the model has a bias, the returned network takes X with a column of ones appended, as in `from_torch`. To certify
    an exported model, certify this network: a certificate from before the export does not hold for weights rounded to
    float32.

    Parameters
    ----------
    model : str, path-like or onnx.ModelProto
        A file, or the model. Its weights must be initializers, as in PyTorch's export of a
        Sequential(Linear, ReLU, Linear).

    Returns
    -------
    ReLUNetwork or GatedReLUNetwork
        The network in float64, which holds the weights exactly. With one output, w2 has shape (m,).

    Raises
    ------
    ModuleNotFoundError
        If onnx, the extra ``cvxrelu[onnx]``, is not installed.
    OSError
        If the file cannot be read.
    TypeError, ValueError
        If it is not a model, has other layers, or an entry is not finite.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> network = cr.ReLUNetwork(np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([1.0, 2.0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = network.to_onnx(Path(folder) / "network.onnx")
    ...     again = cr.from_onnx(Path(folder) / "network.onnx")
    >>> bool((again.W1 == network.W1).all() and (again.w2 == network.w2).all())
    True
    """
    return without_biases(read_onnx(model))


def read_network(network: Any, X: FloatArray, loss: str) -> tuple[Network, FloatArray]:
    """Return an equivalent network without biases, and its float64 data X (n, d) or (n, d + 1).

    If the given network has a bias, even if zero, a column of ones is appended to X, whose weights are the biases; see
    `without_biases`. A column of ones is also appended if a network without biases takes one column more than X has.

    Parameters
    ----------
    network : ReLUNetwork, GatedReLUNetwork, tuple, mapping, torch module, MLPRegressor or MLPClassifier
        As in `cvxrelu.certify_network`. PyTorch and scikit-learn are not imported: their objects are recognised by
        their attributes.
    X : array of shape (n, d)
        The data, without the column of ones.
    loss : str
        Name of the loss. It must be that of a scikit-learn classifier's training, as the output activation is dropped.

    Raises
    ------
    TypeError, ValueError
        If the network is of another kind, has other layers, or does not match X.
    """
    layers = _layers(network, loss)
    plain = without_biases(layers)
    rows = check_matrix("X", X).astype(np.float64)
    m, d = np.shape(layers.W1)
    appended = layers.biased or d == rows.shape[1] + 1
    if rows.shape[1] + appended != plain.W1.shape[1]:
        raise ValueError(
            f"X must have the {d} columns of the network's first layer, W1 of shape (m, d) = {(m, d)}; "
            f"got {rows.shape[1]}"
        )
    return plain, np.column_stack([rows, np.ones(len(rows))]) if appended else rows


def _layers(network: Any, loss: str) -> Layers:
    """Return the layers of a network of any kind."""
    if isinstance(network, ReLUNetwork):
        return Layers(network.W1, None, network.w2)
    if isinstance(network, GatedReLUNetwork):
        return Layers(network.W1, None, network.w2, None, network.G)
    if isinstance(network, Mapping):
        _check_names(network, "network")
        return Layers(*(network.get(name) for name in _ARRAYS))
    if isinstance(network, tuple | list):
        if len(network) not in (3, 4):
            raise ValueError(f"{_ACCEPTED}; got {len(network)} arrays")
        return Layers(*network)
    if hasattr(network, "hidden_layer_sizes"):
        layers = read_sklearn(network)
        check_loss(network, loss)
        return layers
    if hasattr(network, "gate_weight"):
        return read_gated_torch(network)
    if hasattr(network, "state_dict"):
        return read_torch(network)
    raise TypeError(f"{_ACCEPTED}; got {type(network).__name__}")


def _check_names(arrays: Mapping[str, Any], source: object) -> None:
    if not {"W1", "w2"} <= set(arrays) <= set(_ARRAYS):
        raise ValueError(
            f"{source} must hold arrays W1 (m, d) and w2 (m,) or (m, c), and b1 (m,) and b2 (c,) if there are biases; "
            f"got {', '.join(sorted(map(str, arrays))) or 'none'}"
        )


_PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")


def read_network_file(path: Path) -> Any:
    """Return the network of a file in a form that `certify_network` accepts.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it holds no network; the message lists what is accepted.
    """
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        path.open("rb").close()
        raise ValueError(
            f"{path} may be a pickle, which can run any code, and is not opened; in Python, save the network by "
            "cvxrelu.from_torch(model).save('network.npz') (for scikit-learn: from_sklearn), or its arrays by "
            "numpy.savez('network.npz', W1=..., b1=..., w2=..., b2=...), W1 of shape (m, d) and w2 of shape (m,)"
        )
    if suffix == ".onnx":
        return from_onnx(path)
    arrays = _plain_arrays(path)
    if arrays is None:
        return load_network(path)
    if "b1" not in arrays and "b2" not in arrays:
        return ReLUNetwork(arrays["W1"], arrays["w2"])
    return tuple(arrays.get(name) for name in _ARRAYS)


def _plain_arrays(path: Path) -> dict[str, Any] | None:
    """Return W1, w2, b1, b2 of an npz file of plain arrays; None if it is another kind of file."""
    with path.open("rb") as file:
        try:
            arrays = load_arrays(file)
        except Exception:  # NumPy raises many kinds; `load_network` then reports the error
            return None
    if "header" in arrays:
        return None
    _check_names(arrays, path)
    return arrays
