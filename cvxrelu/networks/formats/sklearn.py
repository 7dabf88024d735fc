"""Layers of scikit-learn's multilayer perceptrons, recognised by their attributes without importing scikit-learn."""

from typing import Any

from cvxrelu.losses.registry import LOSSES
from cvxrelu.networks.layers import Layers, one_axis

MLP = "a fitted scikit-learn MLPRegressor or MLPClassifier"
_OUTPUTS = {  # and the losses of such outputs
    "identity": tuple(name for name, kind in LOSSES.items() if not kind.of_labels),
    "logistic": ("logistic",),
    "softmax": ("softmax",),
}


def read_sklearn(network: Any) -> Layers:
    """Return the layers of an MLPRegressor or MLPClassifier, without its output activation.

    Raises
    ------
    ValueError
        If it is not fitted, or has other layers or activations.
    """
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
    W1, w2 = network.coefs_
    return Layers(W1.T, network.intercepts_[0], one_axis(w2), network.intercepts_[1])


def check_loss(network: Any, loss: str) -> None:
    """Raise ValueError if the perceptron was trained with another loss."""
    output = network.out_activation_
    if loss not in _OUTPUTS[output]:
        raise ValueError(
            f"loss must be {' or '.join(map(repr, _OUTPUTS[output]))} for the output activation {output!r} of this "
            f"{type(network).__name__}; got {loss!r}"
        )
