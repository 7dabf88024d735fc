"""Networks with biases as other libraries hold them, and the exact maps to and from networks without.

Here a bias is the weight of a column of ones, the last of X.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, check_choice, check_flag, check_numeric
from cvxrelu.networks import GatedReLUNetwork, Network, ReLUNetwork, TwoLayerNetwork, as_columns

_DTYPES = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class Layers:
    """Arrays of a two-layer network with biases: h(x) = (W1 x + b1)_+ w2 + b2.

    Attributes
    ----------
    W1, b1 : arrays of shape (m, d) and (m,)
        Hidden layer; None for a bias that does not exist.
    w2, b2 : arrays of shape (m,) or (m, c), and (c,)
        Output layer.
    G, g0 : arrays of shape (d, m) and (m,), optional
        Gates: a neuron is W1_i x + b1_i where x'g_i + g0_i >= 0.
    """

    W1: Any
    b1: Any
    w2: Any
    b2: Any = None
    G: Any = None
    g0: Any = None

    @property
    def biased(self) -> bool:
        """Whether there is a bias, even one of zero."""
        return any(bias is not None for bias in (self.b1, self.b2, self.g0))


def without_biases(layers: Layers) -> Network:
    """Return the float64 network with the same predictions, on X with a column of ones appended if it is biased.

    The hidden bias b1 (m,) is the weight of that column. An output bias b2 is carried by one more neuron for each
    output where it is not zero, active on every row: its weights are sqrt|b2| on the column of ones and
    sqrt|b2| sign(b2) behind it.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit or an entry is not a finite number.
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


def with_biases(network: TwoLayerNetwork, bias: bool, dtype: str | None) -> Layers:
    """Return a network as layers of a dtype, with the weights of the last column as biases if ``bias`` is true.

    Parameters
    ----------
    network : ReLUNetwork or GatedReLUNetwork
        The network.
    bias : bool
        Whether the last column that it takes is a column of ones.
    dtype : {"float32", "float64"} or None
        Of all arrays; None for the network's own.

    Raises
    ------
    TypeError, ValueError
        If ``bias`` or ``dtype`` are something else, the network has one column only, or its weights leave the
        range of float32.
    """
    W1, w2 = network.W1, as_columns(network.w2)
    G = network.G if isinstance(network, GatedReLUNetwork) else None
    own = np.result_type(W1, w2, *([] if G is None else [G]))
    kind = own if dtype is None else np.dtype(check_choice("dtype", dtype, _DTYPES))
    W1, w2 = _cast("W1", W1, kind), _cast("w2", w2, kind)
    G = None if G is None else _cast("G", G, kind)
    if not check_flag("bias", bias):
        return Layers(W1, None, w2, None, G)
    d = W1.shape[1] - 1
    if d < 1:
        raise ValueError("bias must be False for a network whose only column would be that of the bias; got True")
    return Layers(W1[:, :d], W1[:, d], w2, None, *((None, None) if G is None else (G[:d], G[d])))


def _as_float64(value: Any) -> FloatArray:
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _cast(name: str, array: FloatArray, dtype: Any) -> FloatArray:
    with np.errstate(over="ignore"):
        cast: FloatArray = array.astype(dtype)
    # A gate that vanishes would be active everywhere.
    lost = ~np.isfinite(cast) | ((name == "G") & (array != 0.0) & ~cast.any(axis=0))
    if lost.any():
        raise ValueError(
            f"dtype must be 'float64' for this network: {name} holds {array[lost][0]:g}, beyond {np.dtype(dtype)}"
        )
    return cast


def _check_bias(name: str, value: Any, size: int) -> FloatArray:
    if value is None or size == 0:
        return np.zeros(size)
    bias = np.atleast_1d(check_numeric(name, value)).astype(np.float64)
    if bias.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},); got {bias.shape}")
    return bias
